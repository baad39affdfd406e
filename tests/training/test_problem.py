"""A problem of one's own goes through the same loop: tensors in memory, any network and loss."""

import math
import signal
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from seistomo.config import LoopConfig
from seistomo.errors import InputError, TrainingDivergedError
from seistomo.training import Method, Problem, TensorSamples, fit
from seistomo.training.checkpoint import first_difference, load_checkpoint

SQGN = {"full_gradient_interval": 2, "curvature_samples": 4}


class Toy(Problem):
    """Two classes in the plane."""

    name, loss, score_names = "toy", staticmethod(cross_entropy), ("accuracy",)

    def __init__(self, **training):
        settings = {"epochs": 4, "batch_size": 8, "threads": 1, "device": "cpu"}
        self.settings = LoopConfig(**{**settings, **training})
        points = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
        self.data = points, (points.prod(1) > 0).long()

    def network(self, generator):
        network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        for parameter in network.parameters():
            nn.init.normal_(parameter, generator=generator)
        return network

    def split(self, name):
        rows = {"train": slice(0, 40), "validation": slice(40, 50)}.get(name, slice(50, 60))
        return TensorSamples(*(part[rows] for part in self.data))

    @torch.no_grad()
    def scores(self, network, samples):
        outputs = network(samples.inputs)
        right = (outputs.argmax(1) == samples.targets).double().mean()
        return {"loss": float(cross_entropy(outputs, samples.targets)), "accuracy": float(right)}

    def description(self):
        return {"problem": {"name": "toy", "points": 60}}


def weights(run):
    return load_checkpoint(run / "checkpoint.pt").network


@pytest.mark.parametrize(
    "method",
    [
        Method("Adam", "adam", 0.05),
        Method("SQGN", "sqgn", 0.3, SQGN, {"batches_per_epoch": 4}),
        Method("SGN", "sgn", 1.0, {"cg_iterations": 3}, {"averaging": "ema"}),
        Method("SVRG", "svrg", 0.1, {"full_gradient_interval": "epoch"}, {"micro_batch": 3}),
    ],
    ids=lambda method: method.name,
)
def test_trained_and_left_and_resumed(method, tmp_path):
    whole = fit(Toy(), method, 3, tmp_path / "whole")
    left = fit(Toy(), method, 3, tmp_path / "run", stop=lambda history: len(history) == 2)
    assert [row["epoch"] for row in left.history] == [1, 2]
    result = fit(Toy(), method, 3, tmp_path / "run", resume=True)
    assert result.last["train_loss"] == whole.last["train_loss"]
    for name, weight in weights(tmp_path / "whole").items():
        assert torch.equal(weight, weights(tmp_path / "run")[name])
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert header.split(",") == list(result.last)
    assert "accuracy" in str(result)


def test_batches_that_make_an_epoch(tmp_path):
    method = Method("SQGN", "sqgn", 0.3, SQGN, {"batches_per_epoch": 2, "epochs": 3})
    result = fit(Toy(), method, 0, tmp_path / "run")
    assert [row["iteration"] for row in result.history] == [2, 4, 6]
    # One full gradient over all 40 samples is 5 of a batch; the second batch of its own has one.
    assert result.last["gradient_evaluations"] >= 3 * 5


def test_another_method_is_refused(tmp_path):
    fit(Toy(), Method("a", "adam", 0.05), 0, tmp_path / "run")
    for method, key in (
        (Method("a", "adam", 0.06), r"optimizer\.learning_rate = 0\.06"),
        (Method("a", "adam", 0.05, training={"batch_size": 9}), r"training\.batch_size = 9"),
    ):
        with pytest.raises(InputError, match=key):
            fit(Toy(), method, 0, tmp_path / "run", resume=True)
    with pytest.raises(InputError, match=r"training\.batch_sise"):
        fit(Toy(), Method("a", "adam", training={"batch_sise": 9}), 0, tmp_path / "other")


def test_divergence_keeps_the_last_checkpoint(tmp_path):
    method = Method("sgd", "sgd", 0.1)
    fit(Toy(epochs=2), method, 0, tmp_path / "run")
    problem = Toy()
    problem.scores = lambda *_: {"loss": math.nan, "accuracy": 0.0}
    with pytest.raises(TrainingDivergedError, match="checkpoint of epoch 2 is kept"):
        fit(problem, method, 0, tmp_path / "run", resume=True)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress.epoch == 2


