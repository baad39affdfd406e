"""Gauss–Newton products against the dense matrix, another library, each other, and replayed."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call, jvp

from seistomo.optim import ModelObjective, OptimizerError, replay
from seistomo.optim.curvature import NetworkAt
from seistomo.optim.objective import flatten
from seistomo.optim.replay import _TRACES, MOST_TRACES, find_replay
from seistomo.training.losses import pseudo_huber

SAMPLES = 7


LOSSES = {
    "mean squared": nn.functional.mse_loss,
    "cross-entropy": nn.functional.cross_entropy,
    "huber": lambda outputs, targets: nn.functional.huber_loss(outputs, targets, delta=0.4),
    "pseudo-huber": partial(pseudo_huber, delta=0.4),
    "own": lambda outputs, targets: (outputs - targets).cosh().log().sum() / len(outputs),
}


def convolution_model():
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, 3)), (1, 4, 4)


class Attention(nn.Module):
    """Two tokens of three numbers; the fast kernels of attention have no forward mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(3, 1, 4, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.layer(x.unflatten(1, (2, 3))).mean(1)


MODELS = {
    "attention": lambda: (Attention(), (6,)),
    "dense": lambda: (nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), (6,)),
    "convolution": convolution_model,
}


def make_problem(model_name, loss_name, **options):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model, shape = MODELS[model_name]()
        model = model.double()
        inputs = torch.randn(SAMPLES, *shape, dtype=torch.float64)
        if loss_name == "cross-entropy":
            targets = torch.arange(SAMPLES) % 3
        else:
            targets = torch.randn(SAMPLES, 3, dtype=torch.float64)
        vector = [torch.randn_like(p) for p in model.parameters()]
    return ModelObjective(model, LOSSES[loss_name], inputs, targets, **options), vector


@pytest.fixture
def dense_of(dense):
    """Return an objective's dense derivatives, and its weights."""

    def of(objective):
        matrices = dense(objective.model, objective._ell, objective.inputs, objective.targets)
        return matrices, flatten(list(objective.model.parameters())).detach()

    return of


ALL = torch.arange(SAMPLES)


CASES = [
    *((model, "cross-entropy") for model in MODELS),
    *(("convolution", loss) for loss in LOSSES),
]


@pytest.mark.parametrize(("model_name", "loss_name"), sorted(set(CASES)))
def test_product_is_that_of_the_dense_matrix(model_name, loss_name, dense_of):
    objective, vector = make_problem(model_name, loss_name)
    matrices, weights = dense_of(objective)
    expected = matrices.gauss_newton(weights, ALL) @ flatten(vector)
    close = {"rtol": 1e-10, "atol": 1e-12}
    linearization = objective.linearize()
    for factor in (1, -2):  # The second product comes from what the first one kept.
        product = flatten(linearization.product([factor * v for v in vector]))
        torch.testing.assert_close(product, factor * expected, **close)
    assert (objective.ggn_products, objective.gradient_evaluations) == (2, 0)
    ways = [{"jacobian_mode": "reverse"}, {"jacobian_mode": "reverse", "micro_batch": 3}]
    for options in [*ways, {"micro_batch": 3}]:
        linearization = make_problem(model_name, loss_name, **options)[0].linearize()
        for _ in range(2):
            torch.testing.assert_close(flatten(linearization.product(vector)), expected, **close)


@pytest.mark.parametrize("loss_name", ["mean squared", "cross-entropy"])
def test_product_is_that_of_curvlinops(loss_name):
    curvlinops = pytest.importorskip("curvlinops")
    objective, vector = make_problem("convolution", loss_name)
    loss = nn.MSELoss() if loss_name == "mean squared" else nn.CrossEntropyLoss()
    operator = curvlinops.GGNLinearOperator(
        objective.model,
        loss,
        list(objective.model.parameters()),
        [(objective.inputs, objective.targets)],
    )
    product = flatten(objective.linearize().product(vector))
    expected = operator @ flatten(vector).detach()
    torch.testing.assert_close(product, expected, rtol=1e-10, atol=1e-12)


