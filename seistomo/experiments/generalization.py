"""How a trained run does on data that it was not trained for, a condition at a time."""

import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seistomo.config import Config, LoopConfig, parse_config
from seistomo.config.schema import require_same
from seistomo.config.velocity import FAMILIES
from seistomo.dataset import open_dataset, open_velocity, write_velocity
from seistomo.dataset.generate import simulate
from seistomo.dataset.models import StoredModels
from seistomo.dataset.store.schema import data_difference
from seistomo.device import choose_device, torch_settings
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.figures import studies as drawn
from seistomo.evaluation.prediction import predicted_models
from seistomo.evaluation.report import build_cases
from seistomo.evaluation.scoring import score_run
from seistomo.experiments import problems, records
from seistomo.experiments.conditions import Case, cases_of, cut_crops, grid_settings
from seistomo.experiments.machine import describe_machine, machine_line
from seistomo.experiments.study import Condition, Study
from seistomo.experiments.tables import (
    NOTHING,
    markdown_table,
    mean_change,
    mean_deviation,
    number,
)
from seistomo.files import write_text
from seistomo.progress import quietly, say, warn
from seistomo.simulation import check_simulation
from seistomo.training import Run, load_run
from seistomo.training.directory import member_folders

SETTINGS, NUMBERS, SCORES, DATA = "settings.json", "generalization.json", "scores", "data"
REFERENCE = Condition(name="reference", label="own test split", group="Reference")
KEPT = ("mse", "rmse", "ssim", "salt_iou")  # scores that are kept of each sample
# Ordinary seeds are small numbers: no training set shares a model with these.
FIRST_SEED = 2**62
HEADINGS = (
    *("condition", "models", "samples", "loss, 10⁸ (m/s)²", "RMSE, m/s", "SSIM", "salt IoU"),
    *("mean model: RMSE", "SSIM", "lateral mean: RMSE", "skill", "change of SSIM"),
)
READING = """
- **RMSE** is over all pixels and samples; **SSIM** is mean ± standard deviation over samples;
  **loss** is Eq. 9 of the SQGN paper; **salt IoU** is over the samples that hold salt.
- **mean model** is the mean of the models that this run was trained on, the same guess in every
  row. **skill** is 1 − MSE / MSE of the mean model: 1 is perfect, 0 no better than that guess.
- **lateral mean** is each true model averaged over x: the best 1D earth, known to nobody
  beforehand. A prediction with a lower RMSE has recovered structure that varies sideways.
- **models** "same": those of the first row, in the same order, so that the difference is the
  condition's; **change of SSIM** is taken sample by sample, ± its standard error. "new": other
  models, easier or harder by themselves; compare them with the mean model, not with the first row.
"""


