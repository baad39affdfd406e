"""The commands import and export as a user types them."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.config import load_config
from seistomo.dataset import open_dataset, open_velocity, write_dataset
from seistomo.dataset.models import StoredModels

RAMP = (1500 + np.add.outer(np.arange(30.0) * 50, np.arange(40.0) * 10)).astype(np.float32)
SETTINGS = ["velocity.shape=[30, 40]", "velocity.spacing=10.0", "survey.time_samples=16"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Change into a folder with a model in several formats and a data set."""
    monkeypatch.chdir(tmp_path)
    (RAMP / 1000).astype(">f8").T.tofile("ramp.bin")
    np.savez("ramp.npz", vp=RAMP, vs=RAMP / 2)
    np.save("ramp.npy", RAMP)
    np.save("slow.npy", RAMP**-2.0)
    config = load_config("", [*SETTINGS, "survey.sources=2", "survey.receivers=3"])
    gathers = np.random.default_rng(0).normal(size=(14, 2, 3, 16)).astype(np.float32)
    write_dataset("data.h5", config, np.stack([RAMP] * 14), gathers)
    return tmp_path


def seistomo(line):
    return CliRunner().invoke(app, line.split())


def test_every_option_of_import_reaches_its_place(files):
    line = (
        "import ramp.bin --format raw --shape 30x40 --dtype float64 --byte-order big"
        " --fastest depth --units km/s --file-spacing 10x20 --spacing 10 --clip 1800:"
        " --depth-range 50: --x-range :500 --crop 12x14 --stride 6x3 --salt-threshold 2000"
        " --family wedge --out v.h5 -q"
    )
    done = seistomo(line)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "v.h5: 39 models of 12 x 14 nodes (depth x x) at 10 m, 1800 to 3145 m/s"
    ]
    with open_velocity("v.h5") as made:
        assert made.samples == 3 * 13
        last = StoredModels(made).model(38)
        assert (last.parameters["depth_m"], last.parameters["x_m"]) == (50 + 120, 360)
        assert last.family == "wedge"
        np.testing.assert_allclose(last.velocity[:, ::2], RAMP[17:29, 18:25], rtol=1e-6)
        first = np.clip(RAMP[5:17, :7], 1800, None)
        np.testing.assert_allclose(made.read_velocity([0])[0][:, ::2], first, rtol=1e-6)
        np.testing.assert_array_equal(last.salt_mask, last.velocity > 2000)


@pytest.mark.parametrize(
    ("options", "models"),
    [
        ("ramp.npz --key vp --spacing 10", 1),
        ("ramp.npy --spacing 10 --crop 10x10 --crops 7 --seed 3 --no-salt", 7),
        ("slow.npy --units s²/m² --file-spacing 10", 1),
    ],
)
def test_import(files, options, models):
    done = seistomo(f"import {options} --out v.h5")
    assert done.exit_code == 0, done.output
    told = seistomo("info v.h5 --check").stdout
    for words in (f"models      {models}, ", "from        ", "as written"):
        assert words in told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "import ramp.npy --out v.h5 --spacing 10 --crop 9x9 --stride 5 --min-contrast 545",
            "--min-contrast 545",
        ),
        ("import ramp.npy --out v.h5 --spacing 10 --crop 100", "--crop 100: must be two numbers"),
        ("import ramp.npy --out v.h5 --spacing 10 --no-salt --salt-threshold 4", "not both"),
        ("export data.h5 --format npz --out x.npz --indices 0:99,a", "--indices = 0:99,a"),
    ],
)
def test_bad_input_is_one_line_and_status_2(files, line, words):
    before = sorted(files.iterdir())
    done = seistomo(line)
    assert done.exit_code == 2
    (message,) = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert re.search(words, message), message
    assert sorted(files.iterdir()) == before


def test_a_model_of_ones_own_goes_all_the_way(files):
    """Import, shoot over it, export, import again: the same model, and gathers that it explains."""
    survey = "--set survey.sources=2 --set survey.receivers=5 --set survey.time_samples=60"
    for line in (
        "import ramp.npy --spacing 10 --crop 25x30 --stride 5x10 --family ramp --out v.h5",
        f"simulate quickstart --velocity v.h5 {survey} --device cpu --out shot.h5",
        "export shot.h5 --format openfwi --file-samples 1 --out folder",
        "import folder --out back.h5",
        "simulate quickstart --velocity shot.h5 --set survey.sources=1 --set survey.receivers=5"
        " --set survey.time_samples=60 --device cpu --out again.h5",
    ):
        done = seistomo(line)
        assert done.exit_code == 0, done.stderr
    rows = range(4)
    with (
        open_velocity("v.h5") as imported,
        open_velocity("shot.h5") as shot,
        open_velocity("back.h5") as back,
        open_velocity("again.h5") as again,
    ):
        assert imported.models_identity == shot.models_identity == again.models_identity
        assert imported.samples == 4
        np.testing.assert_array_equal(back.read_velocity(rows), imported.read_velocity(rows))
        assert back.families(rows) == ["ramp"] * 4
    with open_dataset("shot.h5") as data:
        gathers = data.read_gathers(rows)
        assert data.config.velocity.imported == imported.models_identity
    assert np.abs(gathers).max(axis=(1, 2, 3)).min() > 0
    assert not np.array_equal(gathers[0], gathers[1])
