"""One HTML file that holds everything about an evaluation, and needs nothing else."""

import base64
import math
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader, open_velocity
from seistomo.dataset.describe import describe_dataset
from seistomo.dataset.store.schema import versions_of
from seistomo.evaluation import figures
from seistomo.evaluation.info import History, aligned, run_facts, scientific
from seistomo.evaluation.metrics import SCORE_NAMES, ScoreTable, sample_scores
from seistomo.evaluation.misfit import Resimulation
from seistomo.evaluation.uncertainty import SpreadTable, gaussian_share
from seistomo.progress import counted
from seistomo.training import Run
from seistomo.training.directory import member_folders

WORST = 8
"""How many of the worst samples are listed."""
FEW = 20
"""Below this many samples the report warns that the scores are uncertain."""
CANDIDATE_NAMES = {
    "prediction": "Prediction",
    "baseline": "Mean training model",
    "oracle_1d": "Own lateral mean (oracle)",
}
SALT_WORDS = (
    (0.7, "Salt is outlined well"),
    (0.4, "Salt is found roughly"),
    (0.15, "Salt is found in part"),
    (0.005, "Most of the salt is missed"),
    (0.0, "No salt is found"),
)
"""Mean salt IoU from which on words apply."""
NARROW = ("ssim_histogram", "rmse_depth", "misfit_rmse", "misfit_offset")
"""Figures that can be read on a phone as they are."""
Drawn = dict[str, tuple[figures.Figure, *tuple[str, ...]]]
"""Figures by name, each with title, alternative text (left out: the title) and caption."""
PACKAGES = ("seistomo", "torch", "numpy", "scipy", "h5py", "matplotlib", "deepwave")