def test_large_checkpoints_are_written_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["seistomo.training.fit"], "SMALL_CHECKPOINT", 0)
    monkeypatch.setattr(sys.modules["seistomo.training.fit"], "WRITING_SHARE", 1e-9)
    run, method = tmp_path / "run", Method("SQGN", "sqgn", 0.3, SQGN, {"batches_per_epoch": 4})
    epochs = []

    def look(history):
        if len(history) > 1:
            epochs.append(load_checkpoint(run / "checkpoint.pt").progress.epoch)
        return False

    problem = Toy()
    losses = iter([3.0, 1.0, 2.0, 2.5])
    problem.scores = lambda *_: {"loss": next(losses), "accuracy": 0.0}
    result = fit(problem, method, 3, run, stop=look)
    # The first, and the last because it is the last.
    assert epochs == [1, 1]
    assert load_checkpoint(run / "checkpoint.pt").progress.epoch == 4
    assert load_checkpoint(run / "best.pt").progress.epoch == result.best["epoch"] == 2


def test_first_difference():
    one = {"a": {"x": 1, "y": [1, 2]}, "b": {"z": 0.1}}
    assert first_difference(one, one) is None
    assert first_difference({**one, "b": {"z": 0.2}}, one) == ("b.z", 0.2, 0.1)
    assert first_difference({"a": {"y": [1, 2]}, "b": {"z": 1}}, one) == ("a.x", None, 1)
    assert first_difference({"a": {"y": [1, 2]}, "b": {}}, one, {"a.x", "b"}) is None


class Scarce(nn.Linear):
    """Has memory for so many samples at once."""

    room = 3

    def forward(self, inputs):
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return super().forward(inputs)


@pytest.mark.parametrize(
    "method",
    [
        Method("adam", "adam", 0.05),
        Method("sqgn", "sqgn", 0.1, SQGN, {"batches_per_epoch": 4}),
        Method("sgn", "sgn", 0.1, {"cg_iterations": 3}),
    ],
    ids=lambda method: method.name,
)
def test_too_little_memory_halves_the_micro_batch(method, tmp_path, capsys, monkeypatch):
    class Large(Toy):
        def network(self, generator):
            network = super().network(generator)
            network[0].__class__ = Scarce
            return network

        def scores(self, network, samples):
            return {"loss": 1.0, "accuracy": 0.0}

    small = Method(
        method.name, method.optimizer, 0.05, method.options, {**method.training, "epochs": 1}
    )
    fit(Large(), small, 3, tmp_path / "run")
    told = capsys.readouterr().err
    assert told.count("out of memory with") == 2
    assert "with 4 samples at once; going on with 2" in told
    fit(Toy(micro_batch=2), small, 3, tmp_path / "same")
    for name, weight in weights(tmp_path / "same").items():
        assert torch.equal(weight, weights(tmp_path / "run")[name])
    monkeypatch.setattr(Scarce, "room", 0)
    with pytest.raises(InputError, match="too little memory even for one sample") as caught:
        fit(Large(), small, 3, tmp_path / "none")
    assert "\n" not in str(caught.value)


def test_ctrl_c_keeps_the_step_in_hand(tmp_path):
    method = Method("Adam", "adam", 0.05)
    fit(Toy(), method, 3, tmp_path / "whole")

    seen = []

    def pressed(outputs, targets):
        seen.append(1)
        # Twice a batch: the loss is also looked at.
        if len(seen) == 20:
            signal.raise_signal(signal.SIGINT)
        return cross_entropy(outputs, targets)

    problem = Toy()
    problem.loss = pressed
    with pytest.raises(KeyboardInterrupt):
        fit(problem, method, 3, tmp_path / "run")
    progress = load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress
    assert progress.batch > 0
    assert progress.iteration == 5 * progress.epoch + progress.batch
    fit(Toy(), method, 3, tmp_path / "run", resume=True)
    for name, weight in weights(tmp_path / "whole").items():
        assert torch.equal(weight, weights(tmp_path / "run")[name])
