"""SGN against a slow transcription of its paper, and what each option does."""

import math

import pytest
import torch
from torch import nn

from seistomo.optim import SGN, ModelObjective, OptimizerError
from seistomo.optim.objective import flatten

SAMPLES, BATCH = 24, 12


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


def _data():
    generator = torch.Generator().manual_seed(4)
    inputs = torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(SAMPLES, 2, generator=generator, dtype=torch.float64)
    return inputs, targets


INPUTS, TARGETS = _data()


def network(hidden=4):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, hidden), nn.Sigmoid(), nn.Linear(hidden, 2)).double()


def batches():
    return [torch.arange(0, BATCH), torch.arange(BATCH, SAMPLES)]


def objectives(model, steps, loss=mean_squared):
    for step in range(steps):
        index = step % 2
        yield ModelObjective(
            model, loss, INPUTS, TARGETS,
            samples=batches()[index], batches=batches(), batch_index=index,
        )  # fmt: skip


def weights(model):
    return flatten([p.detach() for p in model.parameters()])


def algorithm_2(A, b, iterations, minv):
    """CG for (15), line by line; r, y, p as in the paper and its authors' code."""
    x, r = torch.zeros_like(b), b
    y = minv * r
    p = -y
    for _ in range(iterations):
        alpha = (r @ y) / (p @ (A @ p))
        x = x + alpha * p
        r_next = r + alpha * (A @ p)
        y_next = minv * r_next
        beta = (r_next @ y_next) / (r @ y)
        p = -y_next + beta * p
        r, y = r_next, y_next
    return x


def transcription(
    dense, theta, steps, *, rho, k_max, beta=0.0, a=0.0, trust_region=False, search=False
):
    """Algorithm 1 with the options of section 3.1, the constants written out.

    ``rho`` is a function of the step's number from 1, or the first value under trust_region.
    """
    rows = batches()
    m, damping, path = torch.zeros_like(theta), rho, []
    for t in range(1, steps + 1):
        S = rows[(t - 1) % 2]
        g, loss = dense.gradient(theta, S), dense.loss(theta, S)
        m = beta * m + (1 - beta) * g
        m_hat = m / (1 - beta**t)
        damping_now = damping if trust_region else rho(t)
        A = dense.gauss_newton(theta, S) + damping_now * torch.eye(len(theta), dtype=theta.dtype)
        minv = 1 / (m_hat**2 + damping_now) ** a
        delta = algorithm_2(A, m_hat, k_max, minv)
        if trust_region:
            predicted = -(g @ delta + delta @ A @ delta / 2)
            if predicted > 1e-14:
                ratio = (loss - dense.loss(theta + delta, S)) / predicted
                if ratio < 1 / 4:
                    damping = damping * 3 / 2
                elif ratio > 3 / 4:
                    damping = max(damping * 2 / 3, rho / 100)
        length = 1.0
        if search and g @ delta >= 0:
            length = 0.0
        while search and dense.loss(theta + length * delta, S) > loss + 1e-4 * length * g @ delta:
            length /= 2
        theta = theta + length * delta
        path.append(theta)
    return path


def assert_follows(path, model, optimizer):
    """Compare step by step; return the reports. Rounding is not carried on.

    Within a step conjugate gradients amplify it by 10⁵ in six iterations, 10¹⁰ in ten.
    """
    reports = []
    for expected, objective in zip(path, objectives(model, len(path)), strict=True):
        optimizer.step(objective)
        reports.append(optimizer.report)
        torch.testing.assert_close(weights(model), expected, rtol=1e-7, atol=1e-9)
        with torch.no_grad():
            nn.utils.vector_to_parameters(expected, optimizer.parameters())
    return reports


PLAIN = {"damping_rule": "constant", "line_search": False}


def start(dense, **more):
    """Return a network, its dense derivatives and its weights."""
    model = network(**more)
    return model, dense(model, mean_squared, INPUTS, TARGETS), weights(model)


def linear(t):
    return 0.2 - (0.2 - 0.02) * (min(t, 5) - 1) / 4


def cosine(t):
    return max(0.2 * math.cos(math.pi / 2 * t / 5), 0.02) if t <= 5 else 0.02


DECAY = {"damping": 0.2, "damping_floor": 0.1, "decay_steps": 5, "line_search": False}


