"""What an iteration costs, by the clock and by counting."""

import dataclasses
import json

import pytest
import torch

from seistomo.benchmarks import optimizer_cost
from seistomo.benchmarks.cost_problems import (
    ProblemChoice,
    TomographySize,
    mnist_problem,
    tomography_problem,
)
from seistomo.benchmarks.optimizer_cost import CostOptions, cost_table, measure, run_optimizer_cost
from seistomo.benchmarks.timed_objective import StopWatch
from seistomo.errors import InputError

CPU = torch.device("cpu")
TINY = TomographySize((3, 8, 20), (12, 14), 4, micro_batch=2)


def tiny_problem(name, candidates=None):
    """Return a problem of so many candidates, or all, that takes no time."""
    problem = tomography_problem(TINY, CPU)
    if name == "mnist":
        problem = mnist_problem(batch_size=2, batches=60)
    return dataclasses.replace(problem, candidates=problem.candidates[:candidates])


def by_start(costs):
    """Return costs by the first word of their labels; of several the first."""
    return {cost.label.split(",")[0]: cost for cost in reversed(costs)}


@pytest.fixture(scope="module")
def found():
    problems = {"mnist": tiny_problem("mnist"), "tomography": tiny_problem("tomography", 5)}
    return {name: measure(problem, 2, CPU) for name, problem in problems.items()}


@pytest.fixture
def costs(found):
    return {name: measured.costs for name, measured in found.items()}


def test_counts_are_those_of_a_whole_epoch(costs):
    # In units of a gradient, with K = 10 of 60 batches: 1 - 1/10 + 60/10, and 1.5 a product.
    found = by_start(costs["mnist"])
    counted = {"Adam": 1.0, "SGD": 1.0, "SVRG": 6.9, "SQGN": 8.4}
    assert {label: found[label].counted for label in counted} == pytest.approx(counted)
    # K = 8, an epoch: 1 - 1/8 + 8/8 + 1.5.
    assert by_start(costs["tomography"])["SQGN"].counted == pytest.approx(3.375)
    subsampled = next(cost for cost in costs["tomography"] if "T = 1" in cost.label)
    assert subsampled.products == pytest.approx(1 / 4)
    without = next(cost for cost in costs["mnist"] if "no variance" in cost.label)
    assert without.counted == pytest.approx(2.5)
    # On two samples conjugate gradients may come to the end before.
    assert 1 < by_start(costs["mnist"])["SGN"].products <= 10


def test_times_are_in_units_of_adams(costs):
    for found in costs.values():
        assert found[0].label == "Adam"
        assert found[0].ratios == [1.0, 1.0]
        for cost in found:
            assert len(cost.seconds) == len(cost.ratios) == 2
            for seconds, ratio, adam in zip(
                cost.seconds, cost.ratios, found[0].seconds, strict=True
            ):
                assert seconds / adam == pytest.approx(ratio)


def test_parts_add_up_and_show_what_an_optimizer_asks_for():
    used = {}
    for cost in measure(tiny_problem("mnist"), 1, CPU).costs:
        assert sum(cost.parts.values()) == pytest.approx(cost.ratio)
        assert all(share >= 0 for share in cost.parts.values())
        used[cost.label.split(",")[0]] = {k for k, share in cost.parts.items() if share > 0}
    assert used["Adam"] == used["SGD"] == {"gradient", "other"}
    assert used["SVRG"] == {"gradient", "full gradient", "other"}
    assert used["SGN"] == {"gradient", "curvature product", "loss", "other"}


def test_on_a_gpu_parts_are_timed_apart(monkeypatch):
    # A device that says it is a GPU shows the way through, without one.
    class Device:
        type = "cuda"

    watched = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: watched.append(device))
    problem = tiny_problem("tomography", 2)
    field = [
        optimizer_cost.Contestant(candidate, problem, problem.inputs, problem.targets)
        for candidate in problem.candidates
    ]
    for contestant in field:
        contestant.watch = StopWatch(Device())
    plain = optimizer_cost._round(problem, field, timed=False, stepwise=False)
    # Before and after K steps, each.
    assert len(watched) == 4
    assert all(seconds == 0 for c in field for seconds in c.watch.seconds.values())
    optimizer_cost._round(problem, field, timed=True, stepwise=False)
    assert len(watched) > 4 + 2 * 2 * problem.interval
    assert len(plain) == 2


