"""What every optimizer keeps to: the registered ones with their options, and third parties'."""

import copy
import dataclasses
import inspect
import io
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from seistomo.optim import (
    SGN,
    SQGN,
    SVRG,
    ModelObjective,
    ObjectiveOptimizer,
    OptimizerError,
    make_optimizer,
    optimizer_names,
    replay,
)

BATCHES = 4


@dataclasses.dataclass(frozen=True)
class Variant:
    """An optimizer with options, and the learning rate that suits all the problems here."""

    name: str
    rate: float
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


TRAINING_SET = {"curvature_samples": 30, "curvature_from": "training_set"}
VARIANTS = {
    "adam": Variant("adam", 0.03),
    "sgd": Variant("sgd", 0.02, {"momentum": 0.8, "nesterov": True}),
    "svrg": Variant("svrg", 0.05, {"full_gradient_interval": 2}),
    "sqgn": Variant("sqgn", 0.2, {"full_gradient_interval": 2}),
    "sqgn-paper": Variant(
        "sqgn", 0.2, {"full_gradient_interval": "epoch", "first_step": "paper", **TRAINING_SET}
    ),
    "sqgn-subsampled": Variant(
        "sqgn", 0.2, {"full_gradient_interval": 4, "curvature_samples": 10, "history": 3}
    ),
    "sqn": Variant(
        "sqgn",
        0.2,
        {"full_gradient_interval": "never", "curvature": "hessian", "pair_interval": 2},
    ),
    "online-lbfgs": Variant(
        "sqgn", 0.2, {"full_gradient_interval": "never", "curvature": "gradient_difference"}
    ),
    "sgn": Variant("sgn", 0.5),
    "sgn-decays": Variant(
        "sgn",
        0.5,
        {"cg_iterations": 3, "damping_rule": "cosine", "decay_steps": 5, "momentum": 0.5},
    ),
    "sgn-adaptive": Variant("sgn", 0.5, {"adaptive_cg": True, "preconditioner_power": 0.75}),
    "sgn-training-set": Variant("sgn", 0.5, {"cg_iterations": 3, "damping": 0.1, **TRAINING_SET}),
    "newton-cg": Variant("sgn", 0.5, {"cg_iterations": 3, "curvature": "hessian"}),
    "adamw": Variant("torch.optim.AdamW", 0.03),
    "lbfgs": Variant("torch.optim.LBFGS", 0.2, {"max_iter": 2, "history_size": 2}),
}
each = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())


@pytest.fixture
def _without_replays(monkeypatch):
    """Save the time of tracing each model."""
    monkeypatch.setattr(replay._Traces, "left", 0)


def every_variant(test):
    return pytest.mark.usefixtures("_without_replays")(each(test))


def every_own_class(test):
    ours = ("svrg", "sqgn", "sgn")
    own = pytest.mark.parametrize("variant", [VARIANTS[key] for key in ours], ids=ours)
    return pytest.mark.usefixtures("_without_replays")(own(test))


def make(variant, params, **more):
    return make_optimizer(variant.name, params, variant.rate, {**variant.options, **more})


# Problems.


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A model's start, a loss and a training set of 80 samples."""

    model: nn.Module
    loss: Any
    inputs: torch.Tensor
    targets: torch.Tensor
    fraction: float  # What four epochs must leave of the loss at most.

    def start(self, dtype=torch.float32):
        return copy.deepcopy(self.model).to(dtype)

    def objective(self, model, step):
        """Return the mini-batch of a step: each epoch has four, in an order of its own."""
        epoch, index = divmod(step, BATCHES)
        order = torch.randperm(len(self.inputs), generator=torch.Generator().manual_seed(epoch))
        dtype = next(model.parameters()).dtype
        targets = self.targets.to(dtype) if self.targets.is_floating_point() else self.targets
        batches = order.split(len(order) // BATCHES)
        place = {"samples": batches[index], "batches": batches, "batch_index": index}
        return ModelObjective(model, self.loss, self.inputs.to(dtype), targets, **place)

    def full_loss(self, model):
        objective = self.objective(model, 0)
        return float(objective.loss(samples=objective.training_samples))

    def run(self, model, optimizer, steps, first=0):
        """Take the steps from number ``first`` to ``steps``; return the last loss."""
        for step in range(first, steps):
            loss = optimizer.step(self.objective(model, step))
        return float(loss)


def small_network(*sizes):
    layers = [nn.Linear(sizes[0], sizes[1])]
    for size, following in itertools.pairwise(sizes[1:]):
        layers += [nn.Tanh(), nn.Linear(size, following)]
    return nn.Sequential(*layers)


def _problems():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs, images = torch.randn(80, 5), torch.randn(80, 1, 8, 8)
        labels = torch.arange(80) % 3
        images[torch.arange(80), 0, 2 * labels, 3] += 4
        scaled = inputs * torch.tensor([0.3, 0.5, 1.0, 1.0, 1.5])
        torch.randn(80, 1)
        network = small_network(5, 6, 2)
        with torch.no_grad():
            taught = small_network(5, 6, 2)(inputs)
        convolutional = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3)
        )
        return {
            "quadratic": Problem(
                nn.Linear(5, 2), mean_squared, scaled, scaled @ torch.ones(5, 2), 0.5
            ),
            "regression": Problem(network, mean_squared, inputs, taught, 0.25),
            "classification": Problem(convolutional, functional.cross_entropy, images, labels, 0.7),
        }