def test_hessian_product_is_that_of_the_dense_matrix(dense_of):
    objective, vector = make_problem("dense", "cross-entropy", micro_batch=2)
    matrices, weights = dense_of(objective)
    expected = matrices.hessian(weights, ALL) @ flatten(vector)
    torch.testing.assert_close(
        flatten(objective.hessian_product(vector)), expected, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_loss_and_gradient_are_the_objectives(micro_batch):
    objective, vector = make_problem("convolution", "cross-entropy", micro_batch=micro_batch)
    loss, gradient = objective.loss_and_gradient()
    for order in ("product first", "gradient first"):
        linearization = objective.linearize()
        if order == "product first":
            linearization.product(vector)
        torch.testing.assert_close(linearization.loss, loss)
        torch.testing.assert_close(linearization.gradient, gradient)
        assert not linearization.loss.requires_grad


def test_some_samples_at_other_weights_of_some_parameters(dense_of):
    objective, vector = make_problem("dense", "mean squared", micro_batch=2)
    model, samples = objective.model, torch.tensor([5, 0, 3])
    head = [model[2].bias, model[2].weight]
    wanted = [vector[3], vector[2]]
    values = {p: p.detach() + 0.3 for p in head}
    before = [p.detach().clone() for p in head]
    product = objective.linearize(values, samples).product(wanted)
    assert all(torch.equal(p, b) for p, b in zip(head, before, strict=True))
    with torch.no_grad():
        for p in head:
            p += 0.3
    matrices, weights = dense_of(objective)
    G = matrices.gauss_newton(weights, samples)
    count = model[2].weight.numel() + 3
    embedded = torch.cat([torch.zeros(len(G) - count).double(), flatten(vector[2:])])
    expected = (G @ embedded)[-count:]
    torch.testing.assert_close(flatten(product[::-1]), expected, rtol=1e-10, atol=1e-12)
    assert objective.ggn_products == pytest.approx(3 / 7)


@pytest.mark.parametrize("mode", ["auto", "reverse"])
def test_parameters_that_the_outputs_do_not_reach_are_named(mode):
    model = nn.Sequential(nn.Linear(3, 2))
    model.unused = nn.Linear(2, 2)
    model.forward = model[0].forward
    objective = ModelObjective(
        model, nn.functional.mse_loss, torch.ones(4, 3), torch.ones(4, 2), jacobian_mode=mode
    )
    vector = [torch.ones_like(p) for p in model.parameters()]
    with pytest.raises(OptimizerError, match=r"parameter unused\.weight"):
        objective.linearize().product(vector)


# Replays.


@pytest.fixture
def _replayed_at_once(monkeypatch):
    monkeypatch.setattr(replay, "PRODUCTS_BEFORE", 0)


replayed_at_once = pytest.mark.usefixtures("_replayed_at_once")


class Scaled(nn.Linear):
    factor = 1.0

    def forward(self, x):
        return super().forward(x).sin() * self.factor


REPLAYED = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)),
    "in place": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "buffers": lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval(),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2), nn.MaxPool2d((1, 2)), nn.Flatten()
    ),
}


