"""Conjugate gradients against Algorithm 2 written out, and dense solves."""

import math

import pytest
import torch

from seistomo.optim.cg import conjugate_gradients

SIZE = 8


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(eigenvalues):
    """Return a symmetric matrix with these eigenvalues, and its product as a function."""
    basis = torch.linalg.qr(random(len(eigenvalues), len(eigenvalues), seed=1)).Q
    A = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    return A, lambda v: A @ v


A, product = matrix([0.01 * 3**k for k in range(SIZE)])
g = random(SIZE)


def literal_cg(iterations):
    """Algorithm 2 of Gargiani et al. (2020), line by line."""
    x, r = torch.zeros_like(g), g
    p = -r
    for _ in range(iterations):
        alpha = (r @ r) / (p @ (A @ p))
        x = x + alpha * p
        r_next = r + alpha * (A @ p)
        beta = (r_next @ r_next) / (r @ r)
        p = -r_next + beta * p
        r = r_next
    return x


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_equals_algorithm_2_line_by_line(iterations):
    found = conjugate_gradients(product, g, max_iterations=iterations)
    torch.testing.assert_close(found.solution, literal_cg(iterations))
    assert (found.status, found.iterations) == ("max_iterations", iterations)


def test_as_many_iterations_as_unknowns_solve_the_system():
    found = conjugate_gradients(product, g, max_iterations=4 * SIZE, tolerance=1e-9)
    assert found.status == "converged"
    assert found.residual_norm <= 1e-9
    torch.testing.assert_close(found.solution, -torch.linalg.solve(A, g), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("preconditioner", [None, g**2 + 0.1])
def test_reported_model_value_and_residual_are_those_of_the_solution(preconditioner):
    found = conjugate_gradients(product, g, max_iterations=4, inverse_preconditioner=preconditioner)
    x = found.solution
    assert found.model_value == pytest.approx(float(g @ x + x @ A @ x / 2), rel=1e-10)
    assert found.residual_norm == pytest.approx(float((A @ x + g).abs().max()))


def test_min_iterations_go_on_within_the_tolerance():
    loose = {"max_iterations": 8, "tolerance": 1e3}
    assert conjugate_gradients(product, g, **loose).iterations == 1
    assert conjugate_gradients(product, g, min_iterations=5, **loose).iterations == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iterations_beyond_an_exact_solution_are_no_breakdown(dtype):
    own = g.to(dtype)
    found = conjugate_gradients(lambda v: 2 * v, own, max_iterations=9, min_iterations=9)
    assert found.status in ("converged", "max_iterations")
    torch.testing.assert_close(found.solution, -own / 2)
    assert math.isfinite(found.model_value)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_without_positive_curvature_the_last_sound_solution_is_kept(bad):
    at_once = conjugate_gradients(lambda v: bad * v, g)
    assert (at_once.status, at_once.iterations, at_once.model_value) == ("breakdown", 0, 0)
    assert not at_once.solution.any()
    calls = []

    def soon_bad(v):
        calls.append(v)
        return product(v) if len(calls) < 3 else bad * v

    later = conjugate_gradients(soon_bad, g)
    assert (later.status, later.iterations) == ("breakdown", 2)
    torch.testing.assert_close(later.solution, literal_cg(2))
