"""The history of curvature pairs against the BFGS update written out with dense matrices."""

import math

import pytest
import torch

from seistomo.optim import lbfgs
from seistomo.optim.lbfgs import PairHistory, pair_measures, refusal

SIZE = 9


def pairs_of_a_quadratic(count, seed=0, lengths=1.0):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    hessian = root @ root.T + 0.1 * torch.eye(SIZE, dtype=torch.float64)
    steps = torch.randn(count, SIZE, generator=generator, dtype=torch.float64)
    steps *= torch.as_tensor(lengths, dtype=torch.float64)
    return hessian, [(step, hessian @ step) for step in steps]


def filled(length, pairs):
    history = PairHistory(PairHistory.new(length, pairs[0][0]))
    for step, change in pairs:
        history.store(step, change)
    return history


def dense_inverse(pairs):
    """H₊ = (I - ρ s vᵀ) H (I - ρ v sᵀ) + ρ s sᵀ, ρ = 1 / sᵀv, from H₀ on, oldest pair first."""
    identity = torch.eye(SIZE, dtype=torch.float64)
    inverse = sum(s.dot(v) / v.dot(v) for s, v in pairs) / len(pairs) * identity
    for s, v in pairs:
        left = identity - torch.outer(s, v) / s.dot(v)
        inverse = left @ inverse @ left.T + torch.outer(s, s) / s.dot(v)
    return inverse


def two_loops(pairs, vector):
    """Schraudolph et al. 2007, Algorithm 3, one pair at a time."""
    q, coefficients = vector.clone(), []
    for s, v in reversed(pairs):
        coefficients.append(s.dot(q) / s.dot(v))
        q = q - coefficients[-1] * v
    q = q * sum(s.dot(v) / v.dot(v) for s, v in pairs) / len(pairs)
    for (s, v), a in zip(pairs, reversed(coefficients), strict=True):
        q = q + (a - v.dot(q) / s.dot(v)) * s
    return q


@pytest.mark.parametrize("count", [1, 4, 7, 13])
def test_inverse_product_is_the_dense_bfgs_inverse_of_the_newest_pairs(count):
    _, pairs = pairs_of_a_quadratic(count)
    history = filled(4, pairs)
    inverse = dense_inverse(pairs[-4:])
    computed = torch.stack([history.inverse_product(e) for e in torch.eye(SIZE).double()])
    torch.testing.assert_close(computed, inverse, rtol=1e-9, atol=1e-11)
    assert len(history) == min(count, 4)


@pytest.mark.parametrize("count", [2, 5, 13])
def test_without_the_newest_pair_it_goes_on_as_if_that_had_never_been(count, monkeypatch):
    # Long pairs are moved in pieces.
    monkeypatch.setattr(lbfgs, "_COLUMNS", 4)
    _, pairs = pairs_of_a_quadratic(count + 2)
    history = filled(4, pairs[:count])
    history.drop_newest()
    # Of a full history the oldest pair had made room for it.
    kept = pairs[max(0, count - 4) : count - 1]
    for further in (None, *pairs[count:]):
        if further is not None:
            history.store(*further)
            kept = [*kept, further][-4:]
        assert len(history) == len(kept)
        computed = torch.stack([history.inverse_product(e) for e in torch.eye(SIZE).double()])
        torch.testing.assert_close(computed, dense_inverse(kept), rtol=1e-9, atol=1e-11)


def test_float32_keeps_up_with_float64_on_nearly_parallel_pairs():
    hessian, _ = pairs_of_a_quadratic(1)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20, SIZE, generator=generator, dtype=torch.float64)
    steps = torch.ones(SIZE, dtype=torch.float64) + 0.05 * noise
    pairs = [(step, hessian @ step) for step in steps]
    vector = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    expected = filled(20, pairs).inverse_product(vector)
    single = filled(20, [(s.float(), v.float()) for s, v in pairs])
    error = single.inverse_product(vector.float()).double() - expected
    loops = two_loops([(s.float(), v.float()) for s, v in pairs], vector.float()).double()
    assert error.norm() < 10 * (loops - expected).norm() + 1e-6 * expected.norm()


@pytest.mark.parametrize(
    ("step", "change", "reason"),
    [
        ([1.0, 0.0], [1.0, 5.0], None),
        ([1.0, 0.0], [0.0, 1.0], "no positive curvature"),
        ([1.0, 0.0], [-1.0, 1.0], "no positive curvature"),
        ([1.0, 0.0], [1e-9, 1.0], "no positive curvature"),
        ([0.0, 0.0], [0.0, 0.0], "no step"),
        ([1.0, 0.0], [math.nan, 1.0], "not finite"),
    ],
)
def test_unsafe_pairs_are_refused_with_a_reason(step, change, reason):
    measures = pair_measures(torch.tensor(step), torch.tensor(change)).tolist()
    answer = refusal(measures, torch.float32)
    assert answer is None if reason is None else reason in answer
