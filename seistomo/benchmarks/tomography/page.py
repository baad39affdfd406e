"""What the benchmark writes: table, numbers, figures, and a page with all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.benchmarks.tomography.examples import build_comparisons, choose_rows
from seistomo.benchmarks.tomography.sizes import SIZES, velocity_span
from seistomo.benchmarks.tomography.table import (
    MeasuredRow,
    baseline_scores,
    cost_table,
    divergence_notes,
    reference_row,
    table_4,
)
from seistomo.config import Config
from seistomo.dataset import DatasetReader, open_dataset
from seistomo.evaluation import figures
from seistomo.evaluation.baselines import mean_training_model
from seistomo.evaluation.metrics import sample_scores, summarize

TABLE, INDEX = "table-4", "index"
FIGURE_2, FIGURE_3 = "figure-2-{}.png", "figure-3.png"
AGAINST = ("epoch", "seconds")


@dataclass(frozen=True)
class About:
    """What all runs have in common.

    Attributes
    ----------
    size
        Its name.
    base
        The configuration that rows start from.
    data
        Path of the data set.
    identity
        What tells these results from others, for JSON.
    machine
        As of `describe_machine`.
    parameters
        Weights of the network.
    gigaflops
        GFLOP of a sample's gradient.
    command
        The command line.
    repeats
        How many runs of each row there are to be.
    complete
        Whether they are all done.
    """

    size: str
    base: Config
    data: str
    identity: Mapping[str, Any]
    machine: Mapping[str, Any]
    parameters: int
    gigaflops: float
    command: str
    repeats: int
    complete: bool


def write_results(
    folder: BenchmarkFolder, rows: Sequence[MeasuredRow], about: About, pictures: bool = True
) -> str:
    """Write ``table-4.md``, ``table-4.json``, ``index.md`` and the figures; return the table.

    Parameters
    ----------
    folder
        Where.
    rows
        What was measured, each row with at least one outcome.
    about
        What they have in common.
    pictures
        Whether figures are drawn.
    """
    table = table_4(rows)
    with open_dataset(about.data) as data:
        text = f"{table}\n{_below(rows, about, data)}"
        if pictures and any(row.whole for row in rows):
            _draw(folder, rows, about, data)
    folder.write_json(TABLE, _record(rows, about))
    folder.write_text(f"{TABLE}.md", f"{_heading(about)}\n\n{text}")
    shown = [f"{row.row.label} (seed {one.seed})" for row, one in choose_rows(rows)]
    folder.write_text(f"{INDEX}.md", _page(folder, rows, about, text, shown))
    return table


def _draw(
    folder: BenchmarkFolder, rows: Sequence[MeasuredRow], about: About, data: DatasetReader
) -> None:
    shown = {row.row.label: [one.columns() for one in row.whole] for row in rows if row.whole}
    baseline = _validation_baseline(data, about)
    for against in AGAINST:
        figure = figures.tomography_curves_figure(shown, against, baseline)
        figures.save(figure, folder.path / FIGURE_2.format(against))
    chosen = choose_rows(rows)
    threshold = about.base.evaluation.salt_threshold
    device = about.base.training.device
    cases = build_comparisons(chosen, data, "test", threshold, device)
    figure = figures.comparison_figure(cases, data.depth, data.x)
    figures.save(figure, folder.path / FIGURE_3)


def _validation_baseline(data: DatasetReader, about: About) -> dict[str, float]:
    """Return loss and SSIM of the mean training model on what Figure 2 is drawn from."""
    mean, bounds = mean_training_model(data, np.empty(0)), about.base.velocity
    velocity = data.read_velocity(data.indices("validation"))
    scores = sample_scores(
        np.broadcast_to(mean, velocity.shape),
        velocity,
        bounds.maximum - bounds.minimum,
        about.base.evaluation.salt_threshold,
    )
    return summarize(scores, mean.size)


def _record(rows: Sequence[MeasuredRow], about: About) -> dict[str, Any]:
    reference = reference_row(rows)
    return {
        "settings": dict(about.identity),
        "complete": about.complete,
        "epochs": about.base.training.epochs,
        "repeats": about.repeats,
        "parameters": about.parameters,
        "gradient_gflop": about.gigaflops,
        "machine": dict(about.machine),
        "command": about.command,
        "baseline": baseline_scores(rows),
        "rows": [row.summary(reference) for row in rows],
    }


def _heading(about: About) -> str:
    return f"## Table 4 of Thiele et al. (2021), {about.size} size"


def _below(rows: Sequence[MeasuredRow], about: About, data: DatasetReader) -> str:
    """Return what must be said below the table."""
    base, sizes = about.base, " × ".join(map(str, data.gather_shape))
    pixels = " × ".join(map(str, data.velocity_shape))
    counts = {name: len(data.indices(name)) for name in ("train", "validation", "test")}
    batches = -(-counts["train"] // base.training.batch_size)
    lines = [
        "Test split, weights of the last epoch, mean ± standard deviation over runs. Loss: squared"
        " error summed over a model's pixels, mean over samples (Eq. 9)."
        " Seconds: median over epochs, without evaluation; ratios are of runs with the same seed."
        ' "paper": Thiele et al. (2021), Table 4, five runs of 200 epochs on models of their own,'
        " 100 × 100 pixels: their order can be held against it, not their scores; of another size"
        " not even the loss's unit is the same.",
        f"- {SIZES[about.size].about}: gathers {sizes}, models {pixels}, {about.parameters:,}"
        f" weights, {about.gigaflops:.3g} GFLOP a sample's gradient; {counts['train']} training,"
        f" {counts['validation']} validation, {counts['test']} test samples, {batches} batches an"
        f" epoch.",
        "- Not as the paper has it: gathers are scaled, the outputs start at the mean training"
        " model (`network.output_bias`, `output_scale`), and SQGN's first step and what it does"
        " where the loss leaps are ours; the row `sqgn-published` has every step as in the paper's"
        " code.",
        f"- λ = 0.1 (m/s)² is {0.1 / velocity_span(base) ** 2:.2g} in the unit of the scaled"
        f" velocities, {velocity_span(base):g} m/s. Start weights and batches are the same for all"
        " rows of a repeat.",
        *(f"- Diverged: {note}." for note in divergence_notes(rows)),
        f"- {machine_line(dict(about.machine))}",
    ]
    if not about.complete:
        lines.append(
            f"- **Not complete**: {base.training.epochs} epochs of {about.repeats} repeats are"
            " wanted; the same command goes on."
        )
    lines.append(f"\n`{about.command}`\n")
    return "\n".join([lines[0], "", *lines[1:]])


def _page(
    folder: BenchmarkFolder,
    rows: Sequence[MeasuredRow],
    about: About,
    text: str,
    shown: Sequence[str],
) -> str:
    """Return everything on one page; ``shown`` says what Figure 3 is of."""
    parts = [f"# Seismic tomography benchmark, {about.size} size", text.rstrip(), "## Cost", ""]
    parts[3] = (
        f"{cost_table(rows, about.machine['device'] == 'cuda')}\n"
        "Gradients and Gauss–Newton products of a batch, an iteration; GFLOP/s by the operations"
        " of both. Best epoch: by validation loss, with the test split's scores there. Peak memory"
        " is that of a run on a GPU. Dead pixels are zero for every validation sample."
    )
    captions = {
        FIGURE_2.format("epoch"): "Figure 2: loss and SSIM of the validation split against epochs,"
        " a line a repeat; dashed: mean training model.",
        FIGURE_2.format("seconds"): "The same against optimizer time.",
        FIGURE_3: "Figure 3: test samples with little, middling and much salt (outlined), by the"
        f" last epoch of {', '.join(shown)}: of each optimizer the row with the lowest validation"
        " loss, its first run that did not diverge.",
    }
    for name, caption in captions.items():
        if (folder.path / name).is_file():
            parts.append(f"![{caption.partition(':')[0]}]({name})\n\n*{caption}*")
    return "\n\n".join(parts) + "\n"