def test_speeds_are_operations_over_seconds(found):
    assert found["mnist"].speed is None
    speed, costs = found["tomography"].speed, found["tomography"].costs
    assert len(speed.matrix) == len(speed.gradient) == len(speed.product) == 2
    samples = 4  # A batch; the gradient is part of Adam's iteration.
    slower = [speed.operations.gradient * samples / s / 1e9 for s in costs[0].seconds]
    assert all(rate >= low for rate, low in zip(speed.gradient, slower, strict=True))
    sqgn = by_start(costs)["SQGN"]
    slower = [speed.operations.product * samples / s / 1e9 for s in sqgn.seconds]
    assert all(rate > low for rate, low in zip(speed.product, slower, strict=True))


def test_tf32_is_refused_on_a_cpu(tmp_path):
    options = CostOptions(tmp_path, ("tomography",), precision="tf32", device="cpu")
    with pytest.raises(InputError, match="--precision = tf32: needs an NVIDIA GPU"):
        run_optimizer_cost(options)
    assert not list(tmp_path.iterdir())


def test_page_and_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(ProblemChoice, "build", lambda self, _: tiny_problem(self.name, 4))
    monkeypatch.setattr(optimizer_cost, "peak_memory", lambda _, label, *__: len(label) * 2**30)
    options = CostOptions(tmp_path / "out", repeats=1, device="cpu", command="seistomo benchmark")
    page = run_optimizer_cost(options)
    assert (tmp_path / "out" / "optimizer-cost.md").read_text() == page
    assert "## MNIST CNN, 120 samples in batches of 2, K = 10" in page
    assert "## Tomography CNN, gathers 3 × 8 × 20, 32 samples in batches of 4, K = 8" in page
    content = json.loads((tmp_path / "out" / "optimizer-cost.json").read_text())
    assert set(content["problems"]) == {"mnist", "tomography"}
    row = content["problems"]["mnist"]["optimizers"][3]
    assert row["label"] == "SQGN"
    assert row["counted"] == pytest.approx(8.4)
    assert row["ratio"] == row["ratios"][0] == pytest.approx(sum(row["parts"].values()))
    assert content["machine"]["device"] == "cpu"
    assert "matrix products of 1,024 rows" in page
    assert "GiB: Adam 4.00, SGD 3.00, SVRG 4.00, SQGN 4.00." in page
    assert content["problems"]["tomography"]["optimizers"][3]["peak_memory"] == 4 * 2**30
    assert set(content["problems"]["tomography"]["speed"]["gflop_per_second"]) == {
        "matrix",
        "gradient",
        "product",
    }
    assert "speed" not in content["problems"]["mnist"]
    with pytest.raises(InputError, match=r"optimizer-cost\.json already; give --overwrite"):
        run_optimizer_cost(options)
    run_optimizer_cost(dataclasses.replace(options, overwrite=True, problems=("mnist",)))


def test_the_table_says_median_and_spread():
    cost = optimizer_cost.Cost(
        label="SQGN",
        paper=57 / 7,
        seconds=[0.5, 0.25, 0.75],
        ratios=[8.0, 7.0, 9.5],
        parts=dict.fromkeys((*optimizer_cost.PARTS, "other"), 1.6),
        gradients=6.9,
        products=1.0,
    )
    cells = [cell.strip() for cell in cost_table([cost]).splitlines()[2].split("|")]
    assert cells[1:6] == ["SQGN", "500.0 (250.0 to 750.0)", "8.00 (7.00 to 9.50)", "8.40", "8.1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "--repeats 0: must be at least 1"),
        ({"threads": -1}, "--threads -1: must not be negative"),
        ({"problems": ("mnist",), "size": "paper"}, "--size paper: only with --problem tomog"),
        ({"problems": ("mnist",), "batch_size": 4}, "--batch-size 4: only with --problem tomog"),
        ({"problems": ("mnist",), "precision": "tf32"}, "--precision tf32: only with --problem"),
        ({"optimizers": ("newton",)}, "--optimizer newton: must be one of adam, sgd, svrg"),
    ],
)
def test_bad_options_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        CostOptions(tmp_path, **options)
