"""A resumed run ends with the bits of one that never stopped, wherever it was stopped."""

import os
import random
import signal
import subprocess
import sys

import pytest
import torch

from seistomo.errors import InputError
from seistomo.training import BatchObjective, TomographyProblem, directory, train
from seistomo.training.checkpoint import Checkpoint, load_checkpoint
from seistomo.training.fit import _Training

MOMENTUM = ["optimizer.name=sgd", "optimizer.options={momentum = 0.9}"]


class StoppedError(Exception):
    """Stands for whatever ends a run."""


def comparable(path):
    """Return a checkpoint's content without what time it took."""
    content = vars(load_checkpoint(path))
    for name in ("seconds", "data_seconds", "peak_memory"):
        setattr(content["progress"], name, 0)
    content["history"] = [{**row, "seconds": 0} for row in content["history"]]
    return content


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, float):
        assert one == other or one != one
    else:
        assert one == other


def assert_same_runs(one, other):
    for name in ("checkpoint.pt", "best.pt"):
        assert_same(comparable(one / name), comparable(other / name))
    tables = [
        [row.split(",") for row in (run / "history.csv").read_text().split()]
        for run in (one, other)
    ]
    seconds = tables[0][0].index("seconds")
    for table in tables:
        for row in table:
            del row[seconds]
    assert tables[0] == tables[1]
    assert not [path.name for path in other.iterdir() if path.name.startswith(".")]