@pytest.mark.parametrize(
    ("literal", "options"),
    [
        ({"rho": lambda t: 0.05, "k_max": 6}, {"damping": 0.05, **PLAIN}),
        ({"rho": linear, "k_max": 4}, {"damping_rule": "linear", **DECAY}),
        ({"rho": cosine, "k_max": 4}, {"damping_rule": "cosine", **DECAY}),
        (
            {"rho": lambda t: 0.05, "k_max": 3, "a": 0.75},
            {"damping": 0.05, "preconditioner_power": 0.75, **PLAIN},
        ),
        (
            {"rho": lambda t: 0.5, "k_max": 4, "beta": 0.8},
            {"damping": 0.5, "momentum": 0.8, **PLAIN},
        ),
        # The ratio is the gradient's own.
        (
            {"rho": 0.3, "k_max": 4, "beta": 0.5, "trust_region": True, "search": True},
            {"damping": 0.3, "momentum": 0.5},
        ),
    ],
)
def test_equals_the_transcription_step_by_step(dense, literal, options):
    model, matrices, theta = start(dense)
    path = transcription(matrices, theta, 8, **literal)
    iterations = {"cg_iterations": literal["k_max"], "cg_tolerance": 0.0}
    assert_follows(path, model, SGN(model.parameters(), **iterations, **options))


def test_trust_region_and_line_search_equal_the_transcription(dense):
    # Hardly any damping to begin with, so that steps fail and both have work to do.
    model, matrices, theta = start(dense)
    options = {"rho": 1e-6, "k_max": 6, "trust_region": True, "search": True}
    path = transcription(matrices, theta, 12, **options)
    optimizer = SGN(model.parameters(), cg_iterations=6, cg_tolerance=0.0, damping=1e-6)
    reports = assert_follows(path, model, optimizer)
    assert min(report["step_length"] for report in reports) < 1
    ratios = [report["ratio"] for report in reports]
    assert min(ratios) < 1 / 4
    assert max(ratios) > 3 / 4
    assert len({report["damping"] for report in reports}) > 2


def linear_problem():
    model = nn.Linear(3, 2).double()
    solution = torch.linalg.lstsq(torch.cat([INPUTS, torch.ones(SAMPLES, 1)], 1), TARGETS).solution
    return model, ModelObjective(model, mean_squared, INPUTS, TARGETS), solution


def test_one_step_solves_linear_least_squares():
    model, objective, solution = linear_problem()
    optimizer = SGN(model.parameters(), cg_iterations=8, cg_tolerance=1e-12, damping=0.0, **PLAIN)
    optimizer.step(objective)
    assert optimizer.report["cg_status"] == "converged"
    torch.testing.assert_close(model.weight.detach().T, solution[:3])
    torch.testing.assert_close(model.bias.detach(), solution[3])


def test_the_model_of_a_linear_problem_is_exact():
    model, objective, _ = linear_problem()
    optimizer = SGN(model.parameters(), cg_iterations=2, damping=1e-12, damping_floor=1.0, lr=0.7)
    optimizer.step(objective)
    assert optimizer.report["ratio"] == pytest.approx(1, abs=1e-8)
    groups = [{"params": [model.weight], "lr": 0.3}, {"params": [model.bias], "lr": 0.6}]
    optimizer = SGN(groups, cg_iterations=2, damping=1e-12, damping_floor=1.0)
    optimizer.step(objective)
    assert optimizer.report["ratio"] == pytest.approx(1, abs=1e-8)


def test_reports_on_the_step_which_takes_one_forward_pass(dense):
    (model, dense, theta), rows = start(dense), batches()[0]
    optimizer = SGN(model.parameters(), cg_iterations=3, damping=0.1)
    objective = next(objectives(model, 1))
    loss = optimizer.step(objective)
    assert (objective.gradient_evaluations, objective.ggn_products) == (1, 3)
    step = weights(model) - theta
    A = dense.gauss_newton(theta, rows) + 0.1 * torch.eye(len(theta), dtype=theta.dtype)
    g, report = dense.gradient(theta, rows), optimizer.report
    predicted = float(-(g @ step + step @ A @ step / 2))
    actual = float(loss - dense.loss(theta + step, rows))
    assert (report["status"], report["step_length"], report["loss_evaluations"]) == ("taken", 1, 1)
    assert (report["cg_status"], report["cg_iterations"]) == ("max_iterations", 3)
    assert (report["cg_bound"], report["damping"]) == (3, 0.1)
    assert report["cg_residual"] == pytest.approx(float((A @ step + g).abs().max()))
    assert report["predicted_reduction"] == pytest.approx(predicted)
    assert report["ratio"] == pytest.approx(actual / predicted)


