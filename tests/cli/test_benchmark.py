import json
import shlex
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from seistomo.benchmarks.mnist_data import FILES
from seistomo.cli import app

SMALL = "--batch-size 40 --pixels unit --device cpu --threads 1"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Write 240 training and 60 test images of noise as IDX files."""
    folder, random = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    for part, name in FILES.items():
        count = 240 if part.startswith("train") else 60
        shape = (count, 28, 28) if part.endswith("images") else (count,)
        header = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
        content = random.integers(0, 10, shape, dtype=np.uint8)
        (folder / name).write_bytes(header + content.tobytes())
    return folder


@pytest.fixture
def mnist(digits, tmp_path):
    def call(arguments, data=True):
        source = ["--data", str(digits)] if data else []
        words = ["benchmark", "mnist", *shlex.split(arguments), *source]
        if "--smoke" not in words:
            words += ["--out", str(tmp_path / "out")]
        return CliRunner().invoke(app, words)

    return call


def test_an_optimizer_is_run_and_one_line_says_so(mnist, tmp_path):
    done = mnist(f"--optimizer adam --epochs 2 --repeats 2 --set eps=1e-7 {SMALL}")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 1
    out = tmp_path / "out"
    assert done.stdout.startswith(f"{out / 'adam-0.01-b40-unit.md'}: adam reached")
    summary = json.loads((out / "adam-0.01-b40-unit.json").read_text())
    assert summary["settings"]["options"] == {"eps": 1e-7}
    assert summary["repeats"] == 2
    [run, _] = [json.loads(path.read_text()) for path in sorted(out.glob("runs/*.json"))]
    assert [entry["epoch"] for entry in run["history"]] == [1, 2]
    assert set(run["history"][0]) >= {
        *("iteration", "seconds", "train_loss", "test_loss", "test_accuracy", "learning_rate"),
        *("gradient_evaluations", "ggn_products"),
    }
    assert mnist(f"--optimizer adam --epochs 2 --repeats 2 --set eps=1e-7 {SMALL}").exit_code == 0


def test_a_smoke_run_that_misses_ends_with_status_1(mnist, monkeypatch):
    from seistomo.benchmarks import smoke

    monkeypatch.setattr(smoke, "EPOCHS", 1)
    done = mnist("--smoke --optimizer adam --device cpu")
    assert done.exit_code == 1
    assert "threshold 90% MISSED" in done.stdout


def test_curvature_samples_and_the_papers_defaults_reach_the_optimizer(mnist, tmp_path):
    arguments = "--optimizer sqgn --curvature-samples 20 --set full_gradient_interval=never"
    assert mnist(f"{arguments} --epochs 1 --repeats 1 {SMALL}").exit_code == 0
    [run] = (tmp_path / "out").glob("runs/*.json")
    settings = json.loads(run.read_text())["settings"]
    assert settings["learning_rate"] == 0.1
    assert settings["options"] == {
        "history": 20,
        "pair_interval": 1,
        "damping": 0.1,
        "full_gradient_interval": "never",
        "curvature_samples": 20,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "give one of --optimizer, --table, --study, --smoke"),
        ("--table 1 --study stuck", "give one of"),
        ("--table 7", "--table 7: must be one of 1, 2, 3, ablation"),
        ("--study speed", "--study speed: must be one of stuck, sensitivity, pairs, race"),
        ("--table 1 --learning-rate 1", "--learning-rate: does not go with --table"),
        ("--table 1 --optimizer adam", "--optimizer: does not go with --table"),
        ("--study race --pixels raw", "--pixels: does not go with --study race"),
        ("--optimizer adam --seeds 3", "--seeds: does not go with --optimizer"),
        ("--optimizer adm --learning-rate 1 --batch-size 40", "did you mean adam?"),
        ("--optimizer my.Own", "my.Own: needs a --learning-rate"),
        ("--optimizer adam --set eps", "--set eps: must look like option=value"),
        ("--optimizer adam --set epss=1 --batch-size 40", "did you mean eps?"),
        ("--optimizer adam --batch-size 1000", "there are 240 training samples"),
        ("--optimizer adam --epochs 0", "--epochs 0: must be at least 1"),
        ("--optimizer adam --schedule linear", "must be one of constant, cosine"),
        ("--optimizer adam --pixels half", "must be one of raw, unit"),
        ("--optimizer adam --device tpu --batch-size 40", "tpu"),
        ("--study race --target 97", "--target 97: must lie between 0 and 1"),
        ("--study race --optimizer adam,lion", "the race knows"),
    ],
)
def test_bad_input_is_one_line_and_status_2(mnist, tmp_path, arguments, words):
    done = mnist(arguments)
    assert done.exit_code == 2, done.output
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not list((tmp_path / "out").glob("runs/*.json"))


def test_a_folder_without_mnist_is_refused(mnist, tmp_path):
    done = mnist(f"--optimizer adam --data {shlex.quote(str(tmp_path))}", data=False)
    assert done.exit_code == 2
    assert "holds no train-images-idx3-ubyte" in done.stderr


def test_help_has_an_example_and_says_that_runs_go_on(mnist):
    done = CliRunner().invoke(app, ["benchmark", "mnist", "--help"])
    assert "Example: seistomo benchmark mnist --table 1" in done.stdout
    assert "goes on where it was" in " ".join(done.stdout.split())
    assert "mnist" in CliRunner().invoke(app, ["benchmark", "--help"]).stdout


def test_an_interrupted_command_says_how_to_go_on(digits, tmp_path):
    arguments = f"benchmark mnist --optimizer adam --epochs 5000 --repeats 1 {SMALL}"
    words = [*arguments.split(), "--data", str(digits), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "seistomo", *words],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/runs/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: seistomo {shlex.join(words)}" in errors
    assert "Traceback" not in errors