def stop_at(monkeypatch, owner, name, call, error=StoppedError):
    """Make the ``call``-th call of a method raise."""
    original, calls = getattr(owner, name), []

    def stopping(*arguments, **options):
        calls.append(None)
        if len(calls) == call:
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, stopping)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        MOMENTUM,
        ["training.schedule=cosine"],
        ["training.schedule=plateau", "training.plateau_patience=0", "optimizer.learning_rate=0.1"],
        ["training.cache_memory=0.0", "training.micro_batch=3"],
    ],
)
@pytest.mark.parametrize("step", [1, 4, 7, 13])
def test_resumed_after_any_step(dataset, make_config, tmp_path, monkeypatch, overrides, step):
    config = make_config(*overrides)
    train(config, dataset, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, BatchObjective, "__call__", step)
        with pytest.raises(StoppedError):
            train(config, dataset, tmp_path / "run")
    train(config, dataset, tmp_path / "run", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("step", [2, 5, 6, 11])
def test_resumed_within_an_epoch(dataset, make_config, tmp_path, monkeypatch, step):
    config = make_config("training.checkpoint_iterations=1")
    train(config, dataset, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, BatchObjective, "__call__", step)
        with pytest.raises(StoppedError):
            train(config, dataset, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress.iteration == step - 1
    counted = []
    original = BatchObjective.__call__
    monkeypatch.setattr(
        BatchObjective, "__call__", lambda self: counted.append(1) or original(self)
    )
    train(config, dataset, tmp_path / "run", resume=True)
    # 16 steps in all: what was done is not done again.
    assert len(counted) == 16 - (step - 1)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("leftover", [None, ".config.toml.part"])
def test_resumed_after_a_kill_before_the_first_file(dataset, make_config, tmp_path, leftover):
    run = tmp_path / "run"
    run.mkdir()
    if leftover:
        (run / leftover).write_text("[velo")
    train(make_config(), dataset, run, resume=True)
    train(make_config(), dataset, tmp_path / "whole")
    assert_same_runs(tmp_path / "whole", run)


def test_resumed_after_a_kill_among_the_first_files(dataset, make_config, tmp_path, monkeypatch):
    """Killed, so that nothing is tidied up."""
    config = make_config()
    train(config, dataset, tmp_path / "whole")
    makers = [
        (directory.Path, "mkdir", 1),
        (directory.Path, "mkdir", 2),
        (directory, "write_text", 1),
    ]
    for owner, name, call in makers:
        with monkeypatch.context() as patch:
            stop_at(patch, owner, name, call)
            patch.setattr(directory.shutil, "rmtree", lambda *_arguments, **_options: None)
            with pytest.raises(StoppedError):
                train(config, dataset, tmp_path / "run", resume=True)
    train(config, dataset, tmp_path / "run", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("place", ["save", "write_history", "best"])
def test_resumed_after_a_stop_between_two_files(dataset, make_config, tmp_path, monkeypatch, place):
    config = make_config()
    train(config, dataset, tmp_path / "whole")
    with monkeypatch.context() as patch:
        if place == "write_history":
            stop_at(patch, _Training, "write_tables", 3)
        else:
            # Each epoch here is the best so far: two files an epoch.
            stop_at(patch, Checkpoint, "save", 5 if place == "save" else 6)
        with pytest.raises(StoppedError):
            train(config, dataset, tmp_path / "run")
    train(config, dataset, tmp_path / "run", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


def test_ctrl_c_leaves_consistent_files(dataset, make_config, tmp_path, monkeypatch):
    config = make_config()
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, _Training, "report", 2, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config, dataset, run)
    assert load_checkpoint(run / "checkpoint.pt").progress.epoch == 2
    assert len((run / "history.csv").read_text().splitlines()) == 3
    # In the middle of an epoch the best checkpoint stays what it was.
    before = comparable(run / "best.pt")
    with monkeypatch.context() as patch:
        stop_at(patch, BatchObjective, "__call__", 3, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config, dataset, run, resume=True)
    assert_same(comparable(run / "best.pt"), before)
    train(config, dataset, run, resume=True)
    train(config, dataset, tmp_path / "whole")
    assert_same_runs(tmp_path / "whole", run)


def test_ctrl_c_before_the_first_epoch_can_be_resumed(dataset, make_config, tmp_path, monkeypatch):
    config = make_config()
    train(config, dataset, tmp_path / "whole")
    for place in ("load_data", "build"):
        with monkeypatch.context() as patch:
            stop_at(patch, _Training, place, 1, KeyboardInterrupt)
            with pytest.raises(KeyboardInterrupt):
                train(config, dataset, tmp_path / "run", resume=True)
    train(config, dataset, tmp_path / "run", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


# For each line of input starts a process that trains, kills it after so many seconds, and tells
# how it ended. It stands ready, so that the seconds are those of training, not of imports.
SERVER = """
import os, signal, sys, time
import torch
from seistomo.config import load_config
from seistomo.progress import set_quiet
from seistomo.training import train

set_quiet(True)
# Loads what torch loads late.
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
for line in sys.stdin:
    child = os.fork()
    if not child:
        train(load_config(sys.argv[1]), sys.argv[2], sys.argv[3], resume=True)
        os._exit(0)
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.parametrize("checkpoint_iterations", [0, 1])
def test_kill_at_any_moment(dataset, make_config, tmp_path, checkpoint_iterations):
    """A real kill -9 at random moments, again and again, until the run is through."""
    config = make_config(
        "training.epochs=25", f"training.checkpoint_iterations={checkpoint_iterations}"
    )
    train(config, dataset, tmp_path / "whole")
    moments = random.Random(checkpoint_iterations)
    arguments = [tmp_path / "whole" / "config.toml", dataset, tmp_path / "run"]
    kills, ended, errors = 0, False, tmp_path / "errors.txt"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        while not ended:
            # Longer and longer, so that it gets through on a slow machine too.
            print(moments.uniform(0, 0.1 * 1.25**kills), file=server.stdin, flush=True)
            status = int(server.stdout.readline())
            ended = status == 0
            assert ended or os.WTERMSIG(status) == signal.SIGKILL, errors.read_text()
            kills += not ended
    assert kills >= 3
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


def test_finished_run_can_be_lengthened(dataset, make_config, tmp_path):
    train(make_config("training.epochs=3"), dataset, tmp_path / "run")
    train(make_config("training.epochs=5"), dataset, tmp_path / "run", resume=True)
    train(make_config("training.epochs=5"), dataset, tmp_path / "whole")
    one, other = (load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("run", "whole"))
    assert_same(one.network, other.network)
    assert "epochs = 5" in (tmp_path / "run" / "config.toml").read_text()


def test_finished_run_stays_as_it_is(dataset, make_config, tmp_path):
    result = train(make_config(), dataset, tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    assert train(make_config(), dataset, tmp_path / "run", resume=True) == result
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rate=0.5", "optimizer.learning_rate = 0.5: the run"),
        ("training.batch_size=7", "training.batch_size = 7"),
        ("training.seed=9", "training.seed = 9"),
        ("network.channels=[3, 5]", "network.channels = [3, 5]"),
        ("training.epochs=2", "training.epochs = 2: the run"),
    ],
)
def test_another_configuration_is_refused(dataset, make_config, tmp_path, override, message):
    run = tmp_path / "run"
    train(make_config("training.epochs=3"), dataset, run)
    before = (run / "checkpoint.pt").read_bytes()
    with pytest.raises(InputError) as caught:
        train(make_config("training.epochs=3", override), dataset, run, resume=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (run / "checkpoint.pt").read_bytes() == before


def test_another_data_set_is_refused(dataset, make_dataset, make_config, tmp_path, arrays):
    train(make_config("training.epochs=1"), dataset, tmp_path / "run")
    other = make_dataset(gathers=arrays[1] * 2)
    with pytest.raises(InputError, match="another data set"):
        train(make_config(), other, tmp_path / "run", resume=True)


def test_damaged_checkpoint_is_told(dataset, make_config, tmp_path):
    train(make_config("training.epochs=1"), dataset, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    for key in ("optimizer", "schedule", "random"):
        assert content[key]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint\.pt: damaged"):
        train(make_config(), dataset, tmp_path / "run", resume=True)


def test_a_state_of_another_version_is_told(dataset, make_config, tmp_path):
    sqgn = ("optimizer.name=sqgn", 'optimizer.options.full_gradient_interval="epoch"')
    run = tmp_path / "run"
    train(make_config("training.epochs=1", *sqgn), dataset, run)
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    del content["optimizer"]["memory"]
    torch.save(content, run / "checkpoint.pt")
    with pytest.raises(InputError, match=r"optimizer\.name = sqgn: .*another version") as caught:
        train(make_config("training.epochs=2", *sqgn), dataset, run, resume=True)
    assert "\n" not in str(caught.value)


def test_exchange_of_runs_that_was_killed_half_way(dataset, make_config, tmp_path):
    """Killed between moving the old run away and moving the new one in."""
    run = tmp_path / "run"
    train(make_config("training.seed=1"), dataset, run)
    train(make_config(), dataset, tmp_path / "old")
    os.rename(run, tmp_path / ".run.starting")
    os.rename(tmp_path / "old", tmp_path / ".run.replaced")
    with pytest.raises(InputError, match="exists already"):
        train(make_config(), dataset, run)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["run"]
    assert load_checkpoint(run / "checkpoint.pt").config == (run / "config.toml").read_text()
    assert "seed = 1" in (run / "config.toml").read_text()


def test_two_processes_do_not_share_a_run(dataset, make_config, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(make_config("training.epochs=1"), dataset, run)
    caught = []

    def second(*_arguments):
        monkeypatch.undo()
        with pytest.raises(InputError, match="another process is training it") as refusal:
            train(make_config(), dataset, run, resume=True)
        caught.append(refusal)
        raise StoppedError

    monkeypatch.setattr(TomographyProblem, "scores", second)
    with pytest.raises(StoppedError):
        train(make_config(), dataset, run, resume=True)
    assert caught