PROBLEMS = _problems()
REGRESSION = PROBLEMS["regression"]
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())


def assert_same_bits(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def moved(model, problem=REGRESSION):
    """Return, for each parameter, whether it left the start."""
    pairs = zip(model.parameters(), problem.model.parameters(), strict=True)
    return [not torch.equal(now, start) for now, start in pairs]


# The contract.


def test_every_registered_optimizer_is_here():
    assert {variant.name for variant in VARIANTS.values()} >= set(optimizer_names())


@every_problem
@every_variant
def test_descends(variant, problem):
    model = problem.start()
    optimizer = make(variant, model.parameters())
    before = problem.full_loss(model)
    problem.run(model, optimizer, 4 * BATCHES)
    assert problem.full_loss(model) < problem.fraction * before


@every_variant
def test_returns_the_loss_before_the_step_without_a_graph(variant):
    model = REGRESSION.start()
    optimizer = make(variant, model.parameters())
    for step in range(3):
        objective = REGRESSION.objective(model, step)
        expected = float(objective.loss())
        loss = optimizer.step(objective)
        assert float(loss) == pytest.approx(expected, rel=1e-5)
        assert not loss.requires_grad
        assert loss.shape == ()


@each
def test_state_continues_bit_for_bit(variant):
    steps = 6
    model = REGRESSION.start()
    optimizer = make(variant, model.parameters())
    REGRESSION.run(model, optimizer, steps)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(model)
    restored = make(variant, other.parameters())
    restored.load_state_dict(torch.load(file, weights_only=True))
    copies = [(other, restored)]
    if variant.name != "torch.optim.LBFGS":  # torch's own loses its parameters when copied.
        copies.append(copy.deepcopy((model, optimizer)))
    # One goes on after the other: they must share nothing.
    one = REGRESSION.run(model, optimizer, steps + 5, first=steps)
    for other, restored in copies:
        assert REGRESSION.run(other, restored, steps + 5, first=steps) == one
        assert_same_bits(model, other)


@every_variant
def test_float64_stays_float64(variant):
    model = REGRESSION.start(torch.float64)
    optimizer = make(variant, model.parameters())
    before = REGRESSION.full_loss(model)
    REGRESSION.run(model, optimizer, 6)
    assert REGRESSION.full_loss(model) < before
    vectors = [value for value in tensors_in(optimizer.state_dict()) if value.ndim > 0]
    kinds = {value.dtype for value in vectors if value.is_floating_point()}
    assert kinds <= {torch.float64}
    assert optimizer.step(REGRESSION.objective(model, 0)).dtype == torch.float64


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_own_class
def test_a_state_read_to_another_device_continues_bit_for_bit(variant):
    model = REGRESSION.start()
    optimizer = make(variant, model.parameters())
    REGRESSION.run(model, optimizer, 5)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(model)
    restored = make(variant, other.parameters())
    restored.load_state_dict(torch.load(file, map_location="cuda", weights_only=True))
    assert REGRESSION.run(other, restored, 8, 5) == REGRESSION.run(model, optimizer, 8, 5)


# Learning rates.


@every_variant
def test_rate_zero_moves_nothing_and_does_no_harm(variant):
    model = REGRESSION.start()
    optimizer = make(variant, model.parameters())
    rates = [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rates.__getitem__)
    for step, rate in enumerate(rates[:-1]):
        before = copy.deepcopy(model)
        optimizer.step(REGRESSION.objective(model, step))
        if rate == 0:
            assert_same_bits(model, before)
        schedule.step()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert REGRESSION.full_loss(model) < REGRESSION.full_loss(REGRESSION.start())


@every_variant
def test_schedules_act(variant):
    model, other = REGRESSION.start(), REGRESSION.start()
    scheduled = make(variant, model.parameters())
    by_step = torch.optim.lr_scheduler.LambdaLR(scheduled, lambda step: 0.5 if step < 4 else 0.0)
    halved = Variant(variant.name, 0.5 * variant.rate, variant.options)
    by_hand = make(halved, other.parameters())
    for step in range(4):
        scheduled.step(REGRESSION.objective(model, step))
        by_hand.step(REGRESSION.objective(other, step))
        by_step.step()
    assert_same_bits(model, other)
    assert all(moved(model))
    scheduled.step(REGRESSION.objective(model, 4))
    assert_same_bits(model, other)


# Which parameters.


@every_variant
@pytest.mark.parametrize("how", ["frozen", "left out"])
def test_some_of_the_parameters_are_optimized(variant, how):
    model = REGRESSION.start()
    model[0].requires_grad_(how == "left out")
    own = model.parameters() if how == "frozen" else [model[2].bias, model[2].weight]
    optimizer, before = make(variant, own), REGRESSION.full_loss(model)
    REGRESSION.run(model, optimizer, 6)
    assert moved(model) == [False, False, True, True]
    assert how == "left out" or all(p.grad is None for p in model[0].parameters())
    assert REGRESSION.full_loss(model) < before


@every_variant
def test_parameter_groups_have_their_own_rates(variant):
    if variant.name == "torch.optim.LBFGS":
        pytest.skip("torch's own takes one group")
    model = REGRESSION.start()
    groups = [
        {"params": model[2].parameters(), "lr": variant.rate / 2},
        {"params": [model[0].bias], "lr": 0.0},
        {"params": [model[0].weight]},
    ]
    optimizer = make(variant, groups)
    REGRESSION.run(model, optimizer, 6)
    assert moved(model) == [True, False, True, True]
    assert REGRESSION.full_loss(model) < REGRESSION.full_loss(REGRESSION.start())


# Refusals: of our own optimizers.


@every_own_class
def test_random_or_coupled_layers_are_refused(variant):
    model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(), nn.Linear(6, 2))
    optimizer = make(variant, model.parameters())
    before, objective = optimizer.weights(), REGRESSION.objective(model, 0)
    with pytest.raises(OptimizerError, match=r"layer 1 .* in train mode.*call \.eval\(\)"):
        optimizer.step(objective)
    assert torch.equal(optimizer.weights(), before)
    assert not optimizer.memory
    model[1].eval()
    optimizer.step(objective)
    assert not torch.equal(optimizer.weights(), before)


