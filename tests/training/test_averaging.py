"""Averages of weights: what they are, that training does not notice, and that they resume."""

import numpy as np
import pytest
import torch
from torch import nn

from seistomo.dataset import open_dataset
from seistomo.training import BatchObjective, load_run, train
from seistomo.training.averaging import WeightAverage
from seistomo.training.checkpoint import load_checkpoint

EMA = ["training.averaging=ema", "training.averaging_decay=0.8"]
TAIL = ["training.averaging=tail", "training.averaging_epochs=2"]


def flat(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def walk(config, epochs, steps):
    """Take steps at random; return the weights after each, and the average after each."""
    network = nn.Linear(3, 2).double()
    average = WeightAverage(config.training, network)
    own, averaged = [], []
    for epoch in range(epochs):
        for _ in range(steps):
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter))
            average.add(epoch)
            own.append(flat(network).clone())
            with average.applied():
                averaged.append(flat(network).clone())
            assert torch.equal(flat(network), own[-1])
    return own, averaged


def test_moving_average(make_config):
    own, averaged = walk(make_config(*EMA), 2, 5)
    for n in range(1, 11):
        factors = np.array([0.8 ** (n - i) for i in range(1, n + 1)])
        expected = sum(f * w for f, w in zip(factors / factors.sum(), own[:n], strict=True))
        torch.testing.assert_close(averaged[n - 1], expected)


def test_mean_of_the_last_epochs(make_config):
    own, averaged = walk(make_config(*TAIL, "training.epochs=5"), 5, 3)
    for n in range(9):
        assert torch.equal(averaged[n], own[n])
    for n in range(10, 16):
        torch.testing.assert_close(averaged[n - 1], sum(own[9:n]) / (n - 9))


def test_short_run_is_averaged_from_its_start(make_config):
    own, averaged = walk(make_config(*TAIL, "training.epochs=1"), 1, 4)
    torch.testing.assert_close(averaged[-1], sum(own) / 4)


def test_without_averaging_nothing_is_kept(make_config):
    own, averaged = walk(make_config(), 1, 3)
    assert all(torch.equal(a, b) for a, b in zip(own, averaged, strict=True))


def test_own_weights_come_back_after_an_error(make_config):
    network = nn.Linear(3, 2)
    average = WeightAverage(make_config(*EMA).training, network)
    for _ in range(2):
        average.add(0)
        nn.init.normal_(network.weight)
    before = flat(network).clone()
    with average.applied():
        assert not torch.equal(flat(network), before)

    def failing():
        with average.applied():
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert torch.equal(flat(network), before)


@pytest.mark.parametrize("optimizer", ["adam", "sqgn"])
def test_training_does_not_notice(dataset, make_config, tmp_path, optimizer):
    options = [f"optimizer.name={optimizer}"]
    if optimizer == "sqgn":
        options.append("optimizer.options={full_gradient_interval = 'epoch'}")
    plain = train(make_config(*options), dataset, tmp_path / "plain")
    averaged = train(make_config(*options, *EMA), dataset, tmp_path / "averaged")
    assert averaged.last["train_loss"] == plain.last["train_loss"]
    assert averaged.last["validation_loss"] != plain.last["validation_loss"]
    content = load_checkpoint(tmp_path / "averaged" / "checkpoint.pt")
    own = load_checkpoint(tmp_path / "plain" / "checkpoint.pt").network
    for name, weight in own.items():
        assert torch.equal(content.averaging["own"][name], weight)
        assert not torch.equal(content.network[name], weight)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
@pytest.mark.parametrize("averaging", [EMA, TAIL])
def test_what_is_saved_is_what_was_scored(dataset, make_config, tmp_path, averaging, checkpoint):
    train(make_config(*averaging), dataset, tmp_path / "run")
    run = load_run(tmp_path / "run", checkpoint)
    with open_dataset(dataset) as data:
        rows = data.indices("validation")
        error = run.predict(data.read_gathers(rows)).astype(float) - data.read_velocity(rows)
    assert np.square(error).mean() == pytest.approx(run.history[-1]["mse"], rel=1e-5)
    assert not load_checkpoint(tmp_path / "run" / "best.pt").averaging


def assert_same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("averaging", [EMA, TAIL])
@pytest.mark.parametrize("step", [3, 10, 14])
def test_resumed_run_has_the_same_bits(
    dataset, make_config, tmp_path, monkeypatch, averaging, step
):
    config = make_config(*averaging, "training.checkpoint_iterations=1")
    train(config, dataset, tmp_path / "whole")
    original, calls = BatchObjective.__call__, []

    def stopping(self):
        calls.append(1)
        if len(calls) == step:
            raise KeyError
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(BatchObjective, "__call__", stopping)
        with pytest.raises(KeyError):
            train(config, dataset, tmp_path / "run")
    train(config, dataset, tmp_path / "run", resume=True)
    for name in ("checkpoint.pt", "best.pt"):
        one, other = (load_checkpoint(tmp_path / run / name) for run in ("whole", "run"))
        assert_same(one.network, other.network)
        assert_same(one.averaging, other.averaging)
        assert [{**row, "seconds": 0} for row in one.history] == [
            {**row, "seconds": 0} for row in other.history
        ]


def test_lengthened_run_starts_its_mean_anew(dataset, make_config, tmp_path):
    train(make_config(*TAIL, "training.epochs=3"), dataset, tmp_path / "run")
    longer = make_config(*TAIL, "training.epochs=6")
    train(longer, dataset, tmp_path / "run", resume=True)
    train(longer, dataset, tmp_path / "whole")
    one, other = (load_checkpoint(tmp_path / r / "checkpoint.pt") for r in ("run", "whole"))
    assert_same(one.network, other.network)
    assert_same(one.averaging, other.averaging)
