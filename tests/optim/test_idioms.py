"""What a stranger's model, loss or loop may hold: each works, or is refused with the remedy.

docs/optimizers.md names what works.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from seistomo.optim import SGN, SQGN, SVRG, ModelObjective, OptimizerError
from seistomo.optim.curvature import twice_differentiable
from seistomo.optim.objective import flatten

DOCS = Path(__file__).parents[2] / "docs" / "optimizers.md"
SAMPLES = 12
WORKS = "works"


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


INPUTS, TARGETS = random(SAMPLES, 4), random(SAMPLES, 3, seed=1)


def layers(*between):
    return nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 3))


class Attention(nn.Module):
    """Two tokens of two numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(2, 1, 4, dropout=0.0, batch_first=True)
        self.dense = nn.Linear(2, 3)

    def forward(self, x):
        return self.dense(self.layer(x.unflatten(1, (2, 2))).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.recurrent, self.dense = kind(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.dense(self.recurrent(x.unflatten(1, (2, 2)))[0][:, -1])


class Checkpointed(nn.Sequential):
    def __init__(self, reentrant):
        super().__init__(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
        self.reentrant = reentrant

    def forward(self, x):
        inner = lambda z: self[1](z).tanh()  # noqa: E731
        return self[2](checkpoint(inner, self[0](x), use_reentrant=self.reentrant))


class TwoNames(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        self.second = self.first

    def forward(self, x):
        return self.last(self.second(self.first(x).tanh()).tanh())


def twice_in_a_row():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(4, 3))


def tied_weights():
    model = layers(nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def frozen():
    model = layers(nn.Tanh())
    model[0].requires_grad_(False)
    return model


class Embedded(nn.Module):
    def __init__(self, sparse=False, as_function=False):
        super().__init__()
        self.table, self.dense = nn.Embedding(3, 2, sparse=sparse), nn.Linear(2, 3)
        self.as_function = as_function

    def forward(self, x):
        rows = (x > 0).long()
        if self.as_function:
            return self.dense(functional.embedding(rows, self.table.weight, sparse=True).mean(1))
        return self.dense(self.table(rows).mean(1))


class Around(nn.Module):
    """Layers inside a context."""

    def __init__(self, context):
        super().__init__()
        self.layers, self.context = layers(nn.Tanh()), context

    def forward(self, x):
        with self.context():
            return self.layers(x)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


class Scaled(nn.Module):
    """Layers over a norm that is taken for a constant."""

    def __init__(self):
        super().__init__()
        self.layers = layers(nn.Tanh())

    def forward(self, x):
        with torch.no_grad():
            norm = self.layers[0].weight.norm()
        return self.layers(x) / norm


class Slopes(nn.Module):
    """A function's derivatives in its inputs, as in networks that solve an equation."""

    def __init__(self, context):
        super().__init__()
        self.layers, self.context = (
            nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1, bias=False)),
            context,
        )

    def forward(self, x):
        with self.context():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.layers(x).sum(), x, create_graph=True)
            return slope[:, :3]


class Spectrum(nn.Linear):
    def forward(self, x):
        return torch.fft.fft(super().forward(x))


def distance(outputs, targets):
    return (outputs - targets).abs().square().sum() / len(targets)


class TwoWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, slope):
        return slope * ctx.saved_tensors[0].cos()


class Sine(nn.Module):
    def forward(self, x):
        return TwoWays.apply(x)


class Holding(nn.Linear):
    """Keeps a view of its weights for itself."""

    def __init__(self):
        super().__init__(4, 3)
        self.transposed = [self.weight.double().t()]

    def double(self):
        super().double()
        self.transposed = [self.weight.t()]
        return self

    def forward(self, x):
        return x @ self.transposed[0] + self.bias


class Compiled(nn.Linear):
    def double(self):
        super().double().compile(backend="eager")
        return self


class Coupled(nn.Linear):
    """Couples the samples of a batch, in a way that no layer shows."""

    def forward(self, x):
        outputs = super().forward(x)
        return outputs - outputs.mean(0)


class Shaking(nn.Linear):
    """Random, in a way that no layer shows."""

    def forward(self, x):
        return super().forward(functional.dropout(x, 0.5))