def make(build, samples=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build().double()
        inputs = torch.randn(samples, 6, dtype=torch.float64)
        vector = [torch.randn_like(p) for p in model.parameters()]
    return model, inputs, vector


def expected_tangent(model, inputs, vector):
    own = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return jvp(
        lambda *values: functional_call(model, dict(zip(own, values, strict=True)), (inputs,)),
        tuple(own.values()),
        tuple(vector),
    )


def find(model, inputs, vector):
    """The replay that a linearization would find."""
    return find_replay(NetworkAt(model, None), inputs, model(inputs).detach(), vector)


@replayed_at_once
@pytest.mark.parametrize("name", REPLAYED)
def test_replayed_tangent_is_torchs(name):
    model, inputs, vector = make(REPLAYED[name])
    for shift in (0.0, 0.3):  # The trace holds for other weights and inputs, too.
        with torch.no_grad():
            for value in model.parameters():
                value += shift
        inputs = inputs + shift
        replayed = find(model, inputs, vector)
        other = [v.sin() for v in vector]
        assert torch.equal(replayed(other), expected_tangent(model, inputs, other)[1])
    assert _TRACES[model].left == MOST_TRACES - 1


@replayed_at_once
@pytest.mark.parametrize("size", [1.0, 1e-9])
def test_a_network_that_was_changed_is_traced_anew(size):
    model, inputs, vector = make(lambda: Scaled(6, 2))
    model.factor = size
    find(model, inputs, vector)
    model.factor = 3 * size
    model.more = nn.Parameter(torch.zeros(3), requires_grad=False)
    found = find(model, inputs, vector)
    twice = [2 * v for v in vector]
    torch.testing.assert_close(
        found(twice), expected_tangent(model, inputs, twice)[1], rtol=1e-9, atol=0
    )


@replayed_at_once
def test_a_trace_with_a_shape_of_its_own_making_does_no_harm():
    class Routed(nn.Linear):
        def forward(self, x):
            chosen = (x[:, 0] > 0).nonzero()[:, 0]
            y = super().forward(x)
            part = y[chosen].reshape(len(chosen) * 2, 1).view(-1, 2)
            return y.index_add(0, chosen, part)

    model, inputs, vector = make(lambda: Routed(6, 2), samples=9)
    zeros = torch.zeros(9, 2, dtype=torch.float64)
    for flip in (1, -1):
        objective = ModelObjective(model, nn.functional.mse_loss, flip * inputs, zeros)
        linearization = objective.linearize()
        products = [linearization.product(vector) for _ in range(3)]
        reverse = ModelObjective(
            model, nn.functional.mse_loss, flip * inputs, zeros, jacobian_mode="reverse"
        )
        for product in products:
            torch.testing.assert_close(product, reverse.linearize().product(vector))


@replayed_at_once
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("memory"), KeyError("a"), RuntimeError("CUDA error: x")]
)
def test_errors_of_memory_device_and_program_come_through(error):
    class Raising(nn.Linear):
        def forward(self, x):
            if torch._C._functorch.peek_interpreter_stack() is not None:
                raise error
            return super().forward(x)

    model, inputs, vector = make(lambda: Raising(6, 2))
    objective = ModelObjective(model, nn.functional.mse_loss, inputs, inputs[:, :2])
    linearization = objective.linearize()
    linearization.product(vector)
    with pytest.raises(type(error)):
        linearization.product(vector)


@replayed_at_once
def test_a_derivative_that_was_changed_alone_is_noticed():
    class Twisted(nn.Linear):
        kept = 0.0

        def forward(self, x):
            y = super().forward(x)
            return y + self.kept * (y - y.detach())

    model, inputs, vector = make(lambda: Twisted(6, 2))
    zeros = torch.zeros(4, 2, dtype=torch.float64)
    objective = ModelObjective(model, nn.functional.mse_loss, inputs, zeros)

    def product():
        linearization = objective.linearize()
        return linearization.gradient and linearization.product(vector)

    plain = product()
    model.kept = 1.0  # The same outputs, twice the Jacobian.
    for _ in range(3):
        torch.testing.assert_close(product(), tuple(4 * p for p in plain))


@replayed_at_once
@pytest.mark.parametrize("model_name", ["attention", "dense", "convolution"])
def test_products_have_the_same_bits_whether_replayed_or_not(model_name, monkeypatch):
    found = []
    for products_before in (100, 0):
        monkeypatch.setattr(replay, "PRODUCTS_BEFORE", products_before)
        objective, vector = make_problem(model_name, "cross-entropy")
        for _ in range(2):  # At new weights the trace serves from the first product on.
            linearization = objective.linearize()
            found.append(flatten(linearization.gradient))
            found += [flatten(linearization.product(vector)) for _ in range(2)]
            with torch.no_grad():
                [p.mul_(1.1) for p in objective.model.parameters()]
        if model_name != "attention":  # Its trace has other bits, and does not serve.
            assert (linearization._kept._replay is None) == (products_before > 0)
    assert torch.equal(torch.cat(found[:6]), torch.cat(found[6:]))
