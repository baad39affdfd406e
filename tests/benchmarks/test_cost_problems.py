"""The problems that optimizers are timed on."""

import pytest
import torch

from seistomo.benchmarks.cost_problems import (
    TOMOGRAPHY_SIZES,
    ProblemChoice,
    TomographySize,
    mnist_problem,
    tomography_problem,
)
from seistomo.errors import InputError
from seistomo.networks import parameter_count

CPU = torch.device("cpu")
TINY = TomographySize((3, 8, 20), (12, 14), 4, micro_batch=2)


@pytest.mark.parametrize(
    "problem", [mnist_problem(batch_size=3, batches=10), tomography_problem(TINY, CPU, batches=4)]
)
def test_network_and_loss_take_the_data(problem):
    batches = len(problem.inputs) / problem.batch_size
    assert batches % problem.interval == 0
    assert len(problem.targets) == len(problem.inputs)
    outputs = problem.network()(problem.inputs[:5])
    assert problem.loss(outputs, problem.targets[:5]).isfinite()
    # Adam's time is the unit.
    assert problem.candidates[0].optimizer == "adam"
    assert len({candidate.label for candidate in problem.candidates}) == len(problem.candidates)


def test_mnist_is_the_papers():
    problem = ProblemChoice("mnist").build(CPU)
    assert problem.inputs.shape == (60_000, 1, 28, 28)
    assert 0 <= float(problem.inputs.min()) < float(problem.inputs.max()) <= 255
    assert (problem.batch_size, problem.interval) == (1000, 10)
    assert parameter_count(problem.network()) == 1962


def test_tomography_is_the_papers():
    size = TOMOGRAPHY_SIZES["paper"]
    assert (size.gathers, size.velocity, size.batch_size) == ((31, 256, 300), (100, 100), 100)


def test_a_small_tomography_batch_takes_several_pieces():
    problem = ProblemChoice("tomography").build(CPU)
    assert problem.micro_batch < problem.batch_size
    # Nor does a smaller one.
    smaller = ProblemChoice("tomography", batch_size=4, optimizers=("sqgn",)).build(CPU)
    assert (smaller.batch_size, len(smaller.inputs), smaller.micro_batch) == (4, 32, 2)
    assert [c.label for c in smaller.candidates] == ["Adam", "SQGN", "SQGN, T = 1"]


def test_precision_is_the_convolutions():
    choice = ProblemChoice("tomography", batch_size=2, precision="bfloat16")
    assert choice.build(CPU).network().convolution_type is torch.bfloat16


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "cats"}, "--problem cats: must be mnist or tomography"),
        ({"size": "huge"}, "--size huge: must be one of small, paper"),
        ({"batch_size": 1}, "--batch-size 1: must be at least 2"),
        ({"precision": "half"}, "--precision half: must be one of float32, tf32, bfloat16"),
        ({"optimizers": ("sqgn", "newton")}, "--optimizer newton: must be one of adam, sgd"),
    ],
)
def test_others_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        ProblemChoice(**{"name": "tomography", **given})