class Two(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


def clipped():
    model = layers(nn.Tanh())
    model[0].weight.register_hook(lambda slope: slope.clamp(-0.01, 0.01))
    return model


def ctc(outputs, targets):
    log_probabilities = outputs[None].expand(2, -1, -1).log_softmax(-1)
    count = len(outputs)
    lengths = torch.full((2, count), 1) * torch.tensor([[2], [1]])
    given = torch.ones(count, 1, dtype=torch.long)
    return functional.ctc_loss(log_probabilities, given, *lengths, reduction="sum") / count


class Penalized(nn.Module):
    """A loss with a penalty on the weights."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, outputs, targets):
        penalty = sum(p.square().sum() for p in self.model.parameters())
        return functional.mse_loss(outputs, targets) + 0.1 * penalty


class Remembering(nn.Linear):
    """Keeps what it has computed for the loss."""

    def forward(self, x):
        self.inner = super().forward(x)
        return self.inner.tanh()


def of_inner(model):
    return lambda h, y: functional.mse_loss(h, y) + model.inner.square().mean()


class Weighing(nn.Module):
    """A loss with a weight that is to be learnt."""

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(3))

    def forward(self, outputs, targets):
        return ((outputs - targets).square() * self.log_scale.exp()).sum() / len(targets)


@dataclass(frozen=True)
class Idiom:
    """A row of the table: what it is and, where it does not work, the remedy that is told."""

    build: Callable[[], nn.Module] = lambda: layers(nn.Tanh())
    outcome: str = WORKS
    loss: Callable[..., Any] = functional.mse_loss
    loss_of: Callable[[nn.Module], Callable] | None = None  # the loss, where it knows the model
    around: Callable[[], Any] = contextlib.nullcontext  # a step
    own: Callable[[nn.Module], list] = lambda model: list(model.parameters())
    dtype: torch.dtype = torch.float64
    rounding: float = 1e-10


IDIOMS = {
    "attention": Idiom(Attention),
    "`nn.LSTM`": Idiom(lambda: Recurrent(nn.LSTM)),
    "`nn.GRU`": Idiom(lambda: Recurrent(nn.GRU)),
    "dense embedding": Idiom(Embedded),
    "frozen layers": Idiom(frozen),
    "some of the parameters, in groups": Idiom(own=lambda model: [model[2].bias, model[0].weight]),
    "tied weights": Idiom(tied_weights),
    "one layer twice in a `Sequential`": Idiom(twice_in_a_row),
    "one layer under two names": Idiom(TwoNames),
    "weight norm": Idiom(lambda: layers(parametrizations.weight_norm(nn.Linear(4, 4)))),
    "spectral norm, after `.eval()`": Idiom(
        lambda: layers(parametrizations.spectral_norm(nn.Linear(4, 4))).eval()
    ),
    "`nn.BatchNorm1d`, after `.eval()`": Idiom(lambda: layers(nn.BatchNorm1d(4)).eval()),
    "float32 weights": Idiom(dtype=torch.float32, rounding=1e-5),
    "autocast inside the model": Idiom(
        lambda: Around(autocast), dtype=torch.float32, rounding=0.02
    ),
    "`checkpoint(use_reentrant=False)`": Idiom(lambda: Checkpointed(False)),
    "a `torch.autograd.Function` without `jvp`": Idiom(lambda: layers(Sine())),
    "`detach` or `no_grad` around a part of the model": Idiom(Scaled),
    "`torch.autograd.grad` inside the model, under `enable_grad`": Idiom(
        lambda: Slopes(torch.enable_grad)
    ),
    "complex outputs": Idiom(lambda: Spectrum(4, 3), loss=distance),
    # Refused.
    "`checkpoint(use_reentrant=True)`": Idiom(
        lambda: Checkpointed(True), "needs `use_reentrant=False`"
    ),
    "`nn.DataParallel`": Idiom(lambda: nn.DataParallel(layers()), "give its `.module`"),
    "TorchScript": Idiom(
        lambda: nn.Sequential(torch.jit.script(layers())), "give the module that it was made from"
    ),
    "`torch.compile(model)`": Idiom(
        lambda: torch.compile(layers(), backend="eager"), "give its `._orig_mod`"
    ),
    "`model.compile()`": Idiom(
        lambda: Compiled(4, 3), "give one whose `.compile()` was not called"
    ),
    "`nn.Embedding(sparse=True)`": Idiom(lambda: Embedded(True), "needs `sparse = False`"),
    "`functional.embedding(sparse=True)`": Idiom(
        lambda: Embedded(as_function=True), "needs `sparse = False`"
    ),
    "the whole model under `no_grad`": Idiom(
        lambda: Around(torch.no_grad), "outputs have no gradient"
    ),
    "`inference_mode` inside the model": Idiom(
        lambda: Around(torch.inference_mode), "outputs have no gradient"
    ),
    "`inference_mode` around a step": Idiom(
        around=torch.inference_mode, outcome="inside `torch.inference_mode`"
    ),
    "autocast around a step": Idiom(
        around=autocast, dtype=torch.float32, outcome="put autocast inside the model's forward"
    ),
    "`torch.autograd.grad` inside the model alone": Idiom(
        lambda: Slopes(contextlib.nullcontext), "put `torch.enable_grad()` around that"
    ),
    "hooks that change gradients": Idiom(clipped, "remove hooks that change gradients"),
    "a view of a weight kept from the start": Idiom(Holding, "make it in forward"),
    "lazy layers that were not called": Idiom(
        lambda: nn.Sequential(nn.LazyLinear(3)), "call it once on a few inputs"
    ),
    "dropout": Idiom(lambda: layers(nn.Dropout()), "call `.eval()` on it"),
    "randomness of your own": Idiom(lambda: Shaking(4, 3), "turn off what draws at random"),
    "`nn.BatchNorm1d` in train mode": Idiom(
        lambda: layers(nn.BatchNorm1d(4)), "call `.eval()` on it, or replace it (GroupNorm works)"
    ),
    "a layer of your own that couples samples": Idiom(
        lambda: Coupled(4, 3), "replace it (GroupNorm works)"
    ),
    "more than one tensor of outputs": Idiom(
        lambda: Two(4, 3), "needs one tensor of outputs", lambda h, y: functional.mse_loss(h[0], y)
    ),
    "a loss that depends on the weights": Idiom(
        outcome="use the optimizer's `weight_decay`", loss_of=Penalized
    ),
    "a loss that reads inner activations": Idiom(
        lambda: Remembering(4, 3), "return all that the loss needs as outputs", loss_of=of_inner
    ),
    "a detached loss": Idiom(
        outcome="leave out `.item()`, `.detach()`",
        loss=lambda h, y: functional.mse_loss(h.detach(), y),
    ),
    "`ctc_loss`": Idiom(outcome="has no second derivative", loss=ctc),
    "a summed loss": Idiom(outcome="must be a mean over samples", loss=nn.MSELoss(reduction="sum")),
}


def rows(works):
    chosen = {name: i for name, i in IDIOMS.items() if (i.outcome == WORKS) == works}
    return pytest.mark.parametrize("idiom", chosen.values(), ids=chosen.keys())


def problem_of(idiom):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = idiom.build()
        model = model.double() if idiom.dtype == torch.float64 else model
    loss = idiom.loss_of(model) if idiom.loss_of else idiom.loss
    return ModelObjective(model, loss, INPUTS.to(idiom.dtype), TARGETS.to(idiom.dtype))


def slots(model):
    return [
        (module, name, id(p))
        for module in model.modules()
        for name, p in module._parameters.items()
    ]


@rows(works=True)
def test_derivatives_are_autograds(idiom):
    objective = problem_of(idiom)
    model, loss, x, y = objective.model, idiom.loss, objective.inputs, objective.targets
    own = [p for p in idiom.own(model) if p.requires_grad]
    vector, before = [p.detach().sin() for p in own], slots(model)
    with twice_differentiable():
        outputs = model(x)
        gradient = torch.autograd.grad(loss(outputs, y), own, create_graph=True)
        slope = sum((g * v).sum() for g, v in zip(gradient, vector, strict=True))
        curved = torch.autograd.grad(slope, own, retain_graph=True)
        # J v by differentiating u ↦ Jᵀu, and G v = Jᵀ ∇²ℓ J v.
        u = torch.zeros_like(outputs, requires_grad=True)
        transposed = torch.autograd.grad(outputs, own, u, create_graph=True)
        (tangent,) = torch.autograd.grad(transposed, u, vector)
        leaf = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(leaf, y), leaf, create_graph=True)
        (along,) = torch.autograd.grad(slope, leaf, tangent)
        product = torch.autograd.grad(outputs, own, along)

    def assert_same(found, expected):
        found, expected = flatten(found), flatten(expected).detach()
        assert (found - expected).norm() <= idiom.rounding * expected.norm()

    linearized = objective.linearize(own)
    assert_same(objective.gradient(own), gradient)
    assert_same(linearized.gradient, gradient)
    for factor in (1, 2, 3):  # In one pass with the outputs, and replayed.
        found = linearized.product([factor * v for v in vector])
        assert_same(found, [factor * p for p in product])
    assert_same(objective.hessian_product(vector, own), curved)
    there = {p: p.detach() + 0.1 for p in own}
    elsewhere = objective.gradient(there)
    assert slots(model) == before
    with torch.no_grad():
        for p in own:
            p += 0.1
    assert_same(elsewhere, objective.gradient(own))


def test_layers_without_forward_mode_fall_back_once():
    objective = problem_of(IDIOMS["a `torch.autograd.Function` without `jvp`"])
    vector, passes = list(objective.model.parameters()), []
    objective.model.register_forward_pre_hook(lambda *_: passes.append(1))
    objective.linearize().product(vector)
    first = len(passes)
    objective.linearize().product(vector)
    assert len(passes) - first < first


@rows(works=True)
def test_steps_descend(idiom):
    for kind, options in (SGN, {}), (SQGN, {"full_gradient_interval": 1}):
        objective = problem_of(idiom)
        groups = [{"params": [p]} for p in idiom.own(objective.model)]
        optimizer, before = kind(groups, **options), slots(objective.model)
        losses = [float(optimizer.step(objective)) for _ in range(3)]
        assert losses[2] < losses[0]
        assert slots(objective.model) == before


def test_whatever_happens_the_model_has_its_own_parameters():
    class Raising(TwoNames):
        calls, limit = 0, 10**9

        def forward(self, x):
            self.calls += 1
            if self.calls > self.limit:
                raise KeyboardInterrupt
            return super().forward(x)

    model = Raising().double()
    before, optimizer = slots(model), SGN(model.parameters())
    objective = ModelObjective(model, functional.mse_loss, INPUTS, TARGETS)
    optimizer.step(objective)
    calls = model.calls
    for limit in range(calls, calls + 5):  # In the middle of a pass for curvature, or of a search.
        model.calls, model.limit = calls, limit
        with pytest.raises(KeyboardInterrupt):
            [optimizer.step(objective) for _ in range(3)]
        assert slots(model) == before


@pytest.mark.filterwarnings("ignore")
@rows(works=False)
def test_what_does_not_work_is_refused_in_one_line_with_the_remedy(idiom):
    for kind, options in (SGN, {}), (SQGN, {"full_gradient_interval": 1}):
        objective = problem_of(idiom)
        before = slots(objective.model)
        with pytest.raises(OptimizerError) as caught, idiom.around():
            kind(objective.model.parameters(), **options).step(objective)
        assert idiom.outcome.replace("`", "") in str(caught.value)
        assert "\n" not in str(caught.value)
        assert slots(objective.model) == before


def test_the_docs_name_what_works():
    (named,) = re.findall(r"^These work with SGN and SQGN: (.+?)\.$", DOCS.read_text(), re.M | re.S)
    assert named.replace("\n", " ").split("; ") == [
        n for n, i in IDIOMS.items() if i.outcome == WORKS
    ]


def test_parameters_of_the_loss():
    loss, model = Weighing(), layers()
    objective = ModelObjective(model.double(), loss.double(), INPUTS, TARGETS)
    with pytest.warns(UserWarning, match="loss: has parameters of its own"):
        objective.linearize()
    for kind, options in (SGN, {}), (SVRG, {"full_gradient_interval": 1}):
        optimizer = kind([*model.parameters(), *loss.parameters()], **options)
        with pytest.raises(OptimizerError, match="no parameter of the model"):
            optimizer.step(objective)
    # Torch's optimizers may have them: their gradients do not add up from step to step.
    for _ in range(2):
        objective()
        slope = torch.autograd.grad(loss(model(INPUTS), TARGETS), loss.log_scale)[0]
        torch.testing.assert_close(loss.log_scale.grad, slope)
