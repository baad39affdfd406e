"""The loop on a problem of tensors in memory: files, resuming, stopping, whatever goes wrong."""

import json
import math
import resource
import shutil
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from seistomo import files
from seistomo.config import LoopConfig
from seistomo.errors import DiskFullError, InputError, TrainingDivergedError
from seistomo.training import Method, Problem, TensorSamples, fit
from seistomo.training.checkpoint import Checkpoint, load_checkpoint
from seistomo.training.objective import BatchObjective

LOOP = sys.modules["seistomo.training.fit"]
ADAM = Method("adam", "adam", 0.05)
SQGN = Method(
    "sqgn", "sqgn", 0.3, {"full_gradient_interval": 2, "curvature_samples": 4},
    {"batches_per_epoch": 4},
)  # fmt: skip
SGN = Method("sgn", "sgn", 1.0, {"cg_iterations": 3}, {"averaging": "ema"})
SVRG = Method("svrg", "svrg", 0.1, {"full_gradient_interval": "epoch"}, {"micro_batch": 3})
PLATEAU = {"schedule": "plateau", "plateau_patience": 0}
METHODS = [
    ADAM,
    SQGN,
    SGN,
    SVRG,
    Method("plateau", "sgd", 0.5, {"momentum": 0.9}, PLATEAU),
    Method("cosine", "adam", 0.1, {}, {"schedule": "cosine", "averaging": "tail"}),
]
named = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


class Toy(Problem):
    """Two classes in the plane: 40 training samples in five batches, 10 to judge by."""

    name, loss, score_names = "toy", staticmethod(cross_entropy), ("accuracy",)

    def __init__(self, judged=True, **training):
        settings = {"epochs": 4, "batch_size": 8, "threads": 1, "device": "cpu"}
        self.settings = LoopConfig(**{**settings, "averaging_epochs": 2, **training})
        points = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
        self.data, self.judged = (points, (points.prod(1) > 0).long()), judged

    def network(self, generator):
        network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        for parameter in network.parameters():
            nn.init.normal_(parameter, generator=generator)
        return network

    def split(self, name):
        rows = {"train": slice(0, 40), "validation": slice(40, 50 if self.judged else 40)}
        return TensorSamples(*(part[rows.get(name, slice(50, 60))] for part in self.data))

    @torch.no_grad()
    def scores(self, network, samples):
        outputs = network(samples.inputs)
        right = (outputs.argmax(1) == samples.targets).double().mean()
        return {"loss": float(cross_entropy(outputs, samples.targets)), "accuracy": float(right)}

    def description(self):
        return {"problem": {"name": "toy", "points": 60}}


class StoppedError(Exception):
    """Stands for whatever ends a run."""


def stop_at(patch, owner, name, call, error=StoppedError):
    """Make the ``call``-th call raise."""
    original, calls = getattr(owner, name), []

    def stopping(*arguments, **options):
        calls.append(None)
        if len(calls) == call:
            raise error
        return original(*arguments, **options)

    patch.setattr(owner, name, stopping)


