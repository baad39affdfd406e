"""The whole way, taken once: simulate, train, evaluate, predict."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.config import load_config

TINY = [
    "velocity.shape=[24, 28]",
    "survey.sources=3",
    "survey.receivers=8",
    "survey.time_samples=140",
    "dataset.samples=28",
    "dataset.shard_samples=8",
    "network.channels=[4, 4]",
    "network.kernels=[[3, 3, 3], [3, 3, 3]]",
    "network.pools=[[1, 2, 4], [2, 2, 4]]",
    "training.epochs=2",
    "training.batch_size=8",
]


def invoke(line, status=0):
    """Run a command in this process; return what it said."""
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == status, done.output
    return SimpleNamespace(out=done.stdout, err=done.stderr, all=done.stdout + done.stderr)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run commands in an empty folder with tiny.toml."""
    (tmp_path / "tiny.toml").write_text(load_config("", TINY).to_toml())
    monkeypatch.chdir(tmp_path)
    return invoke


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a folder with a data set, a run, an evaluation, predictions and figures."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(load_config("", TINY).to_toml())
    (folder / "loop.h5").symlink_to("loop.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "simulate tiny.toml --out data.h5",
            "train tiny.toml --data data.h5 --out run",
            "evaluate run --data data.h5 --out evaluation",
            "predict run --data data.h5 --out predictions.h5",
            "plot data.h5 --out data.png",
            "plot run --out run.png",
            "plot evaluation --out predictions.png",
        ):
            assert len(invoke(f"{line} -q").out.splitlines()) == 1, "one line of result"
    return folder


@pytest.fixture
def work(made, monkeypatch):
    """Change into the folder of `made`, which nothing may change."""
    before = {path: path.lstat().st_mtime_ns for path in made.rglob("*")}
    monkeypatch.chdir(made)
    yield made
    assert {path: path.lstat().st_mtime_ns for path in made.rglob("*")} == before
