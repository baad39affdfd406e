"""The commands as a user types them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seistomo.config import load_config

TINY = [
    "velocity.shape=[24, 28]",
    "velocity.spacing=15.0",
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


def seistomo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "seistomo", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Take the whole way once: simulate, train, evaluate, predict."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "tiny.toml").write_text(load_config("", TINY).to_toml())
    data, run = folder / "data.h5", folder / "run"
    steps = [
        ("simulate", folder / "tiny.toml", "--out", data),
        ("train", folder / "tiny.toml", "--data", data, "--out", run),
        ("evaluate", run, "--data", data, "--out", folder / "evaluation"),
        ("predict", run, "--data", data, "--out", folder / "predictions.h5"),
        ("plot", data, "--out", folder / "data.png"),
        ("plot", run, "--out", folder / "run.png"),
        ("plot", folder / "evaluation", "--out", folder / "predictions.png"),
    ]
    for step in steps:
        done = seistomo(*step)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 1, "one line of result"
    return folder


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
    ("path", "words"),
    [
        ("data.h5", ["28 (20 train, 4 validation, 4 test)", "3 sources x 8 receivers", "8 Hz"]),
        ("run", ["adam, its own learning rate", "Epochs      2"]),
        ("evaluation", ["4 samples (test)", "prediction", "baseline", "oracle_1d"]),
        ("predictions.h5", ["28, 24 x 28 nodes", "best checkpoint"]),
    ],
)
def test_info_tells_what_is_there(work, path, words):
    done = seistomo("info", work / path)
    assert done.returncode == 0, done.stderr
    for word in words:
        assert word in done.stdout


def test_info_prints_the_configuration_and_checks(work):
    done = seistomo("info", work / "data.h5", "--config")
    assert "[velocity]" in done.stdout
    assert "samples = 28" in done.stdout
    assert "all 28 samples as written" in seistomo("info", work / "data.h5", "--check").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("simulate tiny.toml --out data.h5", "exists already"),
        ("simulate tiny.toml --out new.h5 --set survey.souces=3", "did you mean survey.sources?"),
        ("simulate tiny.toml --out new.h5 --set survey.frequency=15", "survey.frequency = 15"),
        ("simulate tiny.toml --out new.h5 --set survey.source_x=[-1,9]", "0 to 405 m"),
        ("simulate tiny.toml --out new.h5 --resume --overwrite", "not both"),
        ("simulate nothing --out new.h5", "no such file"),
        ("simulate tiny.toml --out new.h5 --device tpu", "tpu"),
        ("train tiny.toml --data none.h5 --out new", "none.h5: no such file"),
        ("train tiny.toml --data tiny.toml --out new", "not an HDF5 file"),
        ("train tiny.toml --data data.h5 --out run", "exists already"),
        ("train tiny.toml --data data.h5 --out new --optimizer adm", "adam"),
        ("train tiny.toml --data data.h5 --out new --set training.batch_size=99", "batch_size"),
        ("train tomography --data data.h5 --out new", "velocity.shape"),
        ("evaluate none --data data.h5 --out new", "none"),
        ("evaluate run --data data.h5 --out evaluation", "exists already"),
        ("evaluate run --data data.h5 --out new --split tets", "tets"),
        ("plot data.h5 --out data.png", "exists already"),
        ("plot data.h5 --out figure.doc", ".png"),
        ("info none.h5", "none.h5"),
        ("merge data.h5 data.h5 --out new.h5", "both hold samples 0 to 27"),
        ("simulate", "Missing argument"),
        ("simulate tiny.toml --out new.h5 --samples many", "--samples"),
    ],
)
def test_bad_input_is_one_line_and_status_2(work, arguments, words):
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    words_of_call = arguments.split()
    named = [word if "=" in word else work / word for word in words_of_call]
    keep = {"--set", "--out", "--data", "--resume", "--overwrite", "--device", "--optimizer"}
    keep |= {"--split", "--samples", "simulate", "train", "evaluate", "plot", "info", "merge"}
    keep |= {"tpu", "adm", "tets", "many", "tomography", "nothing"}
    command = [
        word if word in keep else path for word, path in zip(words_of_call, named, strict=True)
    ]
    done = seistomo(*command)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("warning", "Usage"))]
    lines = [line for line in lines if line.strip() and not line.startswith("Try ")]
    errors = [line for line in lines if line.lower().startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert words in errors[0]
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before


def test_one_line_stays_one_line_whatever_was_typed(tmp_path):
    done = seistomo("info", tmp_path / "two\nlines.h5")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_quiet_leaves_only_the_result(work, tmp_path):
    done = seistomo(
        "simulate", work / "tiny.toml", "--samples", 2, "--out", tmp_path / "d.h5", "-q"
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert all(line.startswith("warning") for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    "command", ["simulate", "merge", "train", "evaluate", "predict", "plot", "info"]
)
def test_every_command_has_help_with_an_example(command):
    done = seistomo(command, "--help")
    assert done.returncode == 0
    assert f"Example: seistomo {command}" in done.stdout
    assert "--quiet" in done.stdout


def test_the_five_lines_of_the_readme_run(tmp_path, monkeypatch):
    import seistomo as package

    readme = (Path(package.__file__).parents[1] / "README.md").read_text()
    code = re.search(r"```python\n(import seistomo\n.*?)```", readme, re.DOTALL).group(1)
    monkeypatch.chdir(tmp_path)
    code = code.replace('load_config("quickstart")', f"load_config('', {TINY!r})")
    names = {}
    exec(code, names)
    assert names["velocity"].shape == (1, 24, 28)
    assert names["metrics"]["samples"] == 4
    assert (tmp_path / "evaluation" / "report.html").is_file()
