"""The page of a study, its numbers and figures: made from the run directories that are there."""

import itertools
import math
import statistics
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.evaluation import figures
from seistomo.evaluation.figures import studies as drawn
from seistomo.evaluation.metrics import SCORE_NAMES, ScoreName
from seistomo.experiments import problems, records
from seistomo.experiments.machine import machine_line
from seistomo.experiments.records import Record, Row, read_rows
from seistomo.experiments.study import (
    HIGHER_IS_BETTER,
    Study,
    in_words,
    judged,
    moment,
    reaches,
)
from seistomo.experiments.tables import (
    NOTHING,
    markdown_table,
    mean_change,
    mean_deviation,
    median_range,
    number,
    spread,
)
from seistomo.files import write_text
from seistomo.progress import say

INDEX, TABLE = "index.md", "table.json"
NOTE = (
    "Mean ± standard deviation over runs. Seconds are the optimizer's, median over epochs, of runs"
    " that were made one after another: `seistomo benchmark optimizer-cost` takes times in turns,"
    " for comparison."
)


class Page:
    """What is shown of a study: its folder, and its methods with the runs that are there."""

    def __init__(self, study: Study, out: Path, rows: Sequence[Row]):
        self.study, self.out, self.rows = study, out, rows
        self.problem = str(study.problem.get("name", ""))
        self.checkpoint = "best" if "best" in study.columns else "last"
        self.columns = [name for name in study.columns if name not in ("best", "last")]
        self.columns = self.columns or self._usual_columns()
        self.reference = next((row for row in rows if row.entry.name == study.reference), None)

    def _usual_columns(self) -> list[str]:
        shown = problems.shown_scores(self.problem)
        seen = {name for row in self.rows for one in row.whole for name in one.history[-1]}
        shown = shown or [name for name in SCORE_NAMES if name in seen | {"loss"}]
        columns = ["learning_rate", "epochs", *shown, "seconds", "runs"]
        if self.study.target:
            columns.insert(0, "time")
        if any(one.lost for row in self.rows for one in row.records):
            columns.append("restarts")
        if any(one.stuck for row in self.rows for one in row.records):
            columns.append("stuck")
        return columns

    def unit(self, score: str) -> tuple[str, float]:
        """Return a score's heading, and what is one in it."""
        usual = SCORE_NAMES.get(score, ScoreName(score))
        found = SCORE_NAMES.get(f"{self.problem}.{score}", usual)
        return found.heading, found.one

    def values(self, row: Row, score: str) -> list[float]:
        """Return a row's scores in the unit that they are shown in."""
        unit = self.unit(moment(score)[0])[1]
        return [value / unit for value in self.scores(row, score)]

    def scores(self, row: Row, column: str) -> list[float]:
        """Return a row's scores, as ``loss``, at the end or as ``loss@WHEN`` at another moment."""
        score, when = moment(column)
        if not when:
            return row.values(score, self.checkpoint)
        then = (self._then(row, one, when) for one in row.whole)
        return [judged(one.history[-1], score) for one in then if one.history]

    def _then(self, row: Row, record: Record, when: str) -> Record:
        """Return a run as it was at a moment, without history where it did not get there."""
        if when.endswith("%"):
            return record.first_seconds(self._seconds(when))
        epochs = row.entry.paper.get("epochs") if when == "paper" else int(when)
        there = epochs is not None and len(record.history) >= epochs
        return record.first_epochs(int(epochs) if there else 0)

    def _seconds(self, share: str) -> float:
        return float(share.removesuffix("%")) / 100 * self.study.seconds

    def first_score(self) -> str:
        """Return the first score of the table that there are values of."""
        shown = (name for name in self.columns if name in SCORE_NAMES)
        there = (name for name in shown if any(self.values(row, name) for row in self.rows))
        return next(there, "loss")

    def target(self) -> float | None:
        """Return the score to be reached; None while it is not known."""
        target = self.study.target
        if target is None or target.value is not None:
            return target.value if target else None
        row = next((row for row in self.rows if row.entry.name == target.method), None)
        found = [judged(one.history[-1], target.score) for one in row.whole] if row else []
        return statistics.fmean(found) if found else None

    def times(self, row: Row) -> list[float]:
        """Return the seconds of a row's runs to the target; infinity where it was not reached."""
        target = self.target()
        if target is None:
            return []
        return [one.seconds_to(self.study.target.score, target) for one in row.records]

    def table(self) -> str:
        """Return the scores as a Markdown table."""
        columns = [pair for name in self.columns for pair in self._column(name)]
        lines = [["method", *(heading for heading, _ in columns)]]
        lines += [[row.entry.label, *(cell(row) for _, cell in columns)] for row in self.rows]
        baseline = self._baseline()
        if baseline:
            lines.append(["mean training model", *(baseline.get(h, NOTHING) for h, _ in columns)])
        return markdown_table(lines)

    def _column(self, name: str) -> Iterator[tuple[str, Callable[[Row], str]]]:
        """Yield the headings of a column and how a row's cell is written, the paper's behind."""
        score, when = moment(name)
        heading, unit = self.unit(score)
        kind, _, score = score.partition(":")
        if when:
            heading = f"{heading}, after {self._in_words(when)}"
            if kind == "epochs":
                yield heading, lambda row: self._epochs(row, when)
            else:
                yield heading, lambda row: mean_deviation(self.values(row, name))
        elif name in SPECIAL:
            heading, cell = SPECIAL[name]
            yield heading, lambda row: cell(self, row)
            unit = 1.0
        elif kind == "change":
            yield f"change of {self.unit(score)[0]}", lambda row: self._change(row, score)
        elif kind == "lowest":
            heading = f"lowest {self.unit(score)[0]}"
            yield heading, lambda row: number(min(self.values(row, score), default=None))
        else:
            yield heading, lambda row: mean_deviation(self.values(row, name))
        if any(name in row.entry.paper for row in self.rows):

            def paper(row: Row) -> str:
                value = row.entry.paper.get(name)
                return NOTHING if value is None else f"{value / unit:.4g}"

            yield "paper", paper

    def _in_words(self, when: str) -> str:
        if when.endswith("%"):
            return f"{self._seconds(when):.3g} s"
        return "the paper's epochs" if when == "paper" else f"{when} epochs"

    def _epochs(self, row: Row, when: str) -> str:
        counts = [len(self._then(row, one, when).history) for one in row.whole]
        return _range(counts) if counts else NOTHING

    def _change(self, row: Row, score: str) -> str:
        """Return the mean change from the reference's run with the same seed ± its error."""
        if self.reference is None or row is self.reference:
            return NOTHING
        theirs = {one.seed: one.value(score, self.checkpoint) for one in self.reference.whole}
        pairs = [(one.value(score, self.checkpoint), theirs.get(one.seed)) for one in row.whole]
        return mean_change([(a - b) / self.unit(score)[1] for a, b in pairs if b is not None])

    def _baseline(self) -> dict[str, str]:
        """Return what the mean training model scores, by heading."""
        for row in self.rows:
            for one in row.whole:
                found = one.scores.get(self.checkpoint, {}).get("baseline", {})
                return {
                    self.unit(name)[0]: number(value / self.unit(name)[1])
                    for name, value in found.items()
                    if name in SCORE_NAMES and value is not None
                }
        return {}

    def notes(self) -> list[str]:
        """Return what must be said below the table."""
        lines = list(self.study.notes)
        for row in self.rows:
            lines += [
                f"{row.entry.label}, seed {one.seed}: diverged: {one.diverged}"
                for one in row.records
                if one.diverged
            ]
            if row.trials:
                done = row.trials["trials"].values()
                seconds = sum(one["seconds"] or 0 for one in done)
                words = in_words(row.trials.get("values", {}))
                lines.append(
                    f"{row.entry.label}: the best of {len(done)} trials"
                    f" ({seconds:.0f} s of optimizer time) by the validation split:"
                    f" {words or 'none, all diverged or were cut short'}"
                )
        return [f"- {line}\n" for line in lines]

    def summary(self, row: Row) -> dict[str, Any]:
        """Return a row's numbers for JSON."""
        names = {"loss", *(name for name in self.columns if moment(name)[0] in SCORE_NAMES)}
        entry = row.entry
        return {
            "name": entry.name,
            "label": entry.label,
            "optimizer": entry.optimizer,
            "learning_rate": entry.learning_rate,
            "options": entry.options,
            "training": entry.training,
            "paper": entry.paper,
            "seeds": [one.seed for one in row.records],
            "epochs": [len(one.history) for one in row.records],
            "diverged": {one.seed: one.diverged for one in row.records if one.diverged},
            "stuck": sum(one.stuck for one in row.records),
            "restarts": sum(len(one.lost) for one in row.records),
            "seconds_per_iteration": [one.seconds_per_iteration() for one in row.whole],
            "seconds_to_target": self.times(row),
            "scores": {
                name: {"mean": statistics.fmean(found), "std": spread(found), "values": found}
                for name in sorted(names)
                if (found := self.scores(row, name))
            },
        }


