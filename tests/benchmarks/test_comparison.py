import json
from dataclasses import replace

import pytest
import torch

from seistomo.benchmarks import comparison
from seistomo.benchmarks.comparison import run_optimizer, run_table
from seistomo.benchmarks.mnist import MnistRun
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import TABLES
from seistomo.benchmarks.settings import RunSettings
from seistomo.errors import InputError


@pytest.fixture
def options(tmp_path, mnist_folder):
    return BenchmarkOptions(
        tmp_path / "out",
        str(mnist_folder),
        epochs=3,
        repeats=2,
        pixels="unit",
        device="cpu",
        threads=1,
        command="seistomo benchmark mnist",
    )


@pytest.fixture
def _small(monkeypatch):
    """Fit the paper's tables to 240 samples."""

    def smaller(row):
        options = dict(row.options)
        if "full_gradient_interval" in options:
            options["full_gradient_interval"] = 3
        return replace(row, batch_size=40, options=options, epochs=min(row.epochs, 100))

    tables = {name: tuple(map(smaller, rows)) for name, rows in TABLES.items()}
    tables["1"] = tuple(replace(row, epochs=2) if row.epochs == 25 else row for row in tables["1"])
    monkeypatch.setattr(comparison, "TABLES", tables)


@pytest.mark.usefixtures("_small")
def test_a_table_is_run_and_written(options):
    line = run_table("1", options)
    out = options.out
    assert line.startswith(f"{out / 'table-1-unit.md'}: ")
    page = (out / "table-1-unit.md").read_text()
    for word in ("Table 1", "unit pixels", "| SVRG", "| SQGN, 25 epochs", "97.8", "mnist-like"):
        assert word in page
    summary = json.loads((out / "table-1-unit.json").read_text())
    rows = {row["label"]: row for row in summary["rows"]}
    # The same runs, as they were after two epochs and at the end.
    assert rows["SQGN, 25 epochs"]["epochs"] == [2, 2]
    assert rows["SQGN"]["epochs"] == [3, 3]
    assert len(list(out.glob("runs/*.json"))) == 8
    for figure in ("epoch", "seconds"):
        assert (out / f"table-1-unit-{figure}.png").stat().st_size > 10_000
    assert summary["machine"]["threads"] == 1
    assert "node" not in summary["machine"]


@pytest.mark.usefixtures("_small")
def test_a_table_takes_tuned_learning_rates_and_says_so(options, monkeypatch):
    monkeypatch.setattr(MnistRun, "_steps", lambda run: (torch.zeros(2), 0.0))
    monkeypatch.setattr(
        comparison, "tune_learning_rate", lambda runner, settings, label: (0.05, f"{label} tuned")
    )
    run_table("3", replace(options, repeats=1), tune=True)
    summary = json.loads((options.out / "table-3-unit.json").read_text())
    rates = {row["label"]: row["learning_rate"] for row in summary["rows"]}
    assert rates["Adam, S = 100"] == 0.05
    assert rates["SQGN, S = T = 100, M = 1"] == 0.1
    assert "Adam, S = 100 tuned" in (options.out / "table-3-unit.md").read_text()


def test_an_optimizer_of_ones_own_is_run(options):
    settings = RunSettings("torch.optim.RMSprop", 0.003, {"momentum": 0.5}, 40, 3, pixels="unit")
    run_optimizer(settings, options)
    summary = json.loads((options.out / "RMSprop-0.003-b40-unit.json").read_text())
    [row] = summary["rows"]
    assert row["paper"] is None
    assert summary["settings"]["options"] == {"momentum": 0.5}
    page = (options.out / "RMSprop-0.003-b40-unit.md").read_text()
    assert "`seistomo benchmark mnist`" in page


def test_more_of_the_same_adds_and_something_else_is_refused(options):
    settings = RunSettings("adam", 0.01, {}, 40, 3, pixels="unit")
    run_optimizer(settings, options)
    runs = {path: path.read_bytes() for path in options.out.glob("runs/*.json")}
    longer = replace(options, epochs=3, repeats=3)
    run_optimizer(settings, longer)
    assert len(list(options.out.glob("runs/*.json"))) == 3
    assert all(path.read_bytes() == content for path, content in runs.items())
    other = replace(settings, options={"eps": 1e-7})
    with pytest.raises(InputError, match="was made with options"):
        run_optimizer(other, options)
    run_optimizer(other, replace(options, overwrite=True))


def test_unknown_tables_are_refused(options):
    with pytest.raises(InputError, match="--table 4: must be one of 1, 2, 3, ablation"):
        run_table("4", options)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("epochs", [2, 3])
def test_runs_that_two_rows_share_are_drawn_once(options, monkeypatch, epochs):
    monkeypatch.setattr(MnistRun, "_steps", lambda run: (torch.zeros(2), 0.0))
    drawn = []
    make = comparison.figures.learning_curves_figure

    def watched(methods, against):
        drawn.append(list(methods))
        return make(methods, against)

    monkeypatch.setattr(comparison.figures, "learning_curves_figure", watched)
    run_table("1", replace(options, epochs=epochs, repeats=1))
    assert drawn == [["SGD", "SVRG", "Adam", "SQGN"]] * 2
