"""Several processes that share every batch do what one does alone."""

import runpy
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn

from seistomo.optim import ModelObjective, OptimizerError, Ranks, make_optimizer, optimizer_names

PROCESSES = 3
# 37 samples in batches of 7: six batches, the last of which has fewer samples than processes.
SAMPLES, BATCH_SIZE, BATCHES = 37, 7, 6
STEPS = BATCHES + 1
TRAINING_SET = {"curvature_samples": 11, "curvature_from": "training_set"}
WITHOUT = {"full_gradient_interval": "never"}
OPTIMIZERS = {
    "adam": ("adam", 0.03, {}),
    "sgd": ("sgd", 0.05, {"momentum": 0.9}),
    "svrg": ("svrg", 0.05, {"full_gradient_interval": 3}),
    "sqgn": ("sqgn", 0.2, {"full_gradient_interval": "epoch", "curvature_samples": 2}),
    "sqn": ("sqgn", 0.2, {"full_gradient_interval": 2, "curvature": "hessian"}),
    "online-lbfgs": ("sqgn", 0.2, {"curvature": "gradient_difference", **WITHOUT}),
    "sgn": ("sgn", 0.5, {"cg_iterations": 3, "damping": 0.1, **TRAINING_SET}),
    "lbfgs": ("torch.optim.LBFGS", 0.3, {"max_iter": 2, "line_search_fn": "strong_wolfe"}),
}


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


def small_model():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def training_set():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)


def objective_of(model, step, ranks):
    epoch, index = divmod(step, BATCHES)
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(epoch))
    batches = order.split(BATCH_SIZE)
    place = {"samples": batches[index], "batches": batches, "batch_index": index, "micro_batch": 2}
    return ModelObjective(model, mean_squared, *training_set(), **place, ranks=ranks)


def flat(tensors):
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def run_optimizers(ranks):
    """Return each optimizer's losses and weights, step after step."""
    found = {}
    for key, (name, rate, options) in OPTIMIZERS.items():
        model = small_model()
        optimizer = make_optimizer(name, model.parameters(), rate, options)
        for step in range(STEPS):
            loss = optimizer.step(objective_of(model, step, ranks))
            found[f"{key}, step {step}"] = flat([loss, *model.parameters()])
    return found


def ask_objectives(ranks):
    """Return all that an objective answers, for a batch of 7 samples and one of 2."""
    found, model = {}, small_model()
    vector = [torch.ones_like(parameter) for parameter in model.parameters()]
    for step, kind in ((0, "unequal shares"), (BATCHES - 1, "fewer samples than processes")):
        objective = objective_of(model, step, ranks)
        linearized, full = objective.linearize(), objective.full_gradient(cache_next=1)
        answers = {
            "loss": [objective.loss()],
            "gradient": objective.gradient(),
            "loss of two samples": [objective.loss(samples=torch.tensor([3, 30]))],
            "linearized gradient": [linearized.loss, *linearized.gradient],
            "product": linearized.product(vector),
            "second product": linearized.product([2 * v for v in vector]),
            "product of one sample": objective.linearize(None, torch.tensor([5])).product(vector),
            "Hessian product": objective.hessian_product(vector),
            "full gradient": [full.loss, *full.gradient],
            "batch gradient": [full.batch_losses[0], *full.batch_gradients[0]],
            "closure": [objective(), *(parameter.grad for parameter in model.parameters())],
            "work": [torch.tensor([objective.gradient_evaluations, objective.ggn_products])],
        }
        found |= {f"{key}, {kind}": flat(tensors) for key, tensors in answers.items()}
    return found


def everything(ranks):
    return run_optimizers(ranks) | ask_objectives(ranks)


def one_process(rank, folder):
    """Compute everything as one of three, then what objectives answer as one of two."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=PROCESSES,
        timeout=timedelta(seconds=120),
    )
    pair = dist.new_group([0, 1])
    torch.save(everything(None), folder / f"3-{rank}.pt")
    if rank < 2:
        torch.save(ask_objectives(Ranks(pair)), folder / f"2-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(_processes, tmp_path_factory):
    """Return what each process has found: {number of processes: [a table a rank]}."""
    folder = tmp_path_factory.mktemp("ranks")
    running = [
        _processes.Process(target=runpy.run_path, args=(__file__, {"own": (rank, folder)}, "rank"))
        for rank in range(PROCESSES)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(200)
    assert [process.exitcode for process in running] == [0] * PROCESSES
    return {
        count: [torch.load(folder / f"{count}-{rank}.pt") for rank in range(count)]
        for count in (2, 3)
    }


@pytest.fixture(scope="module")
def alone():
    return everything(None)


def test_every_registered_optimizer_is_here():
    assert {name for name, _, _ in OPTIMIZERS.values()} >= set(optimizer_names())


@pytest.mark.parametrize("count", [2, 3])
def test_processes_give_what_one_gives_and_hold_the_same_bits(together, alone, count):
    first, *others = together[count]
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first)
    for key, found in first.items():
        expected = alone[key]
        # Differences of gradients after a first step of 1e-8 are half rounding.
        tolerance = 1e-6 if key.startswith("online-lbfgs") else 1e-9
        allowed = tolerance * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=allowed, msg=key)


def test_shares_of_a_batch_are_its_parts(monkeypatch):
    samples, found = torch.arange(10, 17), []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda group: 3)
    for rank in range(3):
        monkeypatch.setattr(dist, "get_rank", lambda group, rank=rank: rank)
        found.append(Ranks().share(samples))
    assert [len(share) for share in found] == [3, 2, 2]
    assert torch.equal(torch.cat(found).sort().values, samples)


def test_other_samples_on_another_rank_are_refused(monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda group: 2)
    monkeypatch.setattr(dist, "get_rank", lambda group: 0)

    def another_rank(message, op, group):
        message[len(message) // 2 - 1] += 1  # The greatest of the samples, after the weights.

    monkeypatch.setattr(dist, "all_reduce", another_rank)
    model = nn.Linear(1, 1)
    objective = ModelObjective(model, nn.functional.mse_loss, *torch.ones(2, 4, 1))
    with pytest.raises(OptimizerError, match="ranks: have different samples"):
        objective.gradient()


if __name__ == "rank":
    torch.set_num_threads(1)
    one_process(*own)  # noqa: F821
