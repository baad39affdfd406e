"""A look before the shooting."""

import numpy as np
import pytest
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.config import load_config
from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.dry_run import dry_run
from seistomo.evaluation.figures.style import new_figure
from seistomo.simulation import Survey, make_wavelet
from seistomo.velocity import draw_model

SMALL = (
    *("velocity.shape=[24, 26]", "velocity.spacing=20", "velocity.layer_thickness=[80.0, 200.0]"),
    *("survey.sources=3", "survey.receivers=11", "survey.frequency=6", "survey.time_step=0.02"),
    *("survey.time_samples=42", "dataset.samples=40", "dataset.shard_samples=10"),
)


@pytest.fixture
def config():
    return load_config("", SMALL)


@pytest.fixture
def drawn(monkeypatch):
    """Return what the figure is drawn from; an empty one is quicker."""
    found = {}

    def watch(*arguments):
        names = "velocity depth x labels surveys gathers wavelet time_step limits"
        found.update(zip(names.split(), arguments, strict=True))
        return new_figure(1, 1)

    monkeypatch.setattr(figures, "dry_run_figure", watch)
    return found


def numbers(drawn):
    return [int(label.partition(":")[0]) for label in drawn["labels"]]


def test_it_says_checks_and_cost_and_writes_the_sheet_alone(config, drawn, tmp_path):
    text = dry_run(config, tmp_path / "data.h5", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["data.dry-run.png"]
    starts = [line.partition(":")[0] for line in text.splitlines()]
    for word in ("survey", "dispersion", "recording", "samples", "time", "memory", "disk"):
        assert word in starts
    assert text.splitlines()[-1] == f"sheet: {tmp_path / 'data.dry-run.png'}"


def test_the_sheet_shows_what_would_be_made(config, drawn, tmp_path):
    dry_run(config, tmp_path / "data.h5", device="cpu")
    shown = numbers(drawn)
    assert (len(shown), shown[0], shown[-1]) == (16, 0, 39)
    simulate(config, tmp_path / "data.h5", device="cpu")
    with open_dataset(tmp_path / "data.h5") as data:
        np.testing.assert_array_equal(drawn["velocity"], data.read_velocity(shown))
        # Stored in 16 bits.
        peak = np.abs(drawn["gathers"]).max()
        np.testing.assert_allclose(data.read_gathers([0])[0], drawn["gathers"], atol=1e-3 * peak)
        np.testing.assert_array_equal(drawn["x"], data.x)
    np.testing.assert_array_equal(drawn["wavelet"], make_wavelet(config.survey))
    assert drawn["labels"][0] == f"0: {draw_model(config.velocity, 0, 0).family}"


def test_each_model_has_its_own_survey(drawn, tmp_path):
    config = load_config("", [*SMALL, "survey.source_jitter=15"])
    dry_run(config, tmp_path / "data.h5", device="cpu")
    for index, survey in zip(numbers(drawn), drawn["surveys"], strict=True):
        np.testing.assert_array_equal(survey["source_x"], Survey.draw(config, 0, index).source_x)
    assert len({tuple(survey["source_x"]) for survey in drawn["surveys"]}) == 16


def test_of_a_shard_it_shows_that_part(config, drawn, tmp_path):
    text = dry_run(config, tmp_path / "part.h5", device="cpu", shard="3/4")
    assert numbers(drawn) == list(range(20, 30))
    assert "samples: 20 to 29 of 40" in text
    with pytest.raises(InputError, match="--shard 5/4"):
        dry_run(config, tmp_path / "other.h5", device="cpu", shard="5/4")


def test_models_from_a_file_are_shown(config, drawn, tmp_path):
    few = load_config("", [*SMALL, "dataset.samples=8"])
    simulate(few, tmp_path / "models.h5", device="cpu")
    other = load_config(
        "",
        [
            *("survey.sources=2", "survey.receivers=5", "survey.frequency=6"),
            *("survey.time_step=0.02", "survey.time_samples=42"),
        ],
    )
    text = dry_run(other, tmp_path / "data.h5", device="cpu", velocity=tmp_path / "models.h5")
    assert "samples: 8 " in text
    with open_dataset(tmp_path / "models.h5") as data:
        np.testing.assert_array_equal(drawn["velocity"], data.read_velocity(range(8)))
    assert drawn["gathers"].shape == (2, 5, 42)
    assert drawn["x"][-1] == 500.0


def test_what_is_refused(config, tmp_path):
    out = tmp_path / "data.h5"
    bad = load_config("", [*SMALL, "velocity.spacing=32"])
    with pytest.raises(InputError, match=r"survey\.frequency = 6"):
        dry_run(bad, out, device="cpu")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data.dry-run.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already; give --overwrite"):
        dry_run(config, out, device="cpu")
    assert (tmp_path / "data.dry-run.png").read_bytes() == b"mine"
    few = load_config("", [*SMALL, "dataset.samples=3"])
    dry_run(few, out, device="cpu", overwrite=True)
    assert (tmp_path / "data.dry-run.png").stat().st_size > 10000


def simulate_command(*words):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    words = ["simulate", "quickstart", *settings, *words, "--device", "cpu"]
    return CliRunner().invoke(app, words)


def test_the_command_prints_it_and_makes_nothing(drawn, tmp_path):
    out = str(tmp_path / "data.h5")
    done = simulate_command("--out", out, "--dry-run", "--samples", "20", "--shard", "2/2")
    assert done.exit_code == 0, done.output
    assert "samples: 10 to 19 of 20" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["data.dry-run.png"]
    again = simulate_command("--out", out, "--dry-run")
    assert again.exit_code == 2
    assert "exists already; give --overwrite" in again.output
    other = simulate_command("--out", out, "--dry-run", "--resume")
    assert other.exit_code == 2
    assert other.output.strip() == "error: --resume and --dry-run: give one of them, not both"


def test_of_many_ranks_one_speaks(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    done = simulate_command("--out", str(tmp_path / "data.h5"), "--dry-run")
    assert (done.exit_code, done.output) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_there_is_warned_of_and_kept(config, drawn, tmp_path, capsys):
    (tmp_path / "data.h5").write_bytes(b"mine")
    dry_run(config, tmp_path / "data.h5", device="cpu")
    assert "takes --resume or --overwrite" in capsys.readouterr().err
    assert (tmp_path / "data.h5").read_bytes() == b"mine"
    with pytest.raises(InputError, match="is a folder"):
        dry_run(config, tmp_path, device="cpu")