def _score(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _speed(value: float) -> str:
    return f"{value:,.0f}"


def _misfit(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


_STYLES = {
    "rmse": _speed,
    "mae": _speed,
    "ssim": _score,
    "salt_iou": _score,
    "loss": scientific,
    "mse": _speed,
    "data_misfit_far": _misfit,
    "data_misfit": _misfit,
}
# Key, name with unit, which way is better, and how it is written.
SCORE_ROWS = tuple(
    (key, name.label, "↑" if name.higher else "↓", style)
    for key, style in _STYLES.items()
    for name in [SCORE_NAMES.get(f"evaluation.{key}") or SCORE_NAMES[key]]
)


class Verdict(NamedTuple):
    """What the scores say, in words that do not flatter."""

    kind: str  # good, unclear or bad: against the mean training model
    headline: str
    details: list[str]
    cautions: list[str]


def write_report(
    folder: Path,
    paths: tuple[Path, Path, Path],
    run: Run,
    data: DatasetReader,
    histories: Sequence[History],
    metrics: Mapping[str, Any],
    table: ScoreTable,
    differences: Sequence[str] = (),
    again: Resimulation | None = None,
    spread: SpreadTable | None = None,
) -> None:
    """Write ``figures/`` and ``report.html`` into a folder that holds ``predictions.h5``.

    ``paths`` are run, data set and output as the user named them, ``metrics`` is the content of
    ``metrics.json``, ``differences`` say what the data have unlike the training data, and
    ``again`` is what was shot over the models, if that was asked for. ``histories`` are of the run
    or of each member; ``spread`` is an ensemble's.
    """
    cases, rows = _examples(folder, data, run, table)
    drawn = _draw_figures(data, cases, histories, table)
    if spread is not None:
        with open_velocity(folder / "predictions.h5") as predictions:
            std = predictions.read_velocity_std(rows)
        drawn |= _draw_spread(data, cases, std, spread, metrics["ensemble"])
    if again is not None and again.examples:
        drawn |= _draw_misfit(data, metrics, table, again)
    parameters = sum(weights.numel() for weights in run.network.parameters())
    run_config, data_config = run.config.to_toml(), data.config.to_toml()
    configs = [("Configuration of the run", run_config)]
    if data_config != run_config:
        configs.append(("Configuration of the data set", data_config))
    first = [*member_folders(paths[0]), paths[0]][0]
    trained = run_facts(first, histories[0], metrics["checkpoint"], run.epoch, parameters)
    if spread is not None:
        trained.insert(0, ("Ensemble", f"{paths[0].name}, {len(histories)} members, as this one:"))
    write_page(
        "report.html.jinja",
        folder,
        drawn,
        metrics,
        title=f"Evaluation of {paths[0].name} on {paths[1].name}",
        verdict=judge(table, metrics, differences),
        candidates=[(name, metrics.get(key, metrics)) for key, name in CANDIDATE_NAMES.items()],
        ensemble=metrics.get("ensemble"),
        spread_words=_spread_in_words(metrics["ensemble"]) if spread is not None else (),
        worst=table.samples.nsmallest(WORST, "ssim").to_dict("records"),
        origin=[describe_dataset(data.path), aligned(trained), environment_facts()],
        commands=_commands(paths, metrics, run),
        configs=configs,
    )


def write_page(
    template: str, folder: Path, drawn: Drawn, metrics: Mapping[str, Any], **content: Any
) -> None:
    """Write ``figures/`` and ``report.html``, a template of evaluation or of refinement."""
    pictures = []
    for name, (figure, title, *words) in drawn.items():
        path = figures.save(figure, folder / "figures" / f"{name}.png")
        source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
        alternative, caption = (title, *words)[-2:]
        about = {"title": title, "alternative": alternative, "caption": caption}
        pictures.append({**about, "source": source, "narrow": name in NARROW})
    loaders = [PackageLoader(f"seistomo.{part}", ".") for part in ("evaluation", "refinement")]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": _score, "speed": _speed}
    rows = [row for row in SCORE_ROWS if row[0] in metrics]
    shown = {"metrics": metrics, "figures": pictures, "score_rows": rows}
    page = environment.get_template(template).render(**shown, **content)
    (folder / "report.html").write_text(page, encoding="utf-8")


def environment_facts() -> str:
    packages = ", ".join(" ".join(item) for item in versions_of(*PACKAGES).items())
    return f"Python {platform.python_version()}, {platform.system()}; {packages}"


def judge(
    table: ScoreTable, metrics: Mapping[str, Any], differences: Sequence[str] = ()
) -> Verdict:
    """Compare the prediction with the mean training model and the lateral mean.

    It beats another in a score, squared error or SSIM, when the mean of the paired differences
    over samples exceeds two of its standard errors, and more samples are better than chance would
    give, also by two standard errors. Only what both scores say is said without reserve.
    """
    mse, ssim = (_compared(table, score, "baseline") for score in ("mse", "ssim"))
    count = f"{len(table)} samples"
    wins = f"in {mse.better} of {count} by RMSE, in {ssim.better} by SSIM"
    if mse.clear and ssim.clear:
        kind, headline = "good", f"The prediction beats the mean training model: {wins}."
    elif mse.clear or ssim.clear:
        better, other = ("RMSE", "SSIM") if mse.clear else ("SSIM", "RMSE")
        lack = "not clearly" if min(mse.gain, ssim.gain) > 0 else "not"
        kind = "unclear"
        headline = (
            f"The prediction beats the mean training model in {better}, but {lack} in {other}"
            f" (better {wins})."
        )
    elif min(mse.gain, ssim.gain) > 0:
        kind = "unclear"
        headline = (
            "The prediction scores better than the mean training model, but not by a clear margin"
            f" (better {wins})."
        )
    else:
        kind = "bad"
        headline = (
            "The prediction does not beat the mean training model: these scores show nothing"
            f" learnt from the recorded waves (better {wins})."
        )
    return Verdict(kind, headline, _details(table, metrics), _cautions(metrics, differences))


def _compared(table: ScoreTable, score: str, other: str) -> "Comparison":
    return Comparison(score, table.column(score), table.column(score, other))


class Comparison:
    """How much better in a score models are than others, sample by sample [sample]."""

    def __init__(self, score: str, ours: NDArray, theirs: NDArray) -> None:
        gains = ours - theirs if score == "ssim" else theirs - ours
        count = len(gains)
        error = float(np.std(gains, ddof=1)) / math.sqrt(count) if count > 1 else math.inf
        self.gain = float(np.mean(gains))
        self.better = int(np.count_nonzero(gains > 0))
        self.clear = self.gain > 2 * error and self.better > count / 2 + math.sqrt(count)


def _details(table: ScoreTable, metrics: Mapping[str, Any]) -> list[str]:
    baseline, oracle = metrics["baseline"], metrics["oracle_1d"]
    details = [f"Against the mean training model: {_side_by_side(metrics, baseline)}."]
    if not baseline["rmse"]:
        details = ["The mean training model is exact here: all models are alike."]
    mse, ssim = (_compared(table, score, "oracle_1d") for score in ("mse", "ssim"))
    wins = (
        f"nearer to the truth in {mse.better} of {len(table)} samples by RMSE and in {ssim.better}"
        f" by SSIM ({_side_by_side(metrics, oracle)})"
    )
    if mse.clear and ssim.clear:
        sentence = (
            f"Against each model's own lateral mean it is {wins}: it recovers structure that varies"
            " sideways."
        )
    else:
        sentence = (
            "It does not beat each model's own lateral mean, which only someone who knows the"
            f" answer can draw: it is {wins}."
        )
    details.append(sentence)
    if metrics.get("data_misfit_far") is not None:
        details.append(_explained(metrics))
    if metrics["salt_iou"] is None:
        return [*details, "No sample holds salt."]
    iou = table.column("salt_iou")
    iou = iou[~np.isnan(iou)]
    words = next(words for least, words in SALT_WORDS if metrics["salt_iou"] >= least)
    missed = f"in {np.count_nonzero(iou == 0)} none at all is found"
    return [
        *details,
        f"{words}: mean IoU {metrics['salt_iou']:.2f} with the true salt over"
        f" {counted(len(iou), 'sample')} with some, and {missed}; the mean training model reaches"
        f" {baseline['salt_iou']:.2f}.",
    ]


def _explained(metrics: Mapping[str, Any]) -> str:
    """Say how well the predictions explain the gathers, and whether that tells good from bad."""
    ours, theirs = metrics, metrics["baseline"]
    sentence = (
        f"Shot over again, the predictions leave {ours['data_misfit_far']:.1%} of the recorded"
        f" energy beyond {metrics['near_offset']:g} m unexplained (median"
        f" {ours['data_misfit_far_median']:.1%}), the mean training model"
        f" {theirs['data_misfit_far']:.1%}."
    )
    rank = metrics["data_misfit_far_rank_correlation"]
    if rank is None:
        return sentence
    words = "tells good predictions from bad ones"
    worth = f"{words} well" if rank >= 0.7 else f"{words} roughly" if rank >= 0.4 else None
    worth = worth or f"hardly {words}"
    return f"{sentence} This misfit {worth}: its rank correlation with RMSE is {rank:.2f}."


def _side_by_side(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    return (
        f"RMSE {ours['rmse']:.0f} against {theirs['rmse']:.0f} m/s, MAE {ours['mae']:.0f} against"
        f" {theirs['mae']:.0f} m/s, SSIM {ours['ssim']:.2f} against {theirs['ssim']:.2f}"
    )


def _cautions(metrics: Mapping[str, Any], differences: Sequence[str]) -> list[str]:
    own, cautions = metrics["trained_on_this_data"], []
    if own and metrics["split"] in ("train", "all"):
        cautions.append(
            "These samples include those the network was trained on: the scores say little about"
            " new ones."
        )
    if own and metrics["split"] == "validation":
        cautions.append(
            "The best checkpoint was chosen on these samples, so the scores flatter a little."
        )
    if not own:
        whose = "run" if metrics["baseline_of_run"] else "data set evaluated"
        cautions.append(
            "The network was trained on another data set. The mean training model here is that of"
            f" the {whose}."
        )
    cautions += differences
    if metrics["noise_snr"] is not None:
        cautions.append(f"White noise was added to the gathers, {metrics['noise_snr']:g} dB.")
    if metrics["dead_traces"]:
        cautions.append(f"{metrics['dead_traces']:.0%} of the traces were set to zero.")
    if metrics["samples"] < FEW:
        count = counted(metrics["samples"], "sample")
        cautions.append(f"Only {count}: another draw would give noticeably other numbers.")
    if own:
        cautions.append(
            "Training and test data come from the same simulator, grid and wavelet, and real data"
            " do not: expect lower scores there."
        )
    return cautions


def _spread_in_words(found: Mapping[str, Any]) -> list[str]:
    """Return how far an ensemble's sigma may be trusted."""
    one, two = found["within_1_std"], found["within_2_std"]
    size = "too small" if one < gaussian_share(1) else "too large"
    words = [
        f"The truth lies within one σ, the members' standard deviation, of their mean in {one:.0%}"
        f" of the pixels, and within two in {two:.0%}. A calibrated σ holds 68% and 95%: this one"
        f" is {size}."
    ]
    if found["factor"] is None:
        words.append("No factor can be told: without a validation split, or with a σ of zero.")
    else:
        words.append(
            f"Multiplied by {found['factor']:.2f}, which holds 68% of the errors of"
            f" {counted(found['factor_samples'], 'validation sample')}, it would be"
            f" {found['within_1_std_scaled']:.0%} and {found['within_2_std_scaled']:.0%} here;"
            " velocity_std is not multiplied."
        )
    pixels, samples = (
        "none" if value is None else f"{value:.2f}"
        for value in (found["rank_correlation"], found["rank_correlation_samples"])
    )
    words.append(
        f"Rank correlation of σ and the absolute error over the pixels of a sample: {pixels} in the"
        f" mean; of the samples' σ and RMSE: {samples}."
    )
    return words


def _draw_spread(
    data: DatasetReader,
    cases: Sequence[figures.Case],
    std: NDArray[np.float32],
    spread: SpreadTable,
    found: Mapping[str, Any],
) -> Drawn:
    sigma, error = spread.groups
    shown = "; ".join(
        f"{case.label}: RMSE {case.rmse['']:.0f} m/s, mean deviation {one.mean():.0f} m/s"
        for case, one in zip(cases, std, strict=True)
    )
    return {
        "uncertainty": (
            figures.uncertainty_figure(cases, std, data.depth, data.x, found["factor"]),
            "Error beside the members' deviation",
            f"Reference, mean of the members, error and deviation, a row a sample. {shown}.",
            "Where the mean is wrong, and where the members disagree: σ times the factor above, on"
            " one colour scale with the error. Dark in the third column and bright in the fourth:"
            " wrong, and sure of it.",
        ),
        "reliability": (
            figures.reliability_figure(found["reliability"], found["factor"], sigma, error),
            "Reliability",
            f"Left: shares of errors within multiples of σ, {found['within_1_std']:.0%} within one."
            f" Right: RMS error against σ, from {error[0]:.0f} m/s at {sigma[0]:.0f} m/s to"
            f" {error[-1]:.0f} m/s at {sigma[-1]:.0f} m/s.",
            "Left: below the dashed line the members are too sure. Right: pixels in groups of"
            " rising σ; above the dashed line the error is larger than σ says.",
        ),
    }


def _examples(
    folder: Path, data: DatasetReader, run: Run, table: ScoreTable
) -> tuple[list[figures.Case], list[int]]:
    """Return the samples that stand for the others, and their rows among the predictions."""
    examples = choose_examples(table.column("ssim"), table.column("salt_iou"))
    rows = list(examples.values())
    indices = table.samples["index"].to_numpy()[rows]
    with open_velocity(folder / "predictions.h5") as predictions:
        predicted = {"": predictions.read_velocity(rows)}
    threshold = run.config.evaluation.salt_threshold
    return build_cases(data, list(examples), indices, predicted, threshold), rows


def _draw_figures(
    data: DatasetReader,
    cases: Sequence[figures.Case],
    histories: Sequence[History],
    table: ScoreTable,
) -> Drawn:
    ssim, baseline, rmse = table.column("ssim"), table.column("ssim", "baseline"), table.rmse_depth
    shown = [f"{c.label}, SSIM {c.ssim['']:.2f}, RMSE {c.rmse['']:.0f} m/s" for c in cases]
    speeds, losses = rmse["prediction"], histories[0]["train_loss"]
    deepest = int(speeds.argmax())
    runs = {"members" if len(histories) > 1 else "run": histories}
    return {
        "predictions": (
            figures.predictions_figure(cases, data.depth, data.x),
            "Reference, prediction and difference",
            f"Velocity models side by side, a row a sample. {'; '.join(shown)}.",
            "Best, median and worst sample by SSIM, and one with salt. All models share one colour"
            " scale; in the differences red is predicted too fast, blue too slow. The outline is"
            " the true salt.",
        ),
        "ssim_histogram": (
            figures.ssim_histogram_figure(ssim, baseline),
            "Spread of the SSIM",
            f"Histogram of the SSIM of {len(ssim)} samples: predictions from {ssim.min():.2f} to"
            f" {ssim.max():.2f}, mean training model from {baseline.min():.2f} to"
            f" {baseline.max():.2f}.",
            "How many samples reach which SSIM, beside the mean training model's. Dashed: means.",
        ),
        "rmse_depth": (
            figures.rmse_depth_figure(rmse, data.depth),
            "Error against depth",
            f"RMSE against depth: the prediction's is {speeds[0]:.0f} m/s at the top and largest,"
            f" {speeds[deepest]:.0f} m/s, at {data.depth[deepest]:.0f} m.",
            "RMSE over samples and x at each depth. Where the prediction's line meets the mean"
            " model's, the network adds nothing.",
        ),
        "convergence": (
            figures.curves_figure(runs, baseline=table.summary()["baseline"]),
            "Convergence",
            f"Loss and SSIM over {len(losses)} epochs: the training loss goes from"
            f" {losses[0]:.2e} to {losses[-1]:.2e} (m/s)².",
            "Loss (Eq. 9) and validation SSIM against epochs and optimizer time. Dashed: the mean"
            " training model on the samples evaluated here.",
        ),
    }


def _draw_misfit(
    data: DatasetReader, metrics: Mapping[str, Any], table: ScoreTable, again: Resimulation
) -> Drawn:
    """Draw what was recorded beside what the models give, and what the misfit is worth."""
    misfit, rmse = table.column("data_misfit_far"), table.column("rmse")
    baseline = table.column("data_misfit_far", "baseline"), table.column("rmse", "baseline")
    near, rank = metrics["near_offset"], metrics["data_misfit_far_rank_correlation"]
    cases = []
    for label, example in again.examples.items():
        place = int(np.flatnonzero(table.samples["index"] == example.index)[0])
        cases.append((f"{label} misfit: sample {example.index}, {misfit[place]:.3g}", example))
    return {
        "misfit_gathers": (
            figures.misfit_gathers_figure(cases, data.time),
            "Gathers: recorded, predicted and difference",
            "One shot a row: recorded, over the prediction, their difference, and the difference"
            f" for the mean training model. {'; '.join(title for title, _ in cases)}.",
            "The middle shot of the samples with the least, median and largest misfit, each on one"
            " grey scale. What is left in the difference is what the predicted model does not"
            " explain.",
        ),
        "misfit_rmse": (
            figures.misfit_figure((misfit, rmse), baseline, rank),
            "Misfit against error",
            f"Data misfit against RMSE of {len(misfit)} samples, rank correlation {_score(rank)}.",
            "A dot a sample. Where the dots rise together, the misfit, which needs no truth, tells"
            " good predictions from bad ones.",
        ),
        "misfit_offset": (
            figures.misfit_offset_figure(again.offsets, near),
            "Misfit against offset",
            "Data misfit over ranges of offset, prediction and mean training model.",
            f"Over all samples. Left of the dotted line, {near:g} m, traces do not count in"
            " data_misfit_far.",
        ),
    }


def choose_examples(ssim: NDArray, salt_iou: NDArray) -> dict[str, int]:
    """Return the rows of the best, median and worst sample by SSIM, and of the median salt IoU.

    By label; a row that is there already, or a sample with salt where there is none (NaN), is left
    out.
    """
    order = np.argsort(-ssim, kind="stable")
    wanted = {"Best": order[0], "Median": order[len(order) // 2], "Worst": order[-1]}
    with_salt = np.flatnonzero(~np.isnan(salt_iou))
    if len(with_salt):
        by_iou = with_salt[np.argsort(salt_iou[with_salt], kind="stable")]
        wanted["Median salt"] = by_iou[len(by_iou) // 2]
    chosen: dict[str, int] = {}
    for label, row in wanted.items():
        if int(row) not in chosen.values():
            chosen[label] = int(row)
    return chosen


def build_cases(
    data: DatasetReader,
    labels: Sequence[str],
    indices: Sequence[int],
    predictions: Mapping[str, NDArray[np.float32]],
    salt_threshold: float,
) -> list[figures.Case]:
    """Return the cases of `figures.predictions_figure`.

    ``labels`` say what each sample, a row of ``data``, is an example of, or are empty;
    ``predictions`` [sample, depth, x] in m/s are by method; salt is faster than the threshold, m/s.
    """
    references = data.read_velocity(indices)
    data_range = data.config.velocity.maximum - data.config.velocity.minimum
    scores = {
        method: sample_scores(np.asarray(models), references, data_range, salt_threshold)
        for method, models in predictions.items()
    }
    families = data.families(indices)
    return [
        figures.Case(
            f"{label}: sample {index}, {family}" if label else f"Sample {index}, {family}",
            references[row],
            {method: models[row] for method, models in predictions.items()},
            {method: float(found["ssim"][row]) for method, found in scores.items()},
            {method: float(found["rmse"][row]) for method, found in scores.items()},
            references[row] > salt_threshold,
        )
        for row, (label, index, family) in enumerate(zip(labels, indices, families, strict=True))
    ]


def _commands(paths: tuple[Path, Path, Path], metrics: Mapping[str, Any], run: Run) -> list[str]:
    named, data, out = (shlex.quote(str(path)) for path in paths)
    members = member_folders(paths[0])
    config = shlex.quote(str([*members, paths[0]][0] / "config.toml"))
    many = f" --members {len(members)}" if members else ""
    evaluate = f"seistomo evaluate {named} --data {data} --out {out}"
    for key in ("split", "checkpoint", "noise_snr", "dead_traces", "near_offset"):
        if metrics[key] is not None:
            evaluate += f" --{key.replace('_', '-')} {metrics[key]}"
    if metrics["near_offset"] is not None:
        evaluate += " --resimulate"
    if metrics["trained_on_this_data"]:
        return [
            f"seistomo simulate {config} --out {data}",
            f"seistomo train {config} --data {data} --out {named}{many}",
            evaluate,
        ]
    return [
        f"# The run was trained on another data set, {run.data_identity}:",
        f"seistomo simulate {config} --out training.h5",
        f"seistomo train {config} --data training.h5 --out {named}{many}",
        "# The data set evaluated; save its configuration, below, as data.toml:",
        f"seistomo simulate data.toml --out {data}",
        evaluate,
    ]
