"""``seistomo benchmark generalization``."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from seistomo.benchmarks.generalization import run as benchmark
from seistomo.cli import app


@pytest.fixture
def asked(monkeypatch):
    """Return the options that the command calls the benchmark with."""
    found = []

    def pretend(options):
        found.append(options)
        return "# the page"

    monkeypatch.setattr(benchmark, "run_generalization", pretend)
    return found


def run(*words):
    return CliRunner().invoke(app, ["benchmark", "generalization", *words])


def test_every_option_counts(asked, tmp_path):
    words = ["RUN", "--data", "d.h5", "--samples", "7", "--marmousi", "m.bin", "--seed", "3"]
    words += ["--format", "raw", "--shape", "221x601", "--units", "km/s", "--file-spacing", "15"]
    words += ["--device", "cpu", "--threads", "2", "--out", str(tmp_path), "--overwrite", "-q"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert done.output.strip() == "# the page"
    (options,) = asked
    assert (options.run, options.data, options.marmousi) == (
        Path("RUN"),
        Path("d.h5"),
        Path("m.bin"),
    )
    assert (options.samples, options.seed, options.threads) == (7, 3, 2)
    assert (options.device, options.overwrite, options.out) == ("cpu", True, tmp_path)
    file = options.marmousi_file
    assert (file.format, file.shape, file.units) == ("raw", (221, 601), "km/s")
    assert file.spacing == (15.0, 15.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "0"], "--samples 0: must be at least 2, to have a spread"),
        (["--shape", "3"], "--shape 3: must be two numbers above 0"),
        (["--units", "mph"], "--units mph: must be one of m/s, km/s, ft/s"),
        ([], "run nowhere: no such directory"),
    ],
)
def test_bad_input_ends_with_one_line(tmp_path, words, message):
    done = run("nowhere", *words, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert done.output.startswith(f"error: {message}")
    assert len(done.output.strip().splitlines()) == 1
