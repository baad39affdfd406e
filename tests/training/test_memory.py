"""What a step takes of memory, counted and measured; the precision that it computes in."""

import subprocess
import sys

import pytest
import torch

from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, UNet
from seistomo.training import TomographyProblem, train
from seistomo.training.checkpoint import load_checkpoint
from seistomo.training.memory import (
    GIB,
    PROGRAM,
    StepMemory,
    Vectors,
    free_memory,
    memory_for_samples,
    saved_bytes,
    step_memory,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return TomographyNetwork((9, 48, 64), (30, 30), (8, 8), ((3, 3, 3),) * 2, ((1, 2, 2),) * 2)


def test_a_limit_lowers_the_micro_batch(network):
    needed = step_memory(network, "adam", Vectors(2, 3), CPU, 100, read_ahead=GIB)
    assert needed.most_samples(6, 8.0, "adam") == 6
    assert needed.most_samples(6, (needed.total(3) + needed.sample / 2) / GIB, "adam") == 3
    few = step_memory(network, "adam", Vectors(2, 3), CPU, 2)
    assert few.most_samples(6, 8.0, "adam") == 2
    with pytest.raises(InputError, match=r"training.memory_limit = .*: optimizer adam needs") as e:
        needed.most_samples(6, 0.9 * needed.total(1) / GIB, "adam")
    assert "\n" not in str(e.value)
    # A batch that is forwarded at once is kept a second time for products that are replayed.
    twice = step_memory(network, "sgn", Vectors(1, 9, kept_twice=True), CPU, 4)
    assert twice.activations(4) == 2 * 4 * twice.sample
    assert twice.activations(3) == 3 * twice.sample


def test_a_product_keeps_what_its_tangents_need(network):
    normed = UNet((2, 9, 12), (8, 8), (4, 4), 4, (4, 4))
    for one, low, high in ((network, 1.0, 1.5), (normed, 1.7, 3.0)):
        assert low <= saved_bytes(one, tangent=True) / saved_bytes(one) <= high


def test_memory_for_samples(monkeypatch):
    assert memory_for_samples(0.0, CPU, 1) == {"device": 0}
    assert memory_for_samples(1.5, CPU, 2) == {"device": 1.5 * GIB}
    assert 0 < memory_for_samples(None, CPU, 2)["device"] <= free_memory() / 2
    # On a GPU what a step leaves, not half of what is free before there was one.
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (70 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * GIB)
    assert memory_for_samples(None, gpu, 1, 30 * GIB)["device"] == 42 * GIB
    assert memory_for_samples(None, gpu, 1, 90 * GIB)["device"] == 0
    assert memory_for_samples(5, gpu, 1, 90 * GIB) == {"device": 5 * GIB}


def test_the_result_depends_on_the_limit_by_rounding_alone(
    dataset, make_config, tmp_path, monkeypatch
):
    options = 'optimizer.options={full_gradient_interval = "epoch", history = 3}'
    sqgn = ["optimizer.name=sqgn", "optimizer.learning_rate=0.1", options]
    asked, most = [], StepMemory.most_samples
    monkeypatch.setattr(
        StepMemory, "most_samples", lambda *arguments: asked.append(arguments) or most(*arguments)
    )
    limit = 4.0
    for name in ("many", "few"):
        limited = ["training.micro_batch=8", f"training.memory_limit={limit!r}"]
        train(make_config(*sqgn, *limited), dataset, tmp_path / name)
        needed = asked[0][0]
        limit = (needed.total(2) + needed.total(3)) / 2 / GIB
    few, many = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("few", "many"))
    assert (few.micro_batch, many.micro_batch) == (2, 8)
    train(make_config(*sqgn, "training.epochs=1"), dataset, tmp_path / "start")
    start = load_checkpoint(tmp_path / "start" / "checkpoint.pt").network
    for key, weight in many.network.items():
        moved = float((weight - start[key]).norm())
        assert float((few.network[key] - weight).norm()) <= 1e-3 * moved + 1e-6


# Passes through a network of some tens of MiB a sample, as training makes them.
MEASURE = """
import resource, torch
from seistomo.device import keep_freed_memory
from seistomo.networks import TomographyNetwork
from seistomo.optim import ModelObjective
from seistomo.training.losses import squared_error

torch.set_num_threads(1)
keep_freed_memory()
def network(*shape):
    return TomographyNetwork(shape, (30, 30), (8, 8), ((3, 3, 3),) * 2, ((1, 2, 2),) * 2)
def passes(network, samples, product):
    inputs = torch.zeros(samples + 1, 1, *network.gather_shape)
    objective = ModelObjective(network, squared_error, inputs, torch.zeros(samples + 1, 30, 30))
    vector = [torch.zeros_like(p) for p in network.parameters()]
    part = torch.arange(samples)
    for _ in range(2):
        if product:
            objective.linearize(samples=part).product(vector)
        else:
            objective.gradient(samples=part)
passes(network(2, 8, 8), 1, True)
print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize())
for product in (False, True):
    passes(network(9, 48, 64), 6, product)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory as Linux counts it")
def test_the_estimate_bounds_what_a_process_takes(network):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    started, *taken = map(int, done.stdout.split())
    assert started < PROGRAM
    for kind, most in zip(("gradient", "Gauss-Newton product"), taken, strict=True):
        # Weights, gradient, vector and product; inputs.
        vectors = Vectors(1, 4, ("gradient", kind))
        needed = step_memory(network, "", vectors, CPU, 6, 4 * 9 * 48 * 64 * 7).total(6) - PROGRAM
        assert 0.4 * needed <= most - started <= needed + PROGRAM - started


@pytest.mark.parametrize(
    ("precision", "wanted"),
    [("float32", (None, False)), ("tf32", (None, True)), ("bfloat16", (torch.bfloat16, False))],
)
def test_training_computes_in_its_precision(
    precision, wanted, dataset, make_config, tmp_path, monkeypatch
):
    # No GPU is needed to see what it would be told.
    monkeypatch.setattr(sys.modules["seistomo.training.fit"], "check_precision", lambda *_: None)
    seen = []

    def scores(_self, network, _samples):
        seen.append((network.convolution_type, torch.backends.cudnn.allow_tf32))
        raise InputError("seen enough")

    monkeypatch.setattr(TomographyProblem, "scores", scores)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: 1.0)
    config = make_config(f'training.precision="{precision}"', "training.device=cpu")
    with pytest.raises(InputError, match="seen enough"):
        train(config, dataset, tmp_path / "run")
    assert seen == [wanted]