@dataclass(frozen=True)
class Scoring:
    """A run and the data sets that it is scored on, made where they are not there."""

    run: Run
    study: Study
    out: Path
    data: Path | None  # the data set that the run was trained on
    settings: LoopConfig

    def path(self, name: str) -> Path:
        """Return where a data set or velocity file belongs."""
        return self.out / DATA / f"{name}.h5"

    def rows(self) -> NDArray[np.int64]:
        """Return the rows of the reference in its data set."""
        if self.data is None:
            return np.arange(self.study.samples)
        with open_dataset(self.data) as data:
            rows = data.indices("test")[: self.study.samples]
        if not len(rows):
            raise InputError(f"--data {self.data}: holds no test samples")
        return rows

    def own_identity(self) -> str | None:
        """Return the identity of the data set given; refuse one that the run was not trained on.

        One that has grown since is.
        """
        if self.data is None:
            if self.run.config.velocity.imported is not None:
                raise InputError(
                    f"run {self.run.path}: was trained on imported models, which cannot be drawn"
                    " anew; give its data set with --data"
                )
            return None
        with open_dataset(self.data) as data:
            other, identity = data_difference(self.run.config, data.config), data.identity
        same = identity == self.run.data_identity
        if other is not None and not same:
            key, ours, theirs = other
            raise InputError(
                f"--data {self.data}: was made with {key} = {theirs!r}, the run's data set with"
                f" {ours!r}; give the data set that the run was trained on"
            )
        if not same:
            warn(f"--data {self.data}: holds other samples than the run's, unless it has grown")
        return identity

    def reference_models(self) -> Path:
        """Return the file of the reference's models, which the others are shot over."""
        if self.data is None:
            return self.make(Case(REFERENCE))
        path = self.path("reference-models")
        if not path.is_file():
            with open_velocity(self.data) as models:
                chosen = [StoredModels(models).model(int(row)) for row in self.rows()]
            write_velocity(path, chosen, self.run.config.velocity.spacing)
        return path

    def make(self, case: Case) -> Path:
        """Make a condition's data set; what is there already is kept."""
        velocity, identity, samples = None, "", self.study.samples
        if case.condition.crops:
            velocity = self.path("crops-models")
        elif case.same_models and case.condition is not REFERENCE:
            velocity = self.reference_models()
        if velocity is not None:
            with open_velocity(velocity) as models:
                identity, samples = models.models_identity, models.samples
        config = self.config(case, samples, identity)
        device, path = self.settings.device, self.path(case.name)
        simulate(config, path, device=device, resume=True, velocity=velocity)
        return path

    def config(self, case: Case, samples: int, models: str) -> Config:
        """Return the configuration of a condition's data set."""
        shared = [
            f"dataset.samples={samples}",
            f"dataset.seed={FIRST_SEED + self.study.first_seed}",
            # Nothing is trained on; a share for training must be.
            "dataset.split=[1, 0, 1]",
        ]
        shared += [f'velocity.imported="{models}"'] if models else []
        text = self.run.config.to_toml(without=["velocity.imported"])
        return parse_config(text, [*shared, *case.settings], origin=case.condition.label)

    def problem(self, case: Case) -> str:
        """Return why a condition cannot be simulated; nothing where it can."""
        try:
            with quietly(), redirect_stderr(io.StringIO()):
                config = self.config(case, 2, "")
                if case.condition.set and _shot(config) == _shot(self.run.config):
                    return "the run's own"
                check_simulation(config)
        except InputError as error:
            return str(error).removeprefix(f"{case.condition.label}: ")
        return ""

    def data_of(self, case: Case) -> tuple[Path, NDArray[np.int64]]:
        """Return a condition's data set and the rows that are scored."""
        if not case.simulated:
            return self.data or self.path(REFERENCE.name), self.rows()
        with open_dataset(self.path(case.name)) as data:
            return self.path(case.name), data.indices()

    def score(self, case: Case) -> None:
        """Score a condition unless that was done before."""
        kept = self.out / SCORES / f"{case.name}.json"
        if kept.is_file():
            return
        if case.simulated:
            self.make(case)
        path, rows = self.data_of(case)
        with open_dataset(path) as data:
            table = score_run(self.run, data, rows, as_run=True, **case.corruption)
        content = {
            "name": case.name,
            "label": case.condition.label,
            "group": case.condition.group,
            "same_models": case.same_models,
            "note": case.note,
            **table.summary(),
            "per_sample": {score: table.column(score).tolist() for score in KEPT},
        }
        records.write_json(kept, content)


def score_conditions(
    study: Study, run_dir: Path, out: Path, overwrite: bool = False, command: str = ""
) -> str:
    """Score a run's best weights under the study's conditions; write and return the page.

    Conditions that are in the folder already are kept: the same call goes on where it was
    interrupted. A folder of other settings is refused.
    """
    if study.samples < 2:
        raise InputError(f"samples = {study.samples}: must be at least 2, to have a spread")
    scoring = prepared(study, run_dir, out, overwrite)
    run, settings = scoring.run, scoring.settings
    with torch_settings(choose_device(settings.device), settings.threads, study.first_seed):
        machine = describe_machine(settings.device, settings.threads)
        cases, skipped = plan(scoring)
        for place, case in enumerate(cases, 1):
            say(f"{place} of {len(cases)}: {case.condition.label}")
            scoring.score(case)
        found = [records.read_json(out / SCORES / f"{case.name}.json") for case in cases]
        _draw(scoring, cases, found)
    page = _page(scoring, found, skipped)
    page += f"\n{machine_line(machine)}\n" + (f"\n`{command}`\n" if command else "")
    for one in found:
        one.pop("per_sample")
    content = {"run": run.path.resolve().name, "epoch": run.epoch, "samples": study.samples}
    content |= {"machine": machine, "command": command, "skipped": skipped, "conditions": found}
    records.write_json(out / NUMBERS, content)
    write_text(out / "index.md", page)
    return page


