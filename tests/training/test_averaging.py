"""Averages of weights: what they are, and that training does not notice."""

import numpy as np
import pytest
import torch
from torch import nn

from seistomo.config import LoopConfig
from seistomo.dataset import open_dataset
from seistomo.training import load_run, train
from seistomo.training.averaging import WeightAverage
from seistomo.training.checkpoint import load_checkpoint

EMA = {"averaging": "ema", "averaging_decay": 0.8}
TAIL = {"averaging": "tail", "averaging_epochs": 2}
CASES = [
    # Epochs and steps of each; of step n: the share of each step's weights.
    (EMA, 2, 5, lambda n: [0.8 ** (n - i) for i in range(n)]),
    ({**TAIL, "epochs": 5}, 5, 3, lambda n: [float(i >= 9) for i in range(n)]),
    ({**TAIL, "epochs": 1}, 1, 4, lambda n: [1.0] * n),
    ({}, 1, 3, lambda n: [0.0] * n),
]


def flat(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize(("settings", "epochs", "steps", "shares"), CASES)
def test_average(settings, epochs, steps, shares):
    """Steps at random; the weights themselves where no step counts yet."""
    network, own = nn.Linear(3, 2).double(), []
    average = WeightAverage(LoopConfig(**settings), network)
    for epoch in range(epochs):
        for _ in range(steps):
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter))
            average.add(epoch)
            own.append(flat(network).clone())
            share = np.array(shares(len(own)))
            expected = own[-1]
            if share.any():
                expected = sum(s * w for s, w in zip(share / share.sum(), own, strict=True))
            with average.applied():
                torch.testing.assert_close(flat(network), expected)
            assert torch.equal(flat(network), own[-1])


@pytest.mark.parametrize("averaging", ["ema", "tail"])
def test_training_does_not_notice_and_what_is_saved_is_what_was_scored(
    averaging, dataset, make_config, tmp_path
):
    plain = train(make_config(), dataset, tmp_path / "plain")
    config = make_config(f"training.averaging={averaging}", "training.averaging_epochs=2")
    averaged = train(config, dataset, tmp_path / "run")
    assert averaged.last["train_loss"] == plain.last["train_loss"]
    assert averaged.last["validation_loss"] != plain.last["validation_loss"]
    content = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    own = load_checkpoint(tmp_path / "plain" / "checkpoint.pt").network
    for name, weight in own.items():
        assert torch.equal(content.averaging["own"][name], weight)
        assert not torch.equal(content.network[name], weight)
    assert not load_checkpoint(tmp_path / "run" / "best.pt").averaging
    for checkpoint in ("best", "last"):
        run = load_run(tmp_path / "run", checkpoint, "cpu")
        with open_dataset(dataset) as data:
            rows = data.indices("validation")
            error = run.predict(data.read_gathers(rows)).astype(float) - data.read_velocity(rows)
        assert np.square(error).mean() == pytest.approx(run.history[-1]["mse"], rel=1e-5)