def files_of(folder):
    """Return the names of what is there, but for locks, which stay."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def bytes_of(run):
    return {path: path.read_bytes() for path in run.glob("*.*")}


@named
def test_a_run_that_was_left_goes_on_with_the_same_bits(method, tmp_path, assert_same_runs):
    whole = fit(Toy(), method, 3, tmp_path / "whole")
    left = fit(Toy(), method, 3, tmp_path / "run", stop=lambda history: len(history) == 2)
    assert [row["epoch"] for row in left.history] == [1, 2]
    result = fit(Toy(), method, 3, tmp_path / "run", resume=True)
    assert result.last["train_loss"] == whole.last["train_loss"]
    assert_same_runs(tmp_path / "whole", tmp_path / "run")
    assert fit(Toy(), method, 3, tmp_path / "run", resume=True).metrics() == result.metrics()


@pytest.mark.parametrize(
    ("owner", "name", "call", "every"),
    [
        (BatchObjective, "__call__", 2, 1),
        (BatchObjective, "__call__", 9, 0),
        (Toy, "scores", 2, 2),
        (Checkpoint, "save", 3, 0),
        (Checkpoint, "save", 4, 2),
        (LOOP, "write_history", 2, 0),
        (Path, "mkdir", 2, 0),
        (TensorSamples, "to", 1, 0),
    ],
)
def test_resumed_wherever_it_was_killed(
    owner, name, call, every, tmp_path, monkeypatch, assert_same_runs
):
    problem = Toy(epochs=3, checkpoint_iterations=every)
    monkeypatch.setattr(LOOP, "WRITING_SHARE", math.inf)
    fit(problem, ADAM, 0, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, owner, name, call)
        # Nothing is tidied up.
        patch.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
        with pytest.raises(StoppedError):
            fit(problem, ADAM, 0, tmp_path / "run", resume=True)
    if every == 1:
        done = load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress.iteration
        assert done == call - 1
    fit(problem, ADAM, 0, tmp_path / "run", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_the_step_in_hand(presses, tmp_path, assert_same_runs):
    fit(Toy(), ADAM, 3, tmp_path / "whole")
    seen, problem = [], Toy()

    def pressed(outputs, targets):
        seen.append(1)
        if len(seen) == 20:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)
        return cross_entropy(outputs, targets)

    problem.loss = pressed
    with pytest.raises(KeyboardInterrupt):
        fit(problem, ADAM, 3, tmp_path / "run")
    progress = load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress
    assert (progress.batch > 0) == (presses == 1)
    assert progress.iteration == 5 * progress.epoch + progress.batch
    assert len((tmp_path / "run" / "history.csv").read_text().split()) == 1 + progress.epoch
    fit(Toy(), ADAM, 3, tmp_path / "run", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


def test_run_directory(tmp_path):
    result = fit(Toy(), SQGN, 0, tmp_path / "run")
    names = {"config.toml", "history.csv", "checkpoint.pt", "best.pt", "metrics.json", "figures"}
    assert files_of(tmp_path / "run") == names
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert header.split(",") == list(result.last) == [
        "epoch", "iteration", "seconds", "train_loss", "validation_loss", "accuracy",
        "learning_rate", "gradient_evaluations", "ggn_products",
    ]  # fmt: skip
    # Four batches of 8 in each epoch, and two full gradients over all 40 samples.
    assert [row["iteration"] for row in result.history] == [4, 8, 12, 16]
    assert result.last["gradient_evaluations"] >= 4 * 2 * 5
    assert result.last["ggn_products"] > 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["last"] == result.last
    assert metrics["best"]["epoch"] == load_checkpoint(tmp_path / "run" / "best.pt").progress.epoch
    assert metrics["dead_pixels"] is None
    assert "accuracy" in str(result)


def test_early_stopping_and_lengthening(tmp_path):
    problem, losses = Toy(patience=2, epochs=50), [3.0, 1.0, 2.0, 2.0, 2.0, 0.5]
    given = iter(losses)
    problem.scores = lambda *_: {"loss": next(given), "accuracy": 0.0}
    result = fit(problem, ADAM, 0, tmp_path / "run")
    assert (result.last["epoch"], result.best["epoch"]) == (4, 2)
    assert fit(problem, ADAM, 0, tmp_path / "run", resume=True).history == result.history
    longer = Toy(patience=3, epochs=6)
    longer.scores = problem.scores
    assert fit(longer, ADAM, 0, tmp_path / "run", resume=True).last["epoch"] == 5
    assert "epochs = 6" in (tmp_path / "run" / "config.toml").read_text()


def test_without_validation_the_training_loss_decides(tmp_path):
    result = fit(Toy(judged=False), ADAM, 0, tmp_path / "run")
    losses = [row["train_loss"] for row in result.history]
    assert result.best["epoch"] == 1 + losses.index(min(losses))
    assert math.isnan(result.last["validation_loss"])
    assert math.isnan(result.last["accuracy"])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["last"]["validation_loss"] is None
    assert "training loss" in str(result)


def test_a_lengthened_mean_of_the_last_epochs_starts_anew(tmp_path, assert_same):
    tail = Method("tail", "adam", 0.05, {}, {"averaging": "tail"})
    fit(Toy(epochs=3), tail, 0, tmp_path / "run")
    fit(Toy(epochs=6), tail, 0, tmp_path / "run", resume=True)
    fit(Toy(epochs=6), tail, 0, tmp_path / "whole")
    one, other = (load_checkpoint(tmp_path / r / "checkpoint.pt") for r in ("run", "whole"))
    assert_same([one.network, one.averaging], [other.network, other.averaging])


def test_divergence_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(LOOP, "WRITING_SHARE", math.inf)
    problem = Toy(checkpoint_iterations=1)
    with pytest.raises(TrainingDivergedError, match="no epoch was finished"):
        fit(Toy(), Method("sgd", "sgd", 1e38), 0, tmp_path / "none")
    assert files_of(tmp_path) == set()
    given = iter([1.0, math.nan])
    problem.scores = lambda *_: {"loss": next(given), "accuracy": 0.0}
    with pytest.raises(TrainingDivergedError) as caught:
        fit(problem, ADAM, 0, tmp_path / "run")
    for part in ("diverged in epoch 2", "optimizer.learning_rate", "checkpoint of epoch 1 is kept"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len((tmp_path / "run" / "history.csv").read_text().split()) == 2
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert all(weight.isfinite().all() for weight in saved.network.values())


def test_limit_of_memory_that_a_problem_does_not_heed_is_refused(tmp_path):
    method = Method("a", "adam", 0.05, training={"memory_limit": 1.0})
    with pytest.raises(InputError, match=r"training.memory_limit = 1"):
        fit(Toy(), method, 0, tmp_path / "run")
    assert files_of(tmp_path) == set()


@pytest.mark.parametrize(
    ("method", "key"),
    [
        (Method("a", "adam", 0.06), "optimizer.learning_rate = 0.06"),
        (Method("a", "adam", 0.05, training={"batch_size": 9}), "training.batch_size = 9"),
        (Method("a", "adam", 0.05, training={"epochs": 2}), "training.epochs = 2"),
        (Method("a", "adam", 0.05, training={"batch_size": 41}), "training.batch_size = 41"),
    ],
)
def test_what_may_not_be_resumed_is_refused(method, key, tmp_path):
    run = tmp_path / "run"
    fit(Toy(epochs=3), ADAM, 0, run)
    before = bytes_of(run)
    with pytest.raises(InputError) as caught:
        fit(Toy(epochs=3), method, 0, run, resume=True)
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)
    assert bytes_of(run) == before
    with pytest.raises(InputError, match="exists already; use --resume"):
        fit(Toy(), ADAM, 0, run)
    with pytest.raises(InputError, match="choose one"):
        fit(Toy(), ADAM, 0, run, resume=True, overwrite=True)
    other = Toy()
    other.identity = "other"
    with pytest.raises(InputError, match="another data set"):
        fit(other, ADAM, 0, run, resume=True)
    assert bytes_of(run) == before


def test_damaged_and_foreign_checkpoints_are_told(tmp_path):
    run = tmp_path / "run"
    fit(Toy(epochs=1), SQGN, 0, run)
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    del content["optimizer"]["memory"]
    torch.save(content, run / "checkpoint.pt")
    with pytest.raises(InputError, match=r"optimizer\.name = sqgn: .*another version"):
        fit(Toy(), SQGN, 0, run, resume=True)
    (run / "checkpoint.pt").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"checkpoint\.pt: damaged"):
        fit(Toy(), SQGN, 0, run, resume=True)


def test_overwriting_keeps_the_old_run_until_an_epoch_is_done(tmp_path, monkeypatch):
    run = tmp_path / "run"
    fit(Toy(epochs=2), ADAM, 0, run)
    before = bytes_of(run)
    with pytest.raises(TrainingDivergedError):
        fit(Toy(), Method("sgd", "sgd", 1e38), 0, run, overwrite=True)
    with monkeypatch.context() as patch:
        stop_at(patch, Toy, "scores", 1, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(Toy(), ADAM, 1, run, overwrite=True)
    assert bytes_of(run) == before
    assert files_of(tmp_path) == {"run"}
    # Killed at each step of the exchange, one of the two is there, whole.
    for call, seed in ((1, 0), (2, 0), (3, 5)):
        with monkeypatch.context() as patch:
            stop_at(patch, Path, "rename", call, SystemExit)
            # Nothing is tidied up.
            patch.setattr(shutil, "rmtree", lambda *_a, **_o: None)
            patch.setattr(files, "_put_back", lambda *_: None)
            with pytest.raises(SystemExit) if call < 3 else nullcontext():
                fit(Toy(), ADAM, 5, run, overwrite=True)
        with pytest.raises(InputError, match="exists already"):
            fit(Toy(), ADAM, 9, run)
        assert f"seed = {seed}\n" in (run / "config.toml").read_text()
        load_checkpoint(run / "best.pt")
    fit(Toy(epochs=1), ADAM, 1, run, overwrite=True)
    assert files_of(tmp_path) == {"run"}
    assert len(load_checkpoint(run / "checkpoint.pt").history) == 1


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="is no run directory"):
            fit(Toy(), ADAM, 0, place, overwrite=True)
    with pytest.raises(InputError, match="cannot be made"):
        fit(Toy(), ADAM, 0, tmp_path / "thesis.tex" / "run")
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_two_processes_do_not_share_a_run(tmp_path):
    def second(history):
        with pytest.raises(InputError, match="another process is training it"):
            fit(Toy(), ADAM, 0, tmp_path / "run", resume=True)
        return True

    fit(Toy(), ADAM, 0, tmp_path / "run", stop=second)


def test_a_full_disk_is_told_and_keeps_the_last_checkpoint(tmp_path):
    method, run = SQGN, tmp_path / "run"
    fit(Toy(), method, 0, run, stop=lambda history: True)
    before = bytes_of(run)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(DiskFullError, match="the disk is full") as caught:
            fit(Toy(), method, 0, run, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert bytes_of(run) == before
    assert not list(run.glob(".*"))


def test_checkpoints_are_written_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr(LOOP, "WRITING_SHARE", 1e-9)
    run, epochs = tmp_path / "run", []

    def look(history):
        if len(history) > 1:
            epochs.append(load_checkpoint(run / "checkpoint.pt").progress.epoch)
        return False

    problem, losses = Toy(), iter([3.0, 1.0, 2.0, 2.5])
    problem.scores = lambda *_: {"loss": next(losses), "accuracy": 0.0}
    result = fit(problem, SQGN, 3, run, stop=look)
    # The first, and the last because it is the last.
    assert epochs == [1, 1]
    assert load_checkpoint(run / "checkpoint.pt").progress.epoch == 4
    best = load_checkpoint(run / "best.pt")
    assert best.progress.epoch == result.best["epoch"] == len(best.history) == 2


class Scarce(nn.Linear):
    """Has memory for so many samples at once."""

    room = 3

    def forward(self, inputs):
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return super().forward(inputs)


@pytest.mark.parametrize("method", [ADAM, SGN], ids=lambda method: method.name)
def test_too_little_memory_halves_the_micro_batch(
    method, tmp_path, capsys, monkeypatch, assert_same
):
    class Large(Toy):
        def network(self, generator):
            network = super().network(generator)
            network[0].__class__ = Scarce
            return network

        def scores(self, network, samples):
            return {"loss": 1.0, "accuracy": 0.0}

    fit(Large(epochs=1), method, 3, tmp_path / "run")
    words = capsys.readouterr().err
    assert words.count("out of memory with") == 2
    assert "with 4 samples at once; going on with 2" in words
    fit(Toy(epochs=1, micro_batch=2), method, 3, tmp_path / "same")
    one, other = (load_checkpoint(tmp_path / r / "checkpoint.pt").network for r in ("run", "same"))
    assert_same(one, other)
    monkeypatch.setattr(Scarce, "room", 0)
    with pytest.raises(InputError, match="too little memory even for one sample") as caught:
        fit(Large(), method, 3, tmp_path / "none")
    assert "\n" not in str(caught.value)


def test_optimizers_of_ones_own(tmp_path, monkeypatch):
    class Silent(torch.optim.SGD):
        def step(self, closure):
            super().step(closure)

    result = fit(Toy(), Method("a", "torch.optim.Adagrad", 0.1), 0, tmp_path / "run")
    assert result.last["train_loss"] < result.history[0]["train_loss"]
    monkeypatch.setattr(torch.optim, "Silent", Silent, raising=False)
    with pytest.raises(InputError, match="returned no loss"):
        fit(Toy(), Method("a", "torch.optim.Silent", 0.1), 0, tmp_path / "other")


def test_parameters_of_the_loss_that_nobody_trains_are_said(tmp_path, capsys):
    class Weighing(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, outputs, labels):
            return self.factor * cross_entropy(outputs, labels)

    problem = Toy(epochs=1)
    problem.loss = Weighing()
    fit(problem, ADAM, 0, tmp_path / "run")
    assert "loss: has parameters of its own" in capsys.readouterr().err


class Imaged(Toy):
    """With weights in another order of memory than their own."""

    def network(self, generator):
        layers = nn.Unflatten(1, (2, 1, 1)), nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.Flatten()
        network = nn.Sequential(*layers, nn.Linear(6, 2)).to(memory_format=torch.channels_last)
        for parameter in network.parameters():
            nn.init.normal_(parameter, generator=generator)
        return network


TORCHS = [n for n, kind in vars(torch.optim).items() if isinstance(kind, type) and n != "Optimizer"]


@pytest.mark.parametrize("name", TORCHS)
def test_every_optimizer_of_torch_trains_or_is_refused_in_one_line(name, tmp_path):
    method = Method("a", f"torch.optim.{name}", 0.01 if name == "LBFGS" else None)
    refused = {"SparseAdam": "does not support dense gradients", "Muon": "only supports 2D"}
    if name in refused:
        with pytest.raises(InputError, match=f"optim.{name}.*{refused[name]}") as caught:
            fit(Imaged(epochs=1), method, 0, tmp_path / "run")
        assert "\n" not in str(caught.value)
        return
    result = fit(Imaged(epochs=2, judged=False), method, 0, tmp_path / "run")
    assert result.last["train_loss"] < result.history[0]["train_loss"]
