"""Conjugate gradients against dense solves, Steihaug's against the exact trust-region step."""

import math

import pytest
import torch

from seistomo.optim.cg import conjugate_gradients, steihaug

SIZE = 8


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(eigenvalues, seed=1):
    """Return a symmetric matrix with these eigenvalues, and its product as a function."""
    basis = torch.linalg.qr(random(len(eigenvalues), len(eigenvalues), seed=seed)).Q
    A = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    return A, lambda v: A @ v


def definite():
    return matrix([0.01 * 3**k for k in range(SIZE)])


def indefinite():
    return matrix([-2.0, -0.5, 0.1, 0.7, 1.0, 2.0, 5.0, 9.0])


def model(A, g, x):
    return float(g @ x + x @ A @ x / 2)


def exact_trust_region_step(A, g, radius):
    """Moré and Sorensen's conditions solved by bisection on the multiplier (no hard case)."""
    values, vectors = torch.linalg.eigh(A)
    slopes = vectors.T @ g

    def step(shift):
        return -vectors @ (slopes / (values + shift))

    if values[0] > 0 and step(0.0).norm() <= radius:
        return step(0.0)
    low = max(0.0, -float(values[0])) + 1e-14
    high = low + float(g.norm()) / radius + 10
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if step(middle).norm() > radius else (low, middle)
    return step(high)


def literal_cg(A, g, x, iterations):
    """Algorithm 2 of Gargiani et al. (2020), line by line."""
    r = A @ x + g
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
    A, product = definite()
    g = random(SIZE)
    found = conjugate_gradients(product, g, max_iterations=iterations)
    torch.testing.assert_close(found.solution, literal_cg(A, g, 0 * g, iterations))
    assert (found.status, found.iterations, found.products) == (
        "max_iterations",
        iterations,
        iterations,
    )


def test_as_many_iterations_as_unknowns_solve_the_system():
    A, product = definite()
    g = random(SIZE)
    found = conjugate_gradients(product, g, max_iterations=4 * SIZE, tolerance=1e-9)
    assert found.status == "converged"
    assert found.residual_norm <= 1e-9
    torch.testing.assert_close(found.solution, -torch.linalg.solve(A, g), rtol=1e-6, atol=1e-6)


def test_reported_model_value_and_residual_are_those_of_the_solution():
    A, product = definite()
    g = random(SIZE)
    for found in (
        conjugate_gradients(product, g, max_iterations=4),
        conjugate_gradients(product, g, max_iterations=4, start=random(SIZE, seed=5)),
        steihaug(product, g, 0.5, max_iterations=4),
        conjugate_gradients(product, g, max_iterations=4, inverse_preconditioner=g**2 + 0.1),
    ):
        assert found.model_value == pytest.approx(model(A, g, found.solution), rel=1e-10)
        assert found.residual_norm == pytest.approx(float((A @ found.solution + g).abs().max()))


def test_clustered_eigenvalues_need_one_iteration_a_cluster():
    _, product = matrix([1.0] * 4 + [7.0] * 4)
    found = conjugate_gradients(product, random(SIZE), max_iterations=8, tolerance=1e-10)
    assert (found.status, found.iterations) == ("converged", 2)


def test_min_iterations_go_on_within_the_tolerance():
    _, product = definite()
    g = random(SIZE)
    loose = {"max_iterations": 8, "tolerance": 1e3}
    assert conjugate_gradients(product, g, **loose).iterations == 1
    assert conjugate_gradients(product, g, min_iterations=5, **loose).iterations == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iterations_beyond_an_exact_solution_are_no_breakdown(dtype):
    g = random(SIZE).to(dtype)
    found = conjugate_gradients(lambda v: 2 * v, g, max_iterations=9, min_iterations=9)
    assert found.status in ("converged", "max_iterations")
    torch.testing.assert_close(found.solution, -g / 2)
    assert math.isfinite(found.model_value)


def test_zero_gradient_is_solved_by_zero():
    _, product = definite()
    zero = torch.zeros(SIZE, dtype=torch.float64)
    for found in (conjugate_gradients(product, zero), steihaug(product, zero, 1.0)):
        assert (found.status, found.iterations) == ("converged", 0)
        assert not found.solution.any()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_without_positive_curvature_the_last_sound_solution_is_kept(bad):
    A, product = definite()
    g = random(SIZE)
    at_once = conjugate_gradients(lambda v: bad * v, g)
    assert (at_once.status, at_once.iterations, at_once.products) == ("breakdown", 0, 1)
    assert not at_once.solution.any()
    assert at_once.model_value == 0
    calls = []

    def soon_bad(v):
        calls.append(v)
        return product(v) if len(calls) < 3 else bad * v

    later = conjugate_gradients(soon_bad, g)
    assert (later.status, later.iterations) == ("breakdown", 2)
    torch.testing.assert_close(later.solution, literal_cg(A, g, 0 * g, 2))