def plan(scoring: Scoring) -> tuple[list[Case], dict[str, str]]:
    """Return the conditions that can be scored, in the table's order, and why the others cannot."""
    kept, skipped = [Case(REFERENCE)], {}
    scoring.reference_models()
    for condition in scoring.study.conditions:
        for case in cases_of(condition, scoring.run.config, scoring.out / DATA):
            reason = ""
            if case.condition.crops:
                grid, out = scoring.run.config.velocity, scoring.path("crops-models")
                samples, seed = scoring.study.samples, scoring.study.first_seed
                note, reason = cut_crops(scoring.study.section, grid, samples, seed, out)
                case = Case(case.condition, note=note)
            elif case.simulated:
                case, reason = _simulable(scoring, case)
            if reason:
                skipped[case.condition.label or case.name] = reason
            else:
                kept.append(case)
    return kept, skipped


def _simulable(scoring: Scoring, case: Case) -> tuple[Case, str]:
    """Return the case, on a finer grid if a wavelet needs it, and why it cannot be."""
    reason = scoring.problem(case)
    if reason and case.condition.wavelet is not None:
        finer = (*case.settings, *grid_settings(scoring.run.config, 0.5))
        note = "on a modelling grid of half the spacing: the run's cannot carry this wavelet"
        other = Case(case.condition, finer, note)
        if not scoring.problem(other):
            return other, ""
    return case, reason


def _shot(config: Config) -> dict[str, Any]:
    """Return what decides the gathers of given models."""
    return {name: getattr(config, name).model_dump() for name in ("survey", "simulation")}


def prepared(study: Study, run_dir: Path, out: Path, overwrite: bool) -> Scoring:
    """Load a run and make the folder of its results, or check that it has the same settings."""
    training, given = problems.loop_settings(study.training), study.problem.get("data")
    run = load_run(run_dir, "best", training.device)
    scoring = Scoring(run, study, out, Path(given) if given else None, training)
    identity = scoring.own_identity()
    section = Path(study.section.file) if study.section.file else None
    if section is not None and not section.is_file():
        raise InputError(f"section.file = {section}: no such file")
    runs = member_folders(run.path) or [run.path]
    settings = {
        "weights of RUN": " ".join(_digest(run / "best.pt") for run in runs),
        "--data": identity,
        "samples": study.samples,
        "--seed": study.first_seed,
        "section": {**study.section.model_dump(), "file": section and _digest(section)},
        "conditions": [one.model_dump(exclude_defaults=True) for one in study.conditions],
    }
    path = out / SETTINGS
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is no folder")
    if path.is_file() and not overwrite:
        ours, theirs = json.loads(json.dumps(settings)), records.read_json(path)
        remedy = "go on with the same, another folder, or --overwrite"
        require_same(f"--out {out} was made", ours, theirs, remedy)
        return scoring
    if out.is_dir() and any(out.iterdir()) and not path.is_file():
        raise InputError(f"--out {out}: holds something else than this benchmark")
    for part in (DATA, SCORES, records.RUNS):
        shutil.rmtree(out / part, ignore_errors=True)
    for part in (DATA, SCORES):
        (out / part).mkdir(parents=True, exist_ok=True)
    records.write_json(path, settings)
    return scoring


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _page(scoring: Scoring, found: Sequence[Mapping[str, Any]], skipped: Mapping[str, str]) -> str:
    run, reference = scoring.run, found[0]
    trained = [name for name in FAMILIES if run.config.velocity.draws(name)]
    first = (
        "the run's own test split, and the rows of the same models are of it"
        if scoring.data is not None
        else "new models of the run's own configuration: its data set was not given"
    )
    lines, group = [list(HEADINGS)], None
    for one in found:
        if one["group"] != group:
            group = one["group"]
            lines.append([f"**{group}**", *[""] * (len(HEADINGS) - 1)])
        lines.append(_cells(one, reference))
    notes: dict[str, list[str]] = {}
    for one in found:
        notes.setdefault(one["note"], []).append(one["label"])
    for label, reason in skipped.items():
        notes.setdefault(f"left out, {reason}", []).append(label)
    notes.pop("", None)
    below = "".join(f"- {', '.join(labels)}: {note}.\n" for note, labels in notes.items())
    return (
        f"# {scoring.study.title} of {run.path.resolve().name}\n\n"
        f"Network {run.config.network.name}, optimizer {run.config.optimizer.name}, epoch"
        f" {run.epoch}, trained on {', '.join(trained) or 'imported models'} (data set"
        f" {run.data_identity}). The first row"
        f" is {first}. Other data keep the run's grid, bounds, survey and simulation but for what"
        f" the row says; seed {scoring.study.first_seed}.\n\n{markdown_table(lines)}{READING}\n"
        f"{below}\n![Scores by condition](scores.png)\n\n"
        "![Reference, prediction and difference under some conditions](models.png)\n"
    )