def _range(values: Sequence[float]) -> str:
    low, high = min(values, default=0), max(values, default=0)
    return str(low) if low == high else f"{low} to {high}"


SPECIAL: dict[str, tuple[str, Callable[[Page, Row], str]]] = {
    "learning_rate": ("α", lambda page, row: f"{row.entry.learning_rate or math.nan:g}"),
    "epochs": ("epochs", lambda page, row: _range([len(one.history) for one in row.records])),
    "seconds": (
        "s/iteration",
        lambda page, row: mean_deviation([one.seconds_per_iteration() for one in row.whole]),
    ),
    "runs": ("runs", lambda page, row: str(len(row.whole))),
    "restarts": ("restarts", lambda page, row: str(sum(len(one.lost) for one in row.records))),
    "stuck": (
        "stuck",
        lambda page, row: f"{sum(one.stuck for one in row.records)} of {len(row.records)}",
    ),
    "duration": (
        "s a run",
        lambda page, row: mean_deviation([one.history[-1]["seconds"] for one in row.whole]),
    ),
    "time": ("s to target", lambda page, row: median_range(page.times(row))),
}


def write_page(study: Study, out: Path, command: str, busy: Sequence[str] = ()) -> str:
    """Write ``index.md``, ``table.json`` and the figures; return a line that says what came out."""
    rows = read_rows(study, out)
    page = Page(study, out, rows)
    if not any(row.records for row in rows):
        return f"{out}: no epoch is done yet; go on with the same command"
    table = page.table()
    machine = records.read_json(out / records.MACHINE)
    text = f"# {study.title}\n\n{table}\n{NOTE}\n\n{''.join(page.notes())}"
    target = page.target()
    if target is not None:
        heading, unit = page.unit(study.target.score)
        text += f"- Target: {heading} {target / unit:.4g}, on the split that judges each epoch.\n"
    missing = _missing(study, page.rows, busy)
    text += missing + (f"- {machine_line(machine)}\n" if machine else "")
    for name, caption in _draw(page, out):
        text += f"\n![{caption}]({name})\n"
    text += f"\n`{command}`\n" if command else ""
    write_text(out / INDEX, text)
    content = {
        "study": study.name,
        "title": study.title,
        "problem": study.problem,
        "target": target,
        "complete": not missing,
        "machine": machine,
        "command": command,
        "rows": [page.summary(row) for row in page.rows],
    }
    records.write_json(out / TABLE, content)
    say(f"{table}\n{missing}")
    wanted = ", ".join(f"{score} {value:g}" for score, value in study.expect.items())
    return f"{out / INDEX}: {_headline(page)}" + (f"; expected {wanted}" if wanted else "")


