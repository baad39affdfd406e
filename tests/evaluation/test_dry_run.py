"""A look before the shooting: checks, cost and a sheet of what would be made, nothing else."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.config import load_config
from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.errors import InputError
from seistomo.evaluation import dry_run as module
from seistomo.evaluation.dry_run import Rehearsal, dry_run, estimate_lines
from seistomo.evaluation.figures.style import new_figure
from seistomo.simulation import Survey, make_wavelet

SMALL = (
    *("velocity.shape=[24, 26]", "velocity.spacing=20", "velocity.layer_thickness=[80.0, 200.0]"),
    *("survey.sources=3", "survey.receivers=11", "survey.frequency=6", "survey.time_step=0.02"),
    *("survey.time_samples=42", "dataset.samples=20", "dataset.shard_samples=10"),
)


@pytest.fixture
def config():
    return load_config("", SMALL)


@pytest.fixture
def drawn(monkeypatch):
    """Return what the figure is drawn from; an empty one is quicker."""
    found = {}

    def watch(*arguments, **options):
        names = "velocity depth x labels surveys gathers time shots"
        found.update(options, **dict(zip(names.split(), arguments, strict=True)))
        return new_figure(1, 1)

    monkeypatch.setattr(module.figures, "overview_figure", watch)
    return found


def numbers(drawn):
    return [int(label.partition(":")[0]) for label in drawn["labels"]]


def test_the_sheet_alone_is_written_and_shows_what_would_be_made(drawn, tmp_path):
    config = load_config("", [*SMALL, "survey.source_jitter=15"])
    text = dry_run(config, tmp_path / "data.h5", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["data.dry-run.png"]
    starts = [line.partition(":")[0] for line in text.splitlines()]
    for word in ("survey", "dispersion", "recording", "samples", "time", "memory", "disk", "sheet"):
        assert word in starts
    shown = numbers(drawn)
    assert (len(shown), shown[0], shown[-1]) == (16, 0, 19)
    simulate(config, tmp_path / "data.h5", device="cpu")
    with open_dataset(tmp_path / "data.h5") as data:
        np.testing.assert_array_equal(drawn["velocity"], data.read_velocity(shown))
        # Stored in 16 bits.
        peak = np.abs(drawn["gathers"]).max()
        np.testing.assert_allclose(data.read_gathers([0])[0], drawn["gathers"], atol=1e-3 * peak)
        assert drawn["labels"][0] == f"0: {data.families([0])[0]}"
    np.testing.assert_array_equal(drawn["wavelet"], make_wavelet(config.survey))
    for index, survey in zip(shown, drawn["surveys"], strict=True):
        np.testing.assert_array_equal(survey["source_x"], Survey.draw(config, 0, index).source_x)


def test_models_from_a_file_are_shown(drawn, tmp_path):
    few = load_config("", [*SMALL, "dataset.samples=8"])
    simulate(few, tmp_path / "models.h5", device="cpu")
    survey = ("survey.sources=2", "survey.receivers=5", *SMALL[5:7], "survey.time_samples=42")
    other = load_config("", survey)
    text = dry_run(other, tmp_path / "data.h5", device="cpu", velocity=tmp_path / "models.h5")
    assert "samples: 8 " in text
    with open_dataset(tmp_path / "models.h5") as data:
        np.testing.assert_array_equal(drawn["velocity"], data.read_velocity(range(8)))
    assert drawn["gathers"].shape == (2, 5, 42)
    assert drawn["x"][-1] == 500.0


def test_what_is_there_is_kept_and_what_cannot_be_made_is_refused(config, drawn, tmp_path, capsys):
    out = tmp_path / "data.h5"
    bad = load_config("", [*SMALL, "velocity.spacing=32"])
    with pytest.raises(InputError, match=r"survey\.frequency = 6"):
        dry_run(bad, out, device="cpu")
    with pytest.raises(InputError, match="--shard 5/4"):
        dry_run(config, out, device="cpu", shard="5/4")
    with pytest.raises(InputError, match="is a folder"):
        dry_run(config, tmp_path, device="cpu")
    assert list(tmp_path.iterdir()) == []
    out.write_bytes(b"mine")
    (tmp_path / "data.dry-run.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already; give --overwrite"):
        dry_run(config, out, device="cpu")
    assert (tmp_path / "data.dry-run.png").read_bytes() == b"mine"
    (tmp_path / "data.dry-run.png").unlink()
    dry_run(config, out, device="cpu")
    assert "takes --resume or --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"


def test_what_is_wanted_is_counted_and_the_disk_space_is_that_of_the_file(tmp_path):
    config = load_config("", [*SMALL, "survey.receivers=64", "survey.time_samples=160"])
    path, rehearsal = tmp_path / "data.h5", Rehearsal(None, 8, 0.5, 10**9, None, "cpu")
    samples, time, _, disk = estimate_lines(config, path, range(20), rehearsal)
    assert samples == "samples: 20 (14 train, 3 validation, 3 test)"
    assert time.startswith("time: about 10 s on cpu in one process (0.5 s a model")
    simulate(config, path, device="cpu")
    said = float(re.match(r"disk: (\S+) GB in float16", disk)[1])
    assert said * 1e9 == pytest.approx(path.stat().st_size, rel=0.15)
    part = estimate_lines(config, path, range(7, 14), rehearsal)
    assert part[0] == "samples: 7 to 13 of 20, 7 (5 train, 1 validation, 1 test)"


def simulate_command(*words):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    words = ["simulate", "quickstart", *settings, *words, "--device", "cpu"]
    return CliRunner().invoke(app, words)


def test_the_command_prints_it_of_a_shard_and_speaks_once(drawn, tmp_path, monkeypatch):
    out = str(tmp_path / "data.h5")
    done = simulate_command("--out", out, "--dry-run", "--shard", "2/2")
    assert done.exit_code == 0, done.output
    assert "samples: 10 to 19 of 20" in done.output
    assert numbers(drawn) == list(range(10, 20))
    assert [path.name for path in tmp_path.iterdir()] == ["data.dry-run.png"]
    for words in (("--dry-run",), ("--dry-run", "--resume")):
        assert simulate_command("--out", out, *words).exit_code == 2
    monkeypatch.setenv("RANK", "1")
    done = simulate_command("--out", out, "--dry-run", "--overwrite")
    assert (done.exit_code, done.output) == (0, "")
