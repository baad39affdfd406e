"""The commands that make data sets, as a user types them."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.config import load_config
from seistomo.dataset import open_dataset

TINY = [
    "velocity.shape=[20, 22]",
    "survey.sources=2",
    "survey.receivers=5",
    "survey.time_samples=140",
    "dataset.samples=6",
    "dataset.shard_samples=2",
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a folder with tiny.toml."""
    (tmp_path / "tiny.toml").write_text(load_config("", TINY).to_toml())
    monkeypatch.chdir(tmp_path)

    def call(words, status=0):
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == status, done.stderr
        return done.stdout + done.stderr

    return call


def test_a_job_array_and_the_merge(run):
    run("simulate tiny.toml --out whole.h5 -q")
    for i in (1, 3):
        assert f"(shard {i}/3), 2 simulated" in run(
            f"simulate tiny.toml --out parts/part-{i}.h5 --shard {i}/3 -q"
        )
    assert "seed 0; part 3 of 3: 4 to 5 of 6" in run("info parts/part-3.h5")
    missing = run("merge parts --out data.h5 -q", status=2)
    assert "2 of 6 samples are missing: 2 to 3 (made by simulate --shard i/3 for i = 2)" in missing
    run("simulate tiny.toml --out parts/part-2.h5 --shard 2/3 -q")
    assert "data.h5: 6 samples" in run("merge parts --out data.h5 -q")
    with open("data.h5", "rb") as one, open("whole.h5", "rb") as other:
        assert one.read() == other.read()
    assert "virtual.h5: 6 samples" in run("merge parts --out virtual.h5 --virtual -q")


def test_parts_are_read_without_a_merge(run):
    for i in (1, 2, 3):
        run(f"simulate tiny.toml --out parts/part-{i}.h5 --shard {i}/3 -q")
    run("merge parts --out data.h5 -q")
    words = run("info parts --check")
    assert "parts: seistomo data set" in words
    assert "in 3 files" in words
    assert "all 6 samples as written" in words
    run("plot parts --out parts.png")
    for name in ("parts", "data.h5"):
        run(f"export {name} --format hdf5 --indices 1:5 --out {name}-some.h5")
    with open("parts-some.h5", "rb") as one, open("data.h5-some.h5", "rb") as other:
        assert one.read() == other.read()
    words = run("export parts --format npz --out parts/part-1.h5 --overwrite", status=2)
    assert "error: --out parts/part-1.h5: is a part of the data set itself" in words
    words = run("merge parts --out parts/part-1.h5 --overwrite --virtual", status=2)
    assert "error: --out parts/part-1.h5: is one of the parts, which --virtual refers to" in words
    run("simulate tiny.toml --out again.h5 --velocity parts -q")
    with open_dataset("again.h5") as again, open_dataset("parts") as parts:
        assert (again.read_velocity([3]) == parts.read_velocity([3])).all()


def test_a_folder_that_lacks_parts_is_one_line(run, tmp_path):
    for i in (1, 3):
        run(f"simulate tiny.toml --out parts/part-{i}.h5 --shard {i}/3 -q")
    for words in ("info parts", "export parts --format npz --out x.npz", "plot parts --out x.png"):
        (line,) = run(f"{words} -q", status=2).splitlines()
        assert line == (
            "error: parts: holds no whole data set: 2 of 6 samples are missing: 2 to 3 (made by"
            " simulate --shard i/3 for i = 2)"
        )
    (tmp_path / "empty").mkdir()
    assert "empty: holds no parts of a data set" in run("info empty", status=2)


def test_partial_merge_is_asked_for(run):
    run("simulate tiny.toml --out part-1.h5 --shard 1/3 -q")
    assert "samples are missing" in run("merge part-1.h5 --out data.h5 -q", status=2)
    assert "data.h5: 2 samples" in run("merge part-1.h5 --out data.h5 --partial -q")


def test_shooting_over_the_models_of_a_file(run):
    run("simulate tiny.toml --out first.h5 -q")
    words = run("simulate tiny.toml --out second.h5 --velocity first.h5 --set survey.sources=3")
    assert "velocity.shape = [20, 22] and velocity.spacing = 15: as in first.h5" in words
    with open_dataset("second.h5") as data:
        assert data.gather_shape[0] == 3
    small = "--set survey.sources=1 --set survey.receivers=3 --set survey.time_samples=60"
    run(f"simulate quickstart --out third.h5 --velocity first.h5 -q {small}")
    with open_dataset("third.h5") as data:
        assert data.samples == 6, "all models, not the preset's number of samples"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("simulate tiny.toml --out data.h5 --shard 4/3", "--shard 4/3: must be i/n"),
        ("simulate tiny.toml --out data.h5 --shard 1/4", "use at most 3 parts"),
        ("simulate tiny.toml --out data.h5 --velocity none.h5", "none.h5: no such file"),
        ("simulate tiny.toml --out data.h5 --velocity tiny.toml", "tiny.toml: neither"),
        ("merge tiny.toml --out data.h5", "tiny.toml: not an HDF5 file"),
        ("simulate tiny.toml --out . --resume", "is a folder"),
        ("merge none.h5 --out data.h5", "none.h5: no such file"),
        ("merge . --out data.h5", ".: holds no parts of a data set (*.h5)"),
        ("merge tiny.toml --out tiny.toml", "tiny.toml: exists already; use --overwrite"),
        (
            "simulate tiny.toml --out data.h5 --set simulation.water_speed=1500",
            '--set simulation.water_speed has no effect; it needs simulation.density = "gardner"',
        ),
        (
            "simulate tiny.toml --out data.h5 --velocity x.h5 --set velocity.layers=[1,2]",
            "--set velocity.layers=[1,2]: has no effect with --velocity",
        ),
    ],
)
def test_bad_input_is_one_line(run, words, expected, tmp_path):
    lines = [line for line in run(words, status=2).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert expected in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_only_rank_0_prints(run, monkeypatch):
    """The others of a launch by torchrun are silent; here one that cannot join says so itself."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert run("simulate tiny.toml --out data.h5", status=2).startswith("error: rank 1: cannot")


def test_importing_the_commands_is_quick():
    """Help must not wait for torch."""
    code = "import sys, seistomo.cli; print('torch' in sys.modules, 'h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