def _missing(study: Study, rows: Sequence[Row], busy: Sequence[str]) -> str:
    """Return a line on what is not done yet, or nothing."""
    trained = [row for row in rows if not row.entry.runs_of]
    there, short = sum(len(row.records) for row in trained), 0
    if not study.seconds and not study.target:
        short = sum(
            len(one.history) < _wanted_epochs(study, one) and not one.diverged
            for row in trained
            for one in row.records
        )
    # The folder may hold methods beside those that were asked for.
    wanted = max(len(study.trained), len(trained)) * study.seeds
    line = ""
    if there < wanted or short or busy:
        line = f"- **Not complete**: {there} of {wanted} runs are there"
        line += f", {short} of them not trained to the end" if short else ""
        line += f"; another process is at {', '.join(busy)}" if busy else ""
        line += "; the same command goes on.\n"
    return line


def _wanted_epochs(study: Study, record: Record) -> int:
    """Return how many epochs a run is to have: the study's, or what its configuration says."""
    path = record.path / "config.toml"
    if study.epochs or not path.is_file():
        return study.epochs or 0
    return tomllib.loads(path.read_text(encoding="utf-8"))["training"]["epochs"]


def _headline(page: Page) -> str:
    """Return in words which method is the best."""
    if page.study.target:
        found = {row.entry.label: page.times(row) for row in page.rows}
        return "; ".join(
            f"{label}: target after {median_range(times)} s" for label, times in found.items()
        )
    score = page.first_score()
    sign = -1 if score in HIGHER_IS_BETTER else 1
    rows = [row for row in page.rows if page.values(row, score)]
    if not rows:
        return "all runs diverged"
    best = min(rows, key=lambda row: sign * statistics.fmean(page.values(row, score)))
    heading, _ = page.unit(score)
    return f"{best.entry.label}: {heading} {mean_deviation(page.values(best, score))}"


