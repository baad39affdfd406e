import json
import shlex

import pytest
from typer.testing import CliRunner

from seistomo.benchmarks.tomography import runs
from seistomo.cli import app

TINY = "--size tiny --set dataset.samples=14 --device cpu --threads 1"


def call(out, arguments):
    words = ["benchmark", "tomography", "--out", str(out), *shlex.split(arguments)]
    return CliRunner().invoke(app, words)


def test_studies_share_data_and_equal_runs_with_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_begin_measuring", lambda job: None)
    out = tmp_path / "out"
    done = call(out, f"{TINY} --study ablation --variants gain --repeats 1 --epochs 1")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{out / 'study-ablation.md'}: lowest validation loss: ")
    made = (out / "data.h5").stat().st_mtime_ns
    race = "--study race --optimizers adam,sqgn --trials 1 --trial-seconds 0.05 --repeats 1"
    done = call(out, f"{TINY} {race}")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{out / 'study-race.md'}: median time to a loss")
    assert len(done.stdout.splitlines()) == 1
    assert (out / "data.h5").stat().st_mtime_ns == made
    for name in ("study-ablation", "study-race"):
        assert (out / f"{name}.png").stat().st_size > 10_000
        assert json.loads((out / f"{name}.json").read_text())["machine"]["device"] == "cpu"
    done = call(out, f"{TINY} --seed 3 {race}")
    assert done.exit_code == 2
    assert "was made with seed = 0, not 3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--study abblation", "--study abblation: must be one of ablation, race"),
        ("--variants gain", "--variants: goes with --study ablation alone"),
        ("--study ablation --trials 3", "--trials: goes with --study race alone"),
        ("--study race --epochs 3", "--epochs: goes with the table and --study ablation alone"),
        ("--study race --trial-seconds 0", "--trial-seconds 0: must be a positive number"),
        ("--study race --optimizers sgn", "the race needs adam"),
        ("--study ablation --variants unnet", "--variants unnet: must be of baseline, "),
        ("--study ablation --repeats 0", "--repeats 0: must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, arguments, words):
    done = call(tmp_path / "out", f"{TINY} {arguments}")
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()
