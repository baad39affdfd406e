"""The numbers of docs/optimizers.md: python docs/optimizers.py (a few minutes on one core)."""

import statistics
import time

import torch
from torch import nn

from seistomo.optim import SGN, SQGN, epoch_objectives

EPOCHS, SEEDS = 30, range(5)
SHOWN = (1, 10, 100, 300)  # steps


def adam(rate):
    return lambda parameters: torch.optim.Adam(parameters, rate)


METHODS = {
    "Adam, lr = 0.01": adam(0.01),
    "Adam, lr = 0.03": adam(0.03),
    "Adam, lr = 0.1": adam(0.1),
    "SQGN": lambda p: SQGN(p, lr=0.5, damping=1e-3, full_gradient_interval="epoch"),
    "SGN": SGN,
}


def steps(make, seed, **options):
    """Train; after each step yield its objective, its loss before, and its seconds."""
    torch.manual_seed(seed)
    inputs = torch.randn(2000, 3)
    targets = torch.sin(2 * inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:]
    model = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer, order = make(model.parameters()), torch.Generator().manual_seed(seed)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    problem = model, nn.functional.mse_loss, inputs, targets
    for _ in range(EPOCHS):
        for objective in epoch_objectives(*problem, 200, order, **options):
            mark = time.perf_counter()
            loss = float(optimizer.step(objective))
            yield objective, loss, time.perf_counter() - mark
        scheduler.step()


def price(name):
    """Return a row: the last epoch's loss over seeds, and a step's work and time."""
    losses, work = [], []
    for seed in SEEDS:
        run = list(steps(METHODS[name], seed))
        losses.append(statistics.mean(loss for _, loss, _ in run[-10:]))
        work += [(o.gradient_evaluations, o.ggn_products, 1000 * spent) for o, _, spent in run]
    loss = f"{statistics.mean(losses):.4f} ± {statistics.stdev(losses):.4f}"
    return name, loss, *(f"{statistics.mean(column):.1f}" for column in zip(*work, strict=True))


def rounding(name):
    """Return a row: how far the weights of a run in parts of 50 are from those of the same run."""
    apart = []
    runs = steps(METHODS[name], 0), steps(METHODS[name], 0, micro_batch=50)
    for number, pair in enumerate(zip(*runs, strict=True), start=1):
        if number in SHOWN:
            one, other = (nn.utils.parameters_to_vector(o.model.parameters()) for o, _, _ in pair)
            apart.append(f"{float(((one - other).norm() / one.norm()).detach()):.0e}")
    return name, *apart


def table(*rows):
    for number, row in enumerate(rows):
        print("|", " | ".join(row), "|", flush=True)
        if number == 0:
            print("|" + "---|" * len(row))


if __name__ == "__main__":
    torch.set_num_threads(1)
    heads = "", "loss", "gradients a step", "products a step", "ms a step"
    table(heads, *(price(name) for name in METHODS))
    print()
    heads = "after so many steps", *map(str, SHOWN)
    table(heads, *(rounding(name) for name in ("Adam, lr = 0.03", "SQGN", "SGN")))
