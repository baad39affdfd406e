"""The commands as a user types them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import seistomo
from seistomo.cli import app
from seistomo.dataset import open_dataset, open_velocity


def call(line):
    return CliRunner().invoke(app, line.split())


def test_the_whole_way_leaves_what_was_promised(work):
    assert sorted(path.name for path in (work / "run").iterdir() if path.is_file()) == [
        "best.pt",
        "checkpoint.pt",
        "config.toml",
        "history.csv",
        "metrics.json",
    ]
    assert (work / "run" / "figures" / "convergence.png").is_file()
    metrics = json.loads((work / "evaluation" / "metrics.json").read_text())
    for part in (metrics, metrics["baseline"], metrics["oracle_1d"]):
        assert {"mse", "rmse", "mae", "ssim", "salt_iou", "loss"} <= set(part)
    assert metrics["samples"] == 4
    for name in ("report.html", "samples.csv", "predictions.h5", "figures"):
        assert (work / "evaluation" / name).exists()
    for name in ("data.png", "run.png", "predictions.png"):
        assert (work / name).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("info data.h5", ["28 (20 train, 4 validation, 4 test)", "3 sources x 8 receivers"]),
        ("info run", ["adam", "Epochs      2"]),
        ("info evaluation", ["4 samples (test)", "prediction", "baseline", "oracle_1d"]),
        ("info predictions.h5", ["28, 24 x 28 nodes", "best checkpoint"]),
        (
            "train tiny.toml --data data.h5 --out new --dry-run",
            ["44,228 weights", "at most 8, 8 at once", "3 steps", "2 epochs", "MB checkpoint.pt"],
        ),
        ("info data.h5 --config", ["[velocity]", "samples = 28"]),
        ("info data.h5 --check", ["all 28 samples as written"]),
        ("config survey wavelet", ["survey.frequency = 8.0", "Needs survey.wavelet ="]),
    ],
)
def test_what_is_there_is_told(work, line, words):
    done = call(line)
    assert done.exit_code == 0, done.output
    for word in words:
        assert word in done.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("simulate tiny.toml --out data.h5", "exists already"),
        ("simulate tiny.toml --out new.h5 --set survey.souces=3", "did you mean survey.sources?"),
        ("simulate tiny.toml --out new.h5 --resume --overwrite", "not both"),
        ("simulate tiny.toml --out new.h5 --device tpu", "tpu"),
        ("simulate tiny.toml --out new.h5 --shard 5/4", "--shard 5/4: must be i/n"),
        (
            "simulate tiny.toml --out new.h5 --velocity data.h5 --set velocity.layers=[1,2]",
            "--set velocity.layers=[1,2]: has no effect with --velocity",
        ),
        ("simulate", "seistomo simulate: missing argument 'CONFIG'"),
        ("simulte", "did you mean 'simulate'?"),
        ("simulate tiny.toml --out new.h5 --samples many", "--samples"),
        (f"simulate tiny.toml --out new.h5 --se{'x' * 1000}", "no such option"),
        ("train tiny.toml --data none.h5 --out new", "none.h5: no such file"),
        ("train tiny.toml --data data.h5 --out run", "exists already"),
        ("train tiny.toml --data data.h5 --out new --dry-run --resume", "not both"),
        ("train tiny.toml --data data.h5 --out new --optimizer adm", "adam"),
        ("simulate tiny.toml --out loop.h5", "loop.h5: is a link to itself"),
        ("simulate tiny.toml --out new", "--out new: must end in .h5 or .hdf5"),
        ("merge data.h5 --out new.npz", "--out new.npz: must end in .h5"),
        ("import data.h5 --out new.csv", "--out new.csv: must end in .h5"),
        ("predict run --data data.h5 --out new.txt", "--out new.txt: must end in .h5"),
        ("export data.h5 --format npz --out new.h5", "--out new.h5: must end in .npz"),
        ("info none.h5", "none.h5"),
        ("info .", "of what it holds: data.h5, loop.h5, predictions.h5, evaluation"),
        ("config xylophone", "xylophone"),
        (f"info {'n' * 2000}", "nnn"),
    ],
)
def test_bad_input_is_one_line_and_status_2(work, line, words):
    done = call(line)
    assert done.exit_code == 2, done.output
    (error,) = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert len(error) < 320
    assert words.lower() in error.lower()


@pytest.mark.parametrize("words", [["info", "two\nlines.h5"], ["two\nlines"], ["--two\nlines"]])
def test_one_line_stays_one_line_whatever_was_typed(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


def test_help_fits_a_screen():
    commands = dict(re.findall(r"^  ([a-z]+) +(.+)$", call("--help").stdout, re.MULTILINE))
    assert {"simulate", "train", "benchmark"} <= set(commands)
    assert all(text.endswith(".") and not text.endswith("..") for text in commands.values())
    for name in ("", *commands):
        text = call(f"{name} --help").stdout
        assert len(text.splitlines()) <= 50, name
        assert "seistomo config" in text or name not in ("", "simulate", "train")


def test_a_job_array_and_the_merge(run):
    run("simulate tiny.toml --out whole.h5 --samples 6 --set dataset.shard_samples=2 -q")
    part = "simulate tiny.toml --samples 6 --set dataset.shard_samples=2 -q --out parts/part"
    for i in (1, 3):
        assert f"(shard {i}/3), 2 simulated" in run(f"{part}-{i}.h5 --shard {i}/3").out
    assert "seed 0; part 3 of 3: 4 to 5 of 6" in run("info parts/part-3.h5").out
    lacking = "2 of 6 samples are missing: 2 to 3 (made by simulate --shard i/3 for i = 2)"
    for line in (
        "merge parts --out data.h5",
        "info parts",
        "export parts --format npz --out x.npz",
        "plot parts --out x.png",
    ):
        (error,) = run(f"{line} -q", status=2).err.splitlines()
        assert lacking in error
    assert "samples are missing" in run("merge parts/part-1.h5 --out d.h5 -q", status=2).err
    assert "d.h5: 2 samples" in run("merge parts/part-1.h5 --out d.h5 --partial -q").out
    run(f"{part}-2.h5 --shard 2/3")
    assert "data.h5: 6 samples" in run("merge parts --out data.h5 -q").out
    assert Path("data.h5").read_bytes() == Path("whole.h5").read_bytes()
    assert "virtual.h5: 6 samples" in run("merge parts --out virtual.h5 --virtual -q").out
    # The parts are as good as the whole.
    words = run("info parts --check").out
    for word in ("parts: seistomo data set", "in 3 files", "all 6 samples as written"):
        assert word in words
    run("plot parts --out parts.png")
    for name in ("parts", "data.h5"):
        run(f"export {name} --format hdf5 --indices 1:4 --out {name}-some.h5")
    assert Path("parts-some.h5").read_bytes() == Path("data.h5-some.h5").read_bytes()
    for line in ("export parts --format hdf5", "merge parts --virtual"):
        error = run(f"{line} --out parts/part-1.h5 --overwrite", status=2).err
        assert "error: --out parts/part-1.h5: is " in error
    run("simulate tiny.toml --out again.h5 --velocity parts --samples 4 -q")
    with open_dataset("again.h5") as again, open_dataset("parts") as parts:
        assert (again.read_velocity([3]) == parts.read_velocity([3])).all()


def test_the_five_lines_of_the_readme_run(run, tmp_path):
    readme = (Path(seistomo.__file__).parents[1] / "README.md").read_text()
    code = re.search(r"```python\n(import seistomo\n.*?)```", readme, re.DOTALL).group(1)
    names = {}
    exec(code.replace('"quickstart"', "'tiny.toml'"), names)
    assert names["velocity"].shape == (1, 24, 28)
    assert names["metrics"]["samples"] == 4
    assert (tmp_path / "evaluation" / "report.html").is_file()


def test_an_ensemble_is_a_run_to_every_command(run, made):
    line = f"train tiny.toml --data {made / 'data.h5'} --out ensemble --members 2 -q"
    assert "must be" in run(f"{line} --shard 2/1", status=2).err
    assert "ensemble: 1 member" in run(f"{line} --shard 2/2").out
    alone = run(f"predict ensemble --data {made / 'data.h5'} --out p.h5", status=2)
    assert "needs two members" in alone.err
    assert "ensemble: 2 members, validation loss" in run(f"{line} --resume").out
    assert "within 1 σ" in run(f"evaluate ensemble --data {made / 'data.h5'} --out ev -q").out
    found = json.loads(Path("ev/metrics.json").read_text())
    assert len(found["ensemble"]["members"]) == 2
    assert found["ensemble"]["rmse"] == pytest.approx(found["rmse"])
    report = Path("ev/report.html").read_text()
    assert "--members 2" in report
    for name in ("uncertainty", "reliability", "convergence"):
        assert Path(f"ev/figures/{name}.png").stat().st_size > 10_000
    assert Path("ensemble/figures/convergence.png").is_file()
    run(f"predict ensemble --data {made / 'data.h5'} --out p.h5 --raw -q")
    with open_velocity("p.h5") as predictions, open_dataset(made / "data.h5") as data:
        each = seistomo.load_run("ensemble").predict_each(data.read_gathers([5]))
        std = predictions.read_velocity_std([5])
        np.testing.assert_allclose(std, each.std(axis=0, ddof=1), rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(predictions.read_velocity([5]), each.mean(axis=0), rtol=1e-6)
    for line, words in (
        ("info ensemble", ["ensemble of 2 seistomo runs", "member-1"]),
        ("info ensemble --config", ["seed = 0"]),
        ("info ev", ["members alone"]),
        ("info p.h5 --check", ["velocity_std", "all 28 models as written"]),
        ("export p.h5 --format hdf5 --out v.h5", ["28 models"]),
    ):
        said = run(line).out
        assert all(word in said for word in words), said
    with open_velocity("p.h5") as predictions, open_velocity("v.h5") as models:
        assert predictions.models_identity == models.models_identity
