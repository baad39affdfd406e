import dataclasses
import json
from pathlib import Path

import pytest

from seistomo.benchmarks.operations import Operations
from seistomo.benchmarks.tomography.examples import choose_rows, choose_samples
from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.rows import rows_for
from seistomo.benchmarks.tomography.table import (
    MeasuredRow,
    baseline_scores,
    cost_table,
    divergence_notes,
    reference_row,
    table_4,
)
from seistomo.dataset import open_dataset
from seistomo.training import EpochRow


def scores(loss):
    found = {"loss": loss, "mse": loss / 1e4, "rmse": (loss / 1e4) ** 0.5, "mae": 100.0}
    found |= {"ssim": 0.5, "salt_iou": 0.25}
    baseline = {**found, "loss": 9e8, "rmse": 300.0, "ssim": 0.6, "salt_iou": None}
    return {**found, "baseline": baseline, "epoch": 2}


def run(seed, loss, seconds, validation=1e9, diverged=""):
    history = [
        EpochRow(n, 8 * n, 8 * n * seconds, 1e9, validation, 1e5, 0.4, 0.1, 16.0 * n, 8.0 * n)
        for n in (1, 2)
    ]
    training = {"peak_memory": 2**31, "waiting": 0.01, "dead_pixels": 0.0, "best": {"epoch": 1}}
    both = {"last": scores(loss), "best": scores(2 * loss)}
    return Outcome("row", seed, Path(f"row-s{seed}"), history, training, both, diverged)


def row(name, outcomes):
    return MeasuredRow(rows_for(name)[0], outcomes, Operations(forward=10**9, first=0), 100)


@pytest.fixture
def rows():
    adam = row("adam-1e-2", [run(0, 8e8, 1.0), run(1, 9e8, 2.0)])
    sqgn = row("sqgn", [run(0, 7e8, 3.0), run(1, 7e8, 8.0)])
    return [adam, sqgn]


def cells(table, label):
    [line] = [line for line in table.splitlines() if line.startswith(f"| {label}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_times_are_divided_by_adams_run_of_the_same_seed(rows):
    adam, sqgn = rows
    assert reference_row(rows) is adam
    assert sqgn.ratios(adam) == [3.0, 4.0]
    line = cells(table_4(rows), "SQGN")
    assert line[1:5] == ["2", "7.000 ± 0.000", "8.5", "265 ± 0"]
    assert line[5:9] == ["0.500 ± 0.000", "0.68", "0.25 ± 0.00", "5.50 ± 3.54"]
    assert line[9:] == ["3.50 ± 0.71", "3.46", "2"]


def test_the_mean_model_has_the_last_line(rows):
    assert baseline_scores(rows)["ssim"] == 0.6
    last = table_4(rows).splitlines()[-1]
    assert "mean training model" in last
    assert "9.000" in last
    assert "0.600" in last


def test_runs_that_diverged_are_named_and_not_averaged(rows):
    lost = dataclasses.replace(run(2, 1e20, 1.0), diverged="training diverged", scores={})
    rows.append(row("sgd", [lost]))
    rows[0] = dataclasses.replace(rows[0], outcomes=[*rows[0].outcomes, lost])
    assert cells(table_4(rows), "Adam")[2] == "8.500 ± 0.707"
    assert cells(table_4(rows), "SGD")[2] == "–"
    assert divergence_notes(rows) == [
        "Adam, α = 10⁻², seed 2: training diverged",
        "SGD, α = 10⁻³, seed 2: training diverged",
    ]
    json.dumps([one.summary(reference_row(rows)) for one in rows])
    cost_table(rows, on_gpu=True)


def test_speed_counts_gradients_and_products(rows):
    # Two gradients (3 GFLOP) and a product (5 GFLOP) of 100 samples an iteration.
    assert rows[0].speed() == pytest.approx([1100.0, 550.0])
    line = cells(cost_table(rows, on_gpu=True), "Adam")
    assert line[1:4] == ["2.00", "1.00", "825.0 ± 388.9"]
    assert line[5] == "2.00 ± 0.00"
    assert line[7] == "17.000 ± 1.414"
    assert cells(cost_table(rows, on_gpu=False), "Adam")[5] == "–"


def test_the_summary_holds_both_checkpoints_and_the_paper(rows):
    summary = rows[1].summary(rows[0])
    assert summary["test"]["last"]["loss"] == {"mean": 7e8, "std": 0.0}
    assert summary["test"]["best"]["loss"]["mean"] == 14e8
    assert summary["paper"] == {"loss": 8.5e8, "ssim": 0.68, "seconds_per_iteration": 4.5}
    assert summary["time_ratio"]["mean"] == 3.5


def test_figure_3_shows_what_validation_prefers():
    # The first is better on the test split, the second on the validation split.
    tempting = row("adam-1e-2", [run(0, 1e8, 1.0, validation=5e8)])
    honest = row("adam-1e-3", [run(0, 2e8, 1.0, validation=4e8)])
    sgn, lost = row("sgn", [run(0, 1e8, 1.0)]), row("sqgn", [run(0, 1e8, 1.0, diverged="so")])
    chosen = choose_rows([tempting, honest, sgn, lost])
    assert [one.row.name for one, _ in chosen] == ["adam-1e-3", "sgn"]


def test_samples_are_chosen_by_their_salt_alone(data):
    with open_dataset(data) as reader:
        chosen = choose_samples(reader, "train", 4225.0)
        area = (reader.read_velocity(chosen) > 4225).mean(axis=(1, 2))
        assert len(chosen) == 3
        assert (area > 0).all()
        assert list(area) == sorted(area)
        assert set(chosen) <= set(reader.indices("train"))
        without = choose_samples(reader, "train", 4600.0)
        assert list(without) == list(reader.indices("train")[:3])
