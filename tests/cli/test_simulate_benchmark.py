"""``seistomo benchmark simulate``."""

import pytest
from typer.testing import CliRunner

from seistomo.benchmarks.simulate import run as benchmark
from seistomo.cli import app


@pytest.fixture
def asked(monkeypatch):
    """Return the options that the command calls the benchmark with."""
    found = []

    def pretend(options):
        found.append(options)
        return "# the page"

    monkeypatch.setattr(benchmark, "run_simulate_benchmark", pretend)
    return found


def run(*words):
    return CliRunner().invoke(app, ["benchmark", "simulate", *words])


def test_every_option_counts(asked, tmp_path):
    words = ["--config", "openfwi", "--samples", "5", "--repeats", "2", "--device", "cpu"]
    words += ["--threads", "2", "--set", "survey.sources=3", "--set", "survey.receivers=9"]
    done = run(*words, "--out", str(tmp_path), "--overwrite", "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output.strip() == "# the page"
    (options,) = asked
    assert (options.config, options.samples, options.repeats) == ("openfwi", 5, 2)
    assert (options.device, options.threads, options.overwrite) == ("cpu", 2, True)
    assert options.settings == ("survey.sources=3", "survey.receivers=9")
    assert options.out == tmp_path
    assert options.name == "simulate-openfwi"


def test_without_options_it_is_the_papers_size(asked):
    assert run().exit_code == 0
    assert (asked[0].config, asked[0].samples, asked[0].settings) == ("tomography", None, ())


def test_bad_options_end_with_one_line(tmp_path):
    done = run("--repeats", "0", "--out", str(tmp_path))
    assert done.exit_code == 2
    assert done.output.strip() == "error: --repeats 0: must be at least 1"