def failures(study: Study, out: Path) -> list[str]:
    """Return the methods that fall short of what the study expects, in words."""
    found = []
    for row in read_rows(study, out):
        for score, least in study.expect.items():
            values = row.values(score)
            value = statistics.fmean(values) if values else math.nan
            if not reaches(value, score, least):
                found.append(f"{row.entry.label}: {score} {value:.3g}, not {least:g}")
    return found


def _draw(page: Page, out: Path) -> Iterator[tuple[str, str]]:
    """Draw the figures that the study asks for; yield their names and captions."""
    for kind in page.study.figures:
        figure, caption = FIGURES[kind](page)
        if figure is not None:
            name = f"{kind}.png"
            figures.save(figure, out / name)
            yield name, caption


def _histories(page: Page) -> dict[str, list[dict[str, np.ndarray]]]:
    """Return the columns of all runs by method; of methods that show another's, the other's."""
    return {
        row.entry.label: [
            {name: np.array([epoch[name] for epoch in one.history]) for name in one.history[0]}
            for one in row.whole
        ]
        for row in page.rows
        if row.whole and not row.entry.runs_of
    }


def _draw_curves(page: Page, against: str) -> tuple[Any, str]:
    methods = _histories(page)
    if not methods:
        return None, ""
    value, study = page.target(), page.study
    target = None
    if value is not None:
        column = "validation_loss" if study.target.score == "loss" else study.target.score
        target = {column: value}
    split = "test" if problems.is_judged_by_test(page.problem) else "validation"
    figure = figures.curves_figure(methods, against, target=target, split=split)
    unit = "epochs" if against == "epoch" else "optimizer time"
    return figure, f"Loss and score of each run against {unit}"


def _draw_histogram(page: Page) -> tuple[Any, str]:
    values = {row.entry.label: page.values(row, "accuracy") for row in page.rows if row.whole}
    label = page.unit("accuracy")[0]
    return drawn.histogram_figure(values, label), "Runs by the accuracy that they end at"


def _draw_sweeps(page: Page) -> tuple[Any, str]:
    """Draw the first score against each setting, or all scores against a single one."""
    scores = [page.first_score()]
    if len({sweep.symbol for sweep in page.study.sweeps}) == 1:
        scores = [name for name in page.columns if name in SCORE_NAMES]
    by_name = {row.entry.name: row for row in page.rows}
    found, own = {}, {}
    for sweep, score in itertools.product(page.study.sweeps, scores):
        base, heading = page.study.entry(sweep.method), page.unit(score)[0]
        names = {value: sweep.name(value, base) for value in sweep.values}
        there = {
            v: _with_diverged(page, by_name[n], score) for v, n in names.items() if n in by_name
        }
        there = {value: scores for value, scores in there.items() if scores}
        if there:
            found.setdefault((sweep.symbol, heading), {})[base.label] = there
            own[f"{base.label}: {sweep.symbol}"] = base.value(sweep.key)
    if not found:
        return None, ""
    log = len(scores) == 1 and scores[0] not in HIGHER_IS_BETTER
    figure = drawn.sweeps_figure(found, own, log=log)
    shown = ", ".join(page.unit(score)[0] for score in scores)
    return figure, f"{shown} against single settings; rings: usual; crosses: diverged"


def _with_diverged(page: Page, row: Row, score: str) -> list[float]:
    """Return a row's scores, not a number for a run that diverged."""
    return page.values(row, score) + [math.nan] * (len(row.records) - len(row.whole))


def _draw_examples(page: Page) -> tuple[Any, str]:
    options = page.study.problem
    figure = problems.examples_figure(options, page.out, page.rows, page.checkpoint)
    return figure, "Test samples with little, middling and much salt, and what each method predicts"


FIGURES: dict[str, Callable[[Page], tuple[Any, str]]] = {
    "epoch": lambda page: _draw_curves(page, "epoch"),
    "seconds": lambda page: _draw_curves(page, "seconds"),
    "histogram": _draw_histogram,
    "sweeps": _draw_sweeps,
    "examples": _draw_examples,
}