def test_perfect_preconditioner_solves_in_one_iteration():
    diagonal = torch.arange(1.0, SIZE + 1, dtype=torch.float64) ** 3
    g = random(SIZE)
    found = conjugate_gradients(
        lambda v: diagonal * v, g, tolerance=1e-10, inverse_preconditioner=1 / diagonal
    )
    assert (found.status, found.iterations) == ("converged", 1)
    torch.testing.assert_close(found.solution, -g / diagonal)


def test_preconditioner_is_a_change_of_variables():
    _, product = definite()
    g, minv = random(SIZE), random(SIZE, seed=3).square() + 0.1
    root = minv.sqrt()
    changed = conjugate_gradients(
        lambda v: root * product(root * v), root * g, max_iterations=3
    ).solution
    found = conjugate_gradients(product, g, max_iterations=3, inverse_preconditioner=minv)
    torch.testing.assert_close(found.solution, root * changed)


def test_start_is_used_at_its_best_length_and_never_hurts():
    A, product = definite()
    g, start = random(SIZE), random(SIZE, seed=2)
    length = -(g @ start) / (start @ A @ start)
    found = conjugate_gradients(product, g, max_iterations=3, start=start)
    torch.testing.assert_close(found.solution, literal_cg(A, g, length * start, 3))
    assert found.products == 4
    almost = -torch.linalg.solve(A, g) * 17
    assert conjugate_gradients(product, g, max_iterations=1, start=almost).status == "converged"
    useless = conjugate_gradients(product, g, max_iterations=3, start=0 * g)
    torch.testing.assert_close(useless.solution, literal_cg(A, g, 0 * g, 3))


def test_steihaug_inside_the_trust_region_is_conjugate_gradients():
    A, product = definite()
    g = random(SIZE)
    options = {"max_iterations": 4 * SIZE, "tolerance": 1e-9}
    found = steihaug(product, g, 1e6, **options)
    torch.testing.assert_close(found.solution, conjugate_gradients(product, g, **options).solution)
    torch.testing.assert_close(
        found.solution, exact_trust_region_step(A, g, 1e6), rtol=1e-6, atol=1e-6
    )
    assert found.status == "converged"


@pytest.mark.parametrize("radius", [0.01, 0.3, 2.0, 10.0])
def test_steihaug_at_the_boundary_predicts_half_of_the_best_or_more(radius):
    # Yuan (2000): with positive curvature the truncated step is worth at least half of the best.
    for seed in range(10):
        A, product = definite()
        g = random(SIZE, seed=seed)
        found = steihaug(product, g, radius, max_iterations=50)
        best = exact_trust_region_step(A, g, radius)
        assert found.status == "boundary"
        assert float(found.solution.norm()) == pytest.approx(radius, rel=1e-12)
        assert found.model_value <= model(A, g, best) / 2
        assert found.model_value >= model(A, g, best) - 1e-9


def test_steihaug_in_two_unknowns_follows_the_path_of_conjugate_gradients():
    # Zero, the Cauchy point, the minimum: the step lies where that path leaves the circle.
    A, product = matrix([1.0, 10.0])
    g = random(2)
    cauchy = -(g @ g) / (g @ A @ g) * g
    radius = float(cauchy.norm() + torch.linalg.solve(A, g).norm()) / 2
    found = steihaug(product, g, radius)
    leg = found.solution - cauchy
    assert found.iterations == 2
    assert float(leg @ A @ cauchy) == pytest.approx(0, abs=1e-12)
    assert float(found.solution.norm()) == pytest.approx(radius)
    small = steihaug(product, g, float(cauchy.norm()) / 3)
    torch.testing.assert_close(small.solution, cauchy / 3)


@pytest.mark.parametrize("radius", [0.05, 1.0, 20.0])
def test_steihaug_goes_to_the_boundary_along_negative_curvature(radius):
    for seed in range(10):
        A, product = indefinite()
        g = random(SIZE, seed=seed)
        found = steihaug(product, g, radius, max_iterations=50)
        assert found.status in ("boundary", "negative_curvature")
        assert float(found.solution.norm()) == pytest.approx(radius, rel=1e-12)
        cauchy_bound = -float(g.norm()) / 2 * min(radius, float(g.norm()) / 9)
        best = model(A, g, exact_trust_region_step(A, g, radius))
        assert best - 1e-9 <= found.model_value <= cauchy_bound
        assert float(g @ found.solution) < 0


def test_steihaug_without_curvature_goes_down_the_gradient():
    g = random(SIZE)
    for curvature in (0.0, -3.0):
        found = steihaug(lambda v, c=curvature: c * v, g, 2.0)
        assert (found.status, found.iterations) == ("negative_curvature", 1)
        torch.testing.assert_close(found.solution, -2 * g / g.norm())
    broken = steihaug(lambda v: math.nan * v, g, 2.0)
    assert (broken.status, broken.iterations) == ("breakdown", 0)
    assert not broken.solution.any()


def test_steihaug_measures_in_the_preconditioner_norm():
    _, product = definite()
    g, minv = random(SIZE), random(SIZE, seed=3).square() + 0.1
    found = steihaug(product, g, 0.7, inverse_preconditioner=minv)
    assert found.status == "boundary"
    assert float((found.solution.square() / minv).sum().sqrt()) == pytest.approx(0.7)
