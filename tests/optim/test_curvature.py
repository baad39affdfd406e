"""Gauss–Newton products against the dense matrix, another library, and each other."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, jacrev

from seistomo.optim import ModelObjective, OptimizerError
from seistomo.optim.objective import flatten, unflatten

SAMPLES = 7


def own_loss(outputs, targets):
    """A convex loss of a user's own: log cosh of the error."""
    return torch.log(torch.cosh(outputs - targets)).sum() / len(outputs)


LOSSES = {
    "mean squared": nn.functional.mse_loss,
    "cross-entropy": nn.functional.cross_entropy,
    "huber": lambda outputs, targets: nn.functional.huber_loss(outputs, targets, delta=0.4),
    "own": own_loss,
}


def dense_model():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), (6,)


def convolution_model():
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, 3)), (1, 4, 4)


class TwoWays(torch.autograd.Function):
    """A layer that has no forward mode, but can be differentiated twice."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return slope * x.cos()


class Sine(nn.Module):
    def forward(self, x):
        return TwoWays.apply(x)


def reverse_only_model():
    return nn.Sequential(nn.Linear(6, 5), Sine(), nn.Linear(5, 3)), (6,)


class Attention(nn.Module):
    """Two tokens of three numbers; the fast kernels of attention have no forward mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(3, 1, 4, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.layer(x.unflatten(1, (2, 3))).mean(1)


MODELS = {
    "attention": lambda: (Attention(), (6,)),
    "dense": dense_model,
    "convolution": convolution_model,
    "reverse only": reverse_only_model,
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


def dense_matrix(objective, samples=None):
    """Jᵀ ∇²ℓ J with explicit Jacobians."""
    rows = torch.arange(SAMPLES) if samples is None else samples
    inputs, targets = objective.inputs[rows], objective.targets[rows]
    model = objective.model
    names = [name for name, _ in model.named_parameters()]
    own = [p.detach() for p in model.parameters()]

    def outputs(flat):
        return functional_call(
            model, dict(zip(names, unflatten(flat, own), strict=True)), (inputs,)
        )

    weights = flatten(own)
    at = outputs(weights)
    # Reverse mode twice: it suits every model of this file.
    J = torch.autograd.functional.jacobian(outputs, weights).reshape(at.numel(), -1)
    H = hessian(lambda h: objective._ell(h.view_as(at), targets))(at.reshape(-1))
    return J.T @ H @ J


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("model_name", MODELS)
def test_product_is_that_of_the_dense_matrix(model_name, loss_name):
    objective, vector = make_problem(model_name, loss_name)
    G = dense_matrix(objective)
    linearization = objective.linearize()
    for sign in (1, -2):  # The second product comes from what the first one kept.
        product = flatten(linearization.product([sign * v for v in vector]))
        torch.testing.assert_close(product, sign * G @ flatten(vector), rtol=1e-10, atol=1e-12)
    assert objective.ggn_products == 2
    assert objective.gradient_evaluations == 0


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("model_name", ["dense", "convolution"])
def test_both_ways_give_the_same(model_name, loss_name, micro_batch):
    found = []
    for mode in ("forward", "reverse"):
        objective, vector = make_problem(
            model_name, loss_name, jacobian_mode=mode, micro_batch=micro_batch
        )
        linearization = objective.linearize()
        for _ in range(2):
            found.append(flatten(linearization.product(vector)))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-12, atol=1e-14)


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


@pytest.mark.parametrize("loss_name", LOSSES)
def test_the_operator_is_symmetric_and_positive_semidefinite(loss_name):
    objective, vector = make_problem("convolution", loss_name)
    linearization = objective.linearize()
    v = flatten(vector)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        u = torch.randn_like(v)
    own = list(objective.model.parameters())
    Gv, Gu = (flatten(linearization.product(unflatten(w, own))) for w in (v, u))
    torch.testing.assert_close(u @ Gv, v @ Gu, rtol=1e-10, atol=0)
    assert v @ Gv > 0
    assert u @ Gu > 0
    assert float(torch.linalg.eigvalsh(dense_matrix(objective)).min()) > -1e-12


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_and_its_transpose_are_adjoint(mode):
    """⟨Jv, u⟩ = ⟨v, Jᵀu⟩, with the squared norm ‖h‖²/2 as loss: then G v = Jᵀ J v."""
    objective, vector = make_problem("convolution", "mean squared", jacobian_mode=mode)
    objective._ell = lambda outputs, targets: outputs.square().sum() / 2
    names = [name for name, _ in objective.model.named_parameters()]
    own = dict(zip(names, objective.model.parameters(), strict=True))
    _, Jv = torch.func.jvp(
        lambda p: functional_call(objective.model, p, (objective.inputs,)),
        ({k: p.detach() for k, p in own.items()},),
        (dict(zip(names, vector, strict=True)),),
    )
    vGv = flatten(vector) @ flatten(objective.linearize().product(vector))
    torch.testing.assert_close(vGv, Jv.square().sum(), rtol=1e-12, atol=0)


def test_exact_on_linear_models():
    """There the Gauss–Newton matrix is the Hessian, and one Newton step is the solution."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = nn.Linear(4, 1).double()
        inputs = torch.randn(20, 4, dtype=torch.float64)
    targets = inputs @ torch.tensor([1.0, -2, 3, 0.5]).double()[:, None] + 0.7
    objective = ModelObjective(model, nn.functional.mse_loss, inputs, targets)
    own = list(model.parameters())
    linearization = objective.linearize()
    columns = [flatten(linearization.product(unflatten(e, own))) for e in torch.eye(5).double()]
    G = torch.stack(columns, 1)
    torch.testing.assert_close(
        torch.stack(
            [flatten(objective.hessian_product(unflatten(e, own))) for e in torch.eye(5).double()],
            1,
        ),
        G,
    )
    step = -torch.linalg.solve(G, flatten(linearization.gradient))
    weights = unflatten(flatten(own).detach() + step, own)
    assert objective.loss(dict(zip(own, weights, strict=True))) < 1e-24


def test_hessian_product_is_that_of_the_dense_matrix():
    objective, vector = make_problem("dense", "cross-entropy", micro_batch=2)
    names = [name for name, _ in objective.model.named_parameters()]
    own = [p.detach() for p in objective.model.parameters()]

    def loss(flat):
        values = dict(zip(names, unflatten(flat, own), strict=True))
        return objective._ell(
            functional_call(objective.model, values, (objective.inputs,)), objective.targets
        )

    H = jacrev(jacrev(loss))(flatten(own))
    product = flatten(objective.hessian_product(vector))
    torch.testing.assert_close(product, H @ flatten(vector), rtol=1e-10, atol=1e-12)


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


def test_some_samples_at_other_weights_of_some_parameters():
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
    G = dense_matrix(objective, samples)
    count = model[2].weight.numel() + 3
    embedded = torch.cat([torch.zeros(len(G) - count).double(), flatten(vector[2:])])
    expected = (G @ embedded)[-count:]
    torch.testing.assert_close(flatten(product[::-1]), expected, rtol=1e-10, atol=1e-12)
    assert objective.ggn_products == pytest.approx(3 / 7)


def test_layers_without_forward_mode_fall_back_once():
    objective, vector = make_problem("reverse only", "mean squared")
    passes = []
    objective.model.register_forward_pre_hook(lambda *_: passes.append(1))
    objective.linearize().product(vector)
    first = len(passes)
    objective.linearize().product(vector)
    assert len(passes) - first < first
    forward, _ = make_problem("reverse only", "mean squared", jacobian_mode="forward")
    with pytest.raises((NotImplementedError, RuntimeError), match=r"jvp|forward"):
        forward.linearize().product(vector)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_models_that_return_no_tensor_are_refused(mode):
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    model = Pair(3, 2)
    loss = lambda outputs, targets: (outputs[0] - targets).square().mean()  # noqa: E731
    objective = ModelObjective(model, loss, torch.ones(4, 3), torch.ones(4, 2), jacobian_mode=mode)
    objective.gradient()
    with pytest.raises(OptimizerError, match="returns a tuple; curvature needs one tensor"):
        objective.linearize().product(list(model.parameters()))


def test_a_loss_that_is_linear_has_no_curvature():
    objective, vector = make_problem("dense", "mean squared")
    objective._ell = lambda outputs, targets: outputs.sum()
    assert not flatten(objective.linearize().product(vector)).any()


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm1d(5), nn.Dropout(0.2), nn.SyncBatchNorm(5)],
    ids=lambda m: type(m).__name__,
)
def test_layers_that_couple_samples_or_draw_are_refused(layer):
    model = nn.Sequential(nn.Linear(6, 5), layer, nn.Linear(5, 3))
    objective = ModelObjective(model, nn.functional.mse_loss, torch.randn(4, 6), torch.randn(4, 3))
    for ask in (objective.linearize, objective.full_gradient):
        with pytest.raises(OptimizerError, match=rf"layer 1 \({type(layer).__name__}\) in train"):
            ask()
    with pytest.raises(OptimizerError, match="in train mode"):
        objective.hessian_product(list(model.parameters()))
    model.eval()
    objective.linearize()


@pytest.mark.parametrize("mode", ["forward", "reverse"])
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