@every_own_class
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (None, "loss = None: must be a function"),
        (nn.MSELoss(reduction="none"), r"loss: returns shape \[\d+, 2\], not a scalar"),
    ],
)
def test_a_missing_loss_is_refused(variant, loss, message):
    model = REGRESSION.start()
    optimizer = make(variant, model.parameters())
    problem = dataclasses.replace(REGRESSION, loss=loss)
    with pytest.raises(OptimizerError, match=message):
        optimizer.step(problem.objective(model, 0))
    assert not any(moved(model))


OWN_CLASSES = (SGN, SQGN, SVRG)
OPTIONS = [
    (kind, option)
    for kind in OWN_CLASSES
    for option in inspect.signature(kind).parameters
    if option != "params"
]


@pytest.mark.parametrize(
    ("kind", "option"), OPTIONS, ids=[f"{kind.__name__}-{option}" for kind, option in OPTIONS]
)
def test_every_bad_option_is_told_at_construction(kind, option):
    model = REGRESSION.start()
    for value in (-0.5, math.nan, "nonsense", [1], torch.ones(2), object):
        with pytest.raises(OptimizerError) as caught:
            kind(model.parameters(), **{option: value})
        assert option in str(caught.value)
        assert "\n" not in str(caught.value)


@every_own_class
def test_parameters_that_cannot_be_optimized_are_refused(variant):
    frozen = nn.Linear(2, 2).requires_grad_(False)
    mixed = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))]
    half, late = REGRESSION.start(torch.bfloat16), REGRESSION.start()
    optimizer = make(variant, late.parameters())
    late.half()
    for ask, message in (
        (lambda: optimizer.step(lambda: torch.zeros(())), "step needs an objective"),
        (lambda: make(variant, frozen.parameters()), "none of the parameters needs a gradient"),
        (lambda: make(variant, mixed), "of one dtype"),
        (lambda: make(variant, half.parameters()), "torch.bfloat16: must be float32 or float64"),
        (lambda: optimizer.step(REGRESSION.objective(late, 0)), "torch.float16: must be float32"),
    ):
        with pytest.raises(OptimizerError, match=message):
            ask()