# How many iterations.


def test_opening_steps_have_their_own_bound():
    model = network()
    optimizer = SGN(
        model.parameters(), cg_iterations=2, opening_steps=3, opening_cg_iterations=6,
        cg_tolerance=0.0,
    )  # fmt: skip
    taken = []
    for objective in objectives(model, 5):
        optimizer.step(objective)
        taken.append((optimizer.report["cg_bound"], optimizer.report["cg_iterations"]))
    assert taken == [(6, 6)] * 3 + [(2, 2)] * 2


def test_adaptive_iterations_follow_the_ratio_within_their_bounds():
    model = network(hidden=8)
    optimizer = SGN(
        model.parameters(), cg_iterations=20, cg_min_iterations=2, adaptive_cg=True,
        damping=1e-7, cg_tolerance=0.0,
    )  # fmt: skip
    before, fell, rose = 20, 0, 0
    for objective in objectives(model, 40):
        optimizer.step(objective)
        ratio, bound = optimizer.report["ratio"], optimizer.memory["cg_bound"]
        assert optimizer.report["cg_bound"] == before
        assert 2 <= bound <= 20
        if ratio is not None and ratio < 1 / 4:
            assert bound == max(2 * before // 3, 2)
            fell += bound < before
        elif ratio is not None and ratio > 3 / 4:
            assert bound == min(math.ceil(1.5 * before), 20)
            rose += bound > before
        else:
            assert bound == before
        before = bound
    assert fell
    assert rose


# Which curvature.


@pytest.mark.parametrize("curvature", ["gauss_newton", "hessian"])
@pytest.mark.parametrize(("source", "count"), [("batch", 5), ("training_set", 18)])
def test_curvature_comes_from_the_samples_drawn(dense, curvature, source, count, monkeypatch):
    (model, dense, _), rows = start(dense), batches()
    optimizer = SGN(
        model.parameters(), curvature=curvature, curvature_samples=count, curvature_from=source,
        damping=3.0, cg_iterations=60, cg_tolerance=1e-12, seed=7, **PLAIN,
    )  # fmt: skip
    drawn = []
    for step, objective in enumerate(objectives(model, 4)):
        asked = "linearize" if curvature == "gauss_newton" else "hessian_product"
        method = getattr(objective, asked)

        def seen(*arguments, method=method):
            drawn.append(arguments[-1])
            return method(*arguments)

        monkeypatch.setattr(objective, asked, seen)
        theta, S = weights(model), rows[step % 2]
        optimizer.step(objective)
        T = drawn[-1]
        assert len(T) == len(set(T.tolist())) == count
        pool = S if source == "batch" else torch.arange(SAMPLES)
        assert set(T.tolist()) <= set(pool.tolist())
        matrix = dense.gauss_newton if curvature == "gauss_newton" else dense.hessian
        A = matrix(theta, T) + 3.0 * torch.eye(len(theta), dtype=theta.dtype)
        expected = -torch.linalg.solve(A, dense.gradient(theta, S))
        torch.testing.assert_close(weights(model) - theta, expected, rtol=1e-6, atol=1e-8)
    assert len({tuple(sorted(T.tolist())) for T in drawn}) == 4


# What goes wrong.


class Breaking(nn.Module):
    """A network whose output is not finite beyond a limit."""

    def __init__(self, limit):
        super().__init__()
        self.layer, self.limit = nn.Linear(3, 2).double(), limit

    def forward(self, x):
        outputs = self.layer(x)
        return torch.where(self.layer.weight.abs().max() < self.limit, outputs, torch.nan)


@pytest.mark.parametrize(("what", "bad"), [("targets", math.nan), ("inputs", math.inf)])
def test_what_is_not_finite_is_reported_and_goes_nowhere(what, bad):
    model = network()
    options = {"momentum": 0.5, "adaptive_cg": True, "cg_iterations": 9}
    optimizer = SGN(model.parameters(), damping=0.1, **options)
    optimizer.step(ModelObjective(model, mean_squared, INPUTS, TARGETS))
    before, momentum = weights(model), optimizer.memory["momentum"].clone()
    damping = 0.1 * optimizer.memory["damping"]["scale"]
    broken = {"inputs": INPUTS.clone(), "targets": TARGETS.clone()}
    broken[what][3, 1] = bad
    loss = optimizer.step(ModelObjective(model, mean_squared, **broken))
    # A sigmoid hides an infinite input from the loss, not from the gradient.
    assert math.isfinite(loss) is ((what, bad) == ("inputs", math.inf))
    assert optimizer.report["status"] == "not_finite"
    assert optimizer.report["step_length"] == 0
    assert torch.equal(weights(model), before)
    assert torch.equal(optimizer.memory["momentum"], momentum)
    optimizer.step(ModelObjective(model, mean_squared, INPUTS, TARGETS))
    assert optimizer.report["status"] == "taken"
    assert optimizer.report["damping"] == pytest.approx(1.5 * damping)
    assert optimizer.report["cg_bound"] < 9


def test_a_step_to_where_nothing_is_finite_is_shortened_or_left_out():
    for search in (True, False):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = Breaking(limit=0.6)
        start = weights(model)
        objective = ModelObjective(model, mean_squared, INPUTS, TARGETS + 5 * INPUTS[:, :2])
        optimizer = SGN(model.parameters(), damping=1e-3, line_search=search)
        optimizer.step(objective)
        assert optimizer.report["ratio"] == -math.inf
        assert optimizer.report["status"] == ("taken" if search else "not_finite")
        assert torch.equal(weights(model), start) is not search
        assert math.isfinite(objective.loss())
        assert optimizer.memory["damping"]["scale"] == 1.5


def test_breakdown_at_the_first_iteration_takes_no_step_and_raises_the_damping():
    # A concave loss: the Hessian is −2 on the bias.
    model = nn.Linear(3, 2).double()
    optimizer = SGN(model.parameters(), curvature="hessian", damping=0.01)
    before = weights(model)
    concave = ModelObjective(model, lambda o, t: -mean_squared(o, t), INPUTS, TARGETS)
    loss = optimizer.step(concave)
    assert optimizer.report["status"] == optimizer.report["cg_status"] == "breakdown"
    assert torch.equal(weights(model), before)
    assert math.isfinite(loss)
    optimizer.step(concave)
    assert optimizer.report["damping"] == pytest.approx(0.015)


def test_a_group_that_stands_still_does_not_stop_the_others():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    optimizer, before = SGN(groups), model[0].weight.clone()
    objective = ModelObjective(model, mean_squared, INPUTS, TARGETS)
    losses = [float(optimizer.step(objective)) for _ in range(30)]
    assert torch.equal(model[0].weight, before)
    assert losses[-1] < 0.9 * losses[0]


def test_a_flat_loss_is_stationary():
    model = nn.Linear(3, 2).double()
    optimizer, before, met = SGN(model.parameters()), weights(model), model(INPUTS).detach()
    optimizer.step(ModelObjective(model, mean_squared, INPUTS, met))
    assert optimizer.report["status"] == "stationary"
    assert torch.equal(weights(model), before)
    assert optimizer.memory["damping"]["scale"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cg_min_iterations": 11}, "cg_min_iterations = 11: must be at most cg_iterations = 10"),
        ({"opening_steps": 1, "adaptive_cg": True}, "opening_steps = 1: cannot be with"),
        ({"preconditioner_power": 1, "damping_floor": 0}, "preconditioner_power = 1: needs a dam"),
        ({"momentum": 1}, "momentum = 1: must be below 1"),
        ({"damping_rule": "constant", "damping_floor": 0.5}, "damping_floor = 0.5: means nothing"),
        ({"damping_rule": "cosine"}, "decay_steps = None: must be a whole number from 2"),
        ({"curvature_from": "training_set"}, "curvature_from = training_set: needs"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, said):
    with pytest.raises(OptimizerError, match=said):
        SGN(network().parameters(), **options)
