"""What a step takes of memory: counted, measured, and held to a limit."""

import json
import subprocess
import sys

import pytest
import torch

from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, build_network
from seistomo.optim import make_optimizer
from seistomo.progress import set_quiet
from seistomo.training import train
from seistomo.training.checkpoint import load_checkpoint
from seistomo.training.memory import (
    ALLOWANCE,
    GRADIENT,
    HESSIAN,
    PROGRAM,
    limited_micro_batch,
    optimizer_vectors,
    pass_bytes,
)

GIB = 2**30
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return TomographyNetwork((5, 32, 60), (30, 30), (4, 8), ((3, 4, 4),) * 2, ((1, 2, 2),) * 2)


def weights(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_pass_holds_at_least_what_backward_needs(network):
    one, three = (pass_bytes(network, samples, GRADIENT) for samples in (1, 3))
    # The largest layer and its gradient live at once; and the weights' gradient is made.
    largest = network.largest_activation * 4
    assert (three - one) / 2 >= 2 * largest
    assert one >= 4 * weights(network) + 2 * largest
    # It grows by the sample.
    assert pass_bytes(network, 5, GRADIENT) - three == pytest.approx(three - one, rel=0.02)
    assert pass_bytes(network, 3, "Gauss-Newton product") > three
    assert pass_bytes(network, 3, HESSIAN) > three


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam", {}),
        ("sgd", {"momentum": 0.9}),
        ("svrg", {"full_gradient_interval": 2}),
        ("sqgn", {"history": 5, "full_gradient_interval": "epoch"}),
        ("sqgn", {"history": 4, "full_gradient_interval": "never", "curvature": "hessian"}),
        ("sgn", {"momentum": 0.5}),
    ],
)
def test_state_is_what_the_optimizers_hold(name, options, dataset, make_config, tmp_path):
    """Counted in the checkpoint in the middle of an epoch, when most is held."""
    listed = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
    config = make_config(
        f"optimizer.name={name}",
        f"optimizer.options={{{listed}}}",
        "optimizer.learning_rate=1e-3",
        "training.epochs=1",
    )
    held, saved = [], torch.save

    def watch(content, file):
        held.append(count(content["optimizer"]))
        saved(content, file)

    config = config.model_copy(
        update={"training": config.training.model_copy(update={"checkpoint_iterations": 1})}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", watch)
        train(config, dataset, tmp_path / "run")
    network = load_checkpoint(tmp_path / "run" / "best.pt").network
    size = sum(tensor.numel() for tensor in network.values())
    optimizer = make_optimizer(name, [torch.nn.Parameter(torch.zeros(3))], 1e-3, options)
    expected = optimizer_vectors(optimizer, options, batches_per_epoch=4)
    assert expected.known
    # A step uses up its batch's gradient of the snapshot.
    used = 1 if "full_gradient_interval" in options and name != "sgn" else 0
    used = 0 if options.get("full_gradient_interval") == "never" else used
    assert max(held) == pytest.approx((expected.state - used) * size, rel=0.02)


def count(value):
    """Count the numbers in tensors of floats."""
    if isinstance(value, torch.Tensor):
        return value.numel() if value.is_floating_point() else 0
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(count, value))
    return 0


def test_an_unknown_optimizer_is_taken_for_adam():
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(3))])
    found = optimizer_vectors(optimizer, {}, 4)
    assert (found.state, found.known) == (2, False)


def choose(network, make_config, limit, asked=6, share=100):
    config = make_config(f"training.memory_limit={limit!r}", "training.batch_size=100")
    optimizer = torch.optim.Adam(network.parameters())
    return limited_micro_batch(config, network, optimizer, CPU, asked, share, 4)