@every_own_class
def test_autocast_around_a_step_is_refused(variant):
    model = REGRESSION.start()
    optimizer = make(variant, model.parameters())
    objective = REGRESSION.objective(model, 0)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(OptimizerError, match="autocast"):
        optimizer.step(objective)
    assert not any(moved(model))
    assert not optimizer.memory


@every_own_class
def test_options_that_a_group_cannot_have_are_refused(variant):
    model = REGRESSION.start()
    first = {"params": model[0].parameters(), "name": "first", "initial_lr": 0.1}
    bad = {"params": model[2].parameters(), "momentum": 0.9}
    message = "parameter group with momentum: not an option of a group; allowed: params, name,"
    with pytest.raises(OptimizerError, match=message):
        make(variant, [first, bad])
    optimizer = make(variant, [first])
    with pytest.raises(OptimizerError, match=message):
        optimizer.add_param_group(bad)
    for rate in (-1, math.nan, "fast"):
        with pytest.raises(OptimizerError, match="lr = "):
            optimizer.add_param_group({"params": model[2].parameters(), "lr": rate})
    optimizer.add_param_group({"params": model[2].parameters()})
    assert len(optimizer.param_groups) == 2


@every_own_class
def test_what_changes_after_the_first_step_is_refused(variant):
    model = REGRESSION.start()
    model[0].requires_grad_(False)
    optimizer = make(variant, model.parameters())
    assert isinstance(optimizer, ObjectiveOptimizer)
    optimizer.step(REGRESSION.objective(model, 0))
    with pytest.raises(OptimizerError, match="cannot be added after the first step"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    model[0].requires_grad_(True)
    with pytest.raises(OptimizerError, match="50 weights need a gradient, 14 did in the steps"):
        optimizer.step(REGRESSION.objective(model, 1))


@every_own_class
def test_the_state_of_another_optimizer_or_of_other_weights_is_refused(variant):
    model = REGRESSION.start()
    adam = make_optimizer("adam", model.parameters(), 0.1)
    optimizer = make(variant, model.parameters())
    with pytest.raises(OptimizerError, match="it is another optimizer's"):
        optimizer.load_state_dict(adam.state_dict())
    optimizer.step(REGRESSION.objective(model, 0))
    state = optimizer.state_dict()
    larger = make(variant, small_network(5, 7, 2).parameters())
    with pytest.raises(OptimizerError, match=r"of 50 weights that need a gradient, here 58 do"):
        larger.load_state_dict(state)
    assert larger.memory == {}
    for kind in OWN_CLASSES:
        if not isinstance(optimizer, kind):
            with pytest.raises(OptimizerError, match="this state is another optimizer's: S"):
                kind(model.parameters()).load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (SVRG, "full_gradient_interval", "epoch"),
        (SQGN, "full_gradient_interval", "never"),
        (SQGN, "history", 5),
        (SQGN, "curvature", "hessian"),
        (SGN, "adaptive_cg", True),
        (SGN, "momentum", 0.5),
        (SGN, "damping_rule", "constant"),
    ],
)
def test_a_state_of_other_options_is_refused_where_they_shape_it(kind, option, value):
    model = REGRESSION.start()
    state = kind(model.parameters()).state_dict()
    with pytest.raises(OptimizerError, match=f"{option} = {value}: this state was made with"):
        kind(model.parameters(), **{option: value}).load_state_dict(state)
    kind(model.parameters(), 0.5).load_state_dict(state)


def test_the_example_of_the_docs_learns(capsys):
    page = Path(__file__).parents[2] / "docs" / "optimizers.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    with torch.random.fork_rng():
        exec(compile(code, str(page), "exec"), {})
    assert float(capsys.readouterr().out) < 0.01
