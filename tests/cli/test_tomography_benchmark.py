import json
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from seistomo.benchmarks.tomography import page, runs
from seistomo.cli import app
from seistomo.config import load_config
from seistomo.training import train
from seistomo.training.directory import HISTORY

TINY = "--size tiny --set dataset.samples=14 --device cpu --threads 1"
ROWS = f"{TINY} --optimizers adam-1e-3,sqgn --repeats 1 --epochs 1"


def call(out, arguments):
    words = ["benchmark", "tomography", "--out", str(out), *shlex.split(arguments)]
    return CliRunner().invoke(app, words)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Run the benchmark once, from the simulation to the page."""
    out = tmp_path_factory.mktemp("made") / "out"
    done = call(out, ROWS)
    assert done.exit_code == 0, done.output
    return out, done


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the figures out: they take longer than all the rest."""
    monkeypatch.setattr(page, "_draw", lambda *arguments: None)


@pytest.fixture
def out(made, tmp_path, undrawn):
    """Return a copy of what was made, to go on with."""
    shutil.copytree(made[0], tmp_path / "out")
    return tmp_path / "out"


def summary(out):
    return json.loads((out / "table-4.json").read_text())


def losses(run):
    lines = (run / HISTORY).read_text().splitlines()
    return [line.split(",")[3:7] for line in lines]


def test_one_command_makes_data_runs_table_and_figures(made):
    out, done = made
    assert done.stdout.startswith(f"{out / 'index.md'}: ")
    assert len(done.stdout.splitlines()) == 1
    found = summary(out)
    assert found["complete"]
    assert [row["name"] for row in found["rows"]] == ["adam-1e-3", "sqgn"]
    assert [row["epochs"] for row in found["rows"]] == [[1], [1]]
    assert found["baseline"]["ssim"] > 0
    page = (out / "index.md").read_text()
    for name in ("figure-2-epoch.png", "figure-2-seconds.png", "figure-3.png"):
        assert (out / name).stat().st_size > 1000
        assert f"]({name})" in page
    table = (out / "table-4.md").read_text()
    assert "| SQGN, λ = 0.1 (m/s)²" in table
    assert "| mean training model" in table
    assert "Not complete" not in table


def test_a_rows_configuration_repeats_its_run(made, tmp_path):
    out, _ = made
    config = load_config(out / "configs" / "sqgn.toml")
    train(config, out / "data.h5", tmp_path / "run")
    assert losses(tmp_path / "run") == losses(out / "runs" / "sqgn-s0")


def test_more_of_it_is_added_to_what_is_there(out):
    before = losses(out / "runs" / "sqgn-s0")
    data = (out / "data.h5").stat().st_mtime_ns
    done = call(out, f"{TINY} --optimizers sgd --repeats 2 --epochs 2")
    assert done.exit_code == 0, done.output
    found = summary(out)
    assert [row["name"] for row in found["rows"]] == ["adam-1e-3", "sqgn", "sgd"]
    assert [row["epochs"] for row in found["rows"]] == [[2, 2]] * 3
    assert losses(out / "runs" / "sqgn-s0")[:2] == before
    assert (out / "data.h5").stat().st_mtime_ns == data


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (f"{TINY} --seed 1", "was made with seed = 0, not 1"),
        ("--size tiny --device cpu", "was made with set = "),
        (f"{TINY} --optimizers adamm", "--optimizers adamm: must be of adam-1e-2"),
        (f"{TINY} --repeats 0", "--repeats 0: must be at least 1"),
        (f"{TINY} --minutes -1", "--minutes -1: must be a positive number"),
        ("--size huge", "--size huge: must be one of paper, small, tiny"),
        ("--size tiny --data nowhere.h5", "nowhere.h5"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(made, arguments, words):
    done = call(made[0], arguments)
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert words in line


def test_overwriting_makes_the_runs_anew_and_keeps_the_data(out, monkeypatch):
    keys = []
    original = runs.train

    def noting(config, data, run, **options):
        keys.append(run.name)
        return original(config, data, run, **options)

    monkeypatch.setattr(runs, "train", noting)
    data = (out / "data.h5").stat().st_mtime_ns
    assert call(out, ROWS).exit_code == 0
    assert keys == []
    study = out / "runs" / "adam-1e-3-mirror-s0"
    study.mkdir()
    note = out / "scores" / "sgd@9-s0.diverged.json"
    note.write_text('{"message": "diverged"}')
    assert call(out, f"{ROWS} --overwrite").exit_code == 0
    assert study.is_dir()
    assert note.is_file(), "of a study, in whose table it is"
    assert keys == ["adam-1e-3-s0", "sqgn-s0"]
    assert (out / "data.h5").stat().st_mtime_ns == data


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        # The first is stated by the preset, the second is not.
        ("survey.frequency=7.0", "survey.frequency = 6.0, not 7.0; remove it"),
        ("simulation.accuracy=2", "simulation.accuracy = 4, not 2; remove it"),
        ("dataset.samples=21", "dataset.samples = 14, not 21; remove it"),
    ],
)
def test_overwriting_keeps_runs_whose_data_are_of_other_settings(out, setting, words):
    before = losses(out / "runs" / "sqgn-s0")
    settings = (out / "benchmark.json").read_text()
    done = call(out, f"{ROWS} --overwrite --set {setting}")
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert f"data.h5 was made with {words}" in line
    assert losses(out / "runs" / "sqgn-s0") == before
    assert (out / "benchmark.json").read_text() == settings


def test_an_interruption_has_its_own_status(out, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", interrupted)
        assert call(out, ROWS.replace("--epochs 1", "--epochs 2")).exit_code == 130
    assert summary(out)["epochs"] == 1
    assert call(out, ROWS.replace("--epochs 1", "--epochs 2")).exit_code == 0
    assert summary(out)["epochs"] == 2


def test_pieces_end_in_time_and_go_on(tmp_path, made, undrawn):
    out, data = tmp_path / "out", made[0] / "data.h5"
    arguments = f"--size tiny --device cpu --threads 1 --data {data} --optimizers sgd,adam-1e-3"
    arguments += " --repeats 1 --epochs 2"
    done = call(out, f"{arguments} --minutes 1e-6")
    assert done.exit_code == 0, done.output
    assert "go on with the same command" in done.stdout
    assert not (out / "table-4.json").exists()
    done = call(out, f"{arguments} --minutes 5")
    assert done.exit_code == 0, done.output
    assert summary(out)["complete"]
    assert not (out / "data.h5").exists()
