"""The command: names, options that count, exit status."""

import struct

import numpy as np
import pytest
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.experiments.study import study_names

OWN = """
title = "Mine"
problem = {{ name = "mnist", data = "{data}", pixels = "unit" }}
training = {{ batch_size = 60 }}
epochs = 2
expect = {{ accuracy = 0.05 }}

[[methods]]
name = "adam"
optimizer = "adam"
learning_rate = 0.01
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        return CliRunner().invoke(app, ["benchmark", *map(str, words)])

    return call


@pytest.fixture
def own(tmp_path, tmp_path_factory):
    """Return a study of one's own on images of ten bright rows."""
    folder = tmp_path_factory.mktemp("images")
    labels = np.arange(120, dtype=np.uint8) % 10
    images = np.zeros((120, 28, 28), np.uint8)
    images[np.arange(120), 2 * labels + 4] = 200
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        for part in ("train", "t10k"):
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    path = tmp_path / "mine.toml"
    path.write_text(OWN.format(data=folder))
    return path


def test_list_names_every_study_with_a_line(run):
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == study_names()
    assert all(len(line.split()) > 3 for line in lines)


def test_own_study_runs_from_its_file(run, own, tmp_path):
    result = run(own, "--out", "out", "--seed", 3, "--repeats", 2, "--epochs", 1, "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("out/index.md:")
    runs = [path.name for path in (tmp_path / "out/runs").iterdir() if path.is_dir()]
    assert sorted(runs) == ["adam-s3", "adam-s4"]


def test_study_that_misses_what_it_expects_ends_with_status_1_and_keeps_nothing(run, own, tmp_path):
    result = run(own, "--quiet", "--set", "expect.accuracy=1.1")
    assert result.exit_code == 1
    assert "FAILED: adam: accuracy" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.toml"]


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["nowhere"], "nowhere"),
        (["sqgn-table-1", "--methods", "adm"], "adm"),
        (["sqgn-table-1", "--shard", "3/2"], "--shard"),
        (["sqgn-table-1", "--minutes", "-1"], "--minutes"),
        (["sqgn-table-1", "--set", "seeds=2", "--repeats", "3"], "--set"),
        (["sqgn-table-1", "--data", "nowhere", "--set", "problem.pixel=unit"], "pixel"),
        (["sqgn-table-1", "--data", "mnist-5k"], "full_gradient_interval"),
        (["generalization", "nowhere"], "nowhere"),
        (["refinement", "nowhere"], "nowhere"),
        # What has no effect is refused.
        (["sqgn-table-1", "run"], "RUN"),
        (["optimizer-cost", "--epochs", "3"], "--epochs"),
        (["simulation-speed", "--data", "x.h5"], "--data"),
        (["race-tomography", "--shard", "1/2"], "--shard"),
    ],
)
def test_bad_input_is_one_line_with_status_2(run, words, field):
    result = run(*words, "--out", "out")
    assert result.exit_code == 2, result.output
    assert field in result.output
    assert len(result.output.strip().splitlines()) == 1