def skill(scores: Mapping[str, Any]) -> float:
    """Return 1 − MSE / MSE of the mean training model (Murphy 1988)."""
    return 1 - scores["mse"] / scores["baseline"]["mse"]


def _cells(one: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    change = NOTHING
    if one["same_models"] and one is not reference:
        pairs = zip(one["per_sample"]["ssim"], reference["per_sample"]["ssim"], strict=True)
        change = mean_change([a - b for a, b in pairs], 3)
    return [
        one["label"],
        "same" if one["same_models"] else "new",
        str(one["samples"]),
        f"{one['loss'] / 1e8:.3g}",
        f"{one['rmse']:.0f}",
        mean_deviation(one["per_sample"]["ssim"], 3),
        number(one["salt_iou"], 2),
        f"{one['baseline']['rmse']:.0f}",
        f"{one['baseline']['ssim']:.3f}",
        f"{one['oracle_1d']['rmse']:.0f}",
        f"{skill(one):+.2f}",
        change,
    ]


def _draw(scoring: Scoring, cases: Sequence[Case], found: Sequence[Mapping[str, Any]]) -> None:
    """Draw the scores of all conditions, and models under some of them."""
    figures.save(drawn.conditions_figure(found), scoring.out / "scores.png")
    shown = [_example(scoring, cases[place], sample) for place, sample in chosen_examples(found)]
    grid = scoring.run.config.velocity
    depth, x = (np.arange(nodes) * grid.spacing for nodes in grid.shape)
    figures.save(figures.predictions_figure(shown, depth, x), scoring.out / "models.png")


def chosen_examples(found: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Return which conditions are shown, and which sample of each: (condition, sample).

    The reference, and of each group but those of families trained on the condition of the least
    skill. Of the reference's models always the one of median SSIM there; of others their own.
    """

    def typical(one: Mapping[str, Any]) -> int:
        order = np.argsort(one["per_sample"]["ssim"], kind="stable")
        return int(order[len(order) // 2])

    pairs = [(0, typical(found[0]))]
    groups = dict.fromkeys(one["group"] for one in found[1:])
    for group in [name for name in groups if not name.startswith("Families trained on")]:
        places = [place for place, one in enumerate(found) if one["group"] == group]
        worst = min(places, key=lambda place: skill(found[place]))
        same = found[worst]["same_models"]
        pairs.append((worst, pairs[0][1] if same else typical(found[worst])))
    return pairs


def _example(scoring: Scoring, case: Case, sample: int) -> figures.Case:
    path, rows = scoring.data_of(case)
    row, threshold = rows[[sample]], scoring.run.config.evaluation.salt_threshold
    with open_dataset(path) as data, quietly():
        models = {"": predicted_models(scoring.run, data, row, **case.corruption)}
        (shown,) = build_cases(data, [""], row, models, threshold)
        # Other rocks may be as fast as salt.
        return replace(shown, label=case.condition.label, salt=data.read_salt_mask(row)[0])
