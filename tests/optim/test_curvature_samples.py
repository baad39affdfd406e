"""Samples drawn for curvature: how many, from where, and from which generator."""

import pytest
import torch
from torch import nn

from seistomo.optim import ModelObjective
from seistomo.optim.curvature_samples import CurvatureSamples

BATCH = torch.tensor([3, 8, 1, 12, 7])


@pytest.fixture
def objective():
    data = torch.zeros(15, 2)
    return ModelObjective(nn.Linear(2, 2), nn.functional.mse_loss, data, data, samples=BATCH)


@pytest.mark.parametrize("count", [None, 5, 9])
def test_as_many_as_the_batch_or_more_are_the_batch_itself(objective, count):
    memory = {}
    assert CurvatureSamples(count, "batch", 0).draw(objective, memory) is None
    assert not memory


def test_part_of_the_batch_is_drawn_without_replacement(objective):
    samples, memory = CurvatureSamples(3, "batch", 0), {}
    drawn = [samples.draw(objective, memory).tolist() for _ in range(200)]
    assert all(len(set(some)) == 3 for some in drawn)
    counts = torch.tensor(drawn).flatten().bincount(minlength=15)
    assert set(counts.nonzero().flatten().tolist()) == set(BATCH.tolist())
    assert counts[BATCH].min() > 90  # 120 expected, standard deviation 7


def test_more_than_the_batch_come_from_the_training_set(objective):
    drawn = CurvatureSamples(11, "training_set", 0).draw(objective, {})
    assert len(set(drawn.tolist())) == 11
    assert set(drawn.tolist()) <= set(range(15))


def test_draws_follow_the_seed_and_the_memory(objective):
    def three(samples, memory):
        return [samples.draw(objective, memory).tolist() for _ in range(3)]

    memory = {}
    first = three(CurvatureSamples(3, "batch", 4), memory)
    assert three(CurvatureSamples(3, "batch", 4), {}) == first
    assert three(CurvatureSamples(3, "batch", 5), {}) != first
    later = CurvatureSamples(3, "batch", 99)
    copied = {"generator": memory["generator"].clone()}
    assert three(later, copied) == three(CurvatureSamples(3, "batch", 4), memory)