def test_a_limit_lowers_the_micro_batch_and_is_kept(network, make_config):
    roomy = choose(network, make_config, 8.0)
    assert roomy.micro_batch == 6
    assert roomy.total < 8 * GIB
    one = choose(network, make_config, roomy.total / GIB * 0.9999, asked=1).total
    step = (roomy.total - one) / 5
    tight = choose(network, make_config, (one + 2.5 * step) / GIB)
    assert tight.micro_batch == 3
    assert tight.total <= tight.limit
    assert choose(network, make_config, 8.0, share=2).micro_batch == 2
    with pytest.raises(InputError, match=r"training.memory_limit = .*: optimizer adam needs") as e:
        choose(network, make_config, 0.9 * one / GIB)
    assert "\n" not in str(e.value)


def test_the_result_depends_on_the_limit_by_rounding_alone(dataset, make_config, tmp_path, capsys):
    options = 'optimizer.options={full_gradient_interval = "epoch", history = 3}'
    sqgn = ["optimizer.name=sqgn", "optimizer.learning_rate=0.1", options]
    config = make_config(*sqgn, "training.memory_limit=4.0")
    network = build_network(config.network, (3, 8, 20), (12, 14))
    optimizer = make_optimizer("sqgn", network.parameters(), 0.1, config.optimizer.options)
    arguments = (config, network, optimizer, CPU)
    totals = [limited_micro_batch(*arguments, asked, 8, 4).total for asked in (2, 3)]
    set_quiet(False)
    for name, limit in (("few", sum(totals) / 2 / GIB), ("many", 4.0)):
        limited = ["training.micro_batch=8", f"training.memory_limit={limit!r}"]
        train(make_config(*sqgn, *limited), dataset, tmp_path / name)
    assert "Gauss-Newton product of" in capsys.readouterr().err
    few, many = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("few", "many"))
    assert (few.micro_batch, many.micro_batch) == (2, 8)
    train(make_config(*sqgn, "training.epochs=1"), dataset, tmp_path / "start")
    start = load_checkpoint(tmp_path / "start" / "checkpoint.pt").network
    for key, weight in many.network.items():
        moved = float((weight - start[key]).norm())
        assert float((few.network[key] - weight).norm()) <= 1e-3 * moved + 1e-6


# Passes through a network of some tens of MiB a sample, as training makes them.
MEASURE = """
import resource, sys, torch
from seistomo.networks import TomographyNetwork
from seistomo.optim import ModelObjective
from seistomo.training.device import keep_freed_memory
from seistomo.training.losses import squared_error

torch.set_num_threads(1)
keep_freed_memory()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
def network(*shape):
    return TomographyNetwork(shape, (30, 30), (8, 8), ((3, 3, 3),) * 2, ((1, 2, 2),) * 2)
def passes(network, samples):
    inputs = torch.zeros(samples + 1, 1, *network.gather_shape)
    objective = ModelObjective(network, squared_error, inputs, torch.zeros(samples + 1, 30, 30))
    vector = [torch.zeros_like(p) for p in network.parameters()]
    part = torch.arange(samples)
    for _ in range(3):
        if sys.argv[1] == "gradient":
            objective.gradient(samples=part)
        else:
            objective.linearize(samples=part).product(vector)
passes(network(2, 8, 8), 1)
started = resident()
passes(network(9, 64, 100), 6)
print(started, peak() - started)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory as Linux counts it")
@pytest.mark.parametrize("kind", ["gradient", "Gauss-Newton product"])
def test_the_estimate_bounds_what_a_process_takes(kind):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, kind], capture_output=True, text=True, check=True
    )
    started, taken = map(int, done.stdout.split())
    network = TomographyNetwork((9, 64, 100), (30, 30), (8, 8), ((3, 3, 3),) * 2, ((1, 2, 2),) * 2)
    live = pass_bytes(network, 6, kind)
    # Beside the pass: weights, the vector, sums; inputs of one sample more.
    others = 4 * 4 * weights(network) + 4 * 9 * 64 * 100 * 7
    assert started < PROGRAM["cpu"]
    assert started + taken <= PROGRAM["cpu"] + ALLOWANCE["cpu"] * live + others
    assert taken >= 0.7 * live
