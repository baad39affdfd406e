"""The page, the numbers and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from seistomo.benchmarks.simulate.bench import Bench
from seistomo.benchmarks.simulate.run import SimulateOptions, run_simulate_benchmark
from seistomo.errors import InputError


@pytest.fixture
def options(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "models_for", lambda self, seconds=0: 2)
    return SimulateOptions(
        tmp_path / "out",
        config=str(tiny_file),
        samples=4,
        repeats=1,
        device="cpu",
        threads=1,
        command="seistomo benchmark simulate",
    )


def test_page_and_numbers(options):
    before = torch.get_num_threads()
    page = run_simulate_benchmark(options)
    assert torch.get_num_threads() == before
    assert sorted(path.name for path in options.out.iterdir()) == [
        "simulate-tiny.json",
        "simulate-tiny.md",
    ]
    assert (options.out / "simulate-tiny.md").read_text() == page
    for heading in ("Throughput", "simulation.accuracy", "dataset.storage"):
        assert f"## {heading}\n" in page
    content = json.loads((options.out / "simulate-tiny.json").read_text())
    best = content["best"]
    assert f"--set simulation.accuracy={best['simulation.accuracy']}" in page
    assert set(content["choices"]) == {"accuracy", "receivers", "models_per_call", "storage"}
    assert content["throughput"]["samples"] == 4
    assert content["machine"]["threads"] == 1
    assert content["config"]["survey"]["sources"] == 4

    with pytest.raises(InputError, match=r"holds simulate-tiny\.json already; give --overwrite"):
        run_simulate_benchmark(options)


def test_settings_are_applied_and_checked(options):
    with pytest.raises(InputError, match=r"survey\.time_samples = 20"):
        run_simulate_benchmark(replace(options, settings=("survey.time_samples=20",)))
    assert not options.out.exists()


def test_a_failure_leaves_no_data_behind(options, monkeypatch):
    def fail(bench, samples):
        (bench.folder / "data.h5").touch()
        raise RuntimeError("broken")

    monkeypatch.setattr("seistomo.benchmarks.simulate.run.measure_throughput", fail)
    with pytest.raises(RuntimeError, match="broken"):
        run_simulate_benchmark(options)
    assert list(options.out.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"repeats": 0}, "--repeats 0: must be at least 1"),
        ({"threads": -1}, "--threads -1: must be at least 0"),
        ({"samples": 0}, "--samples 0: must be at least 1"),
    ],
)
def test_bad_options_are_refused(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        SimulateOptions(tmp_path, **wrong)


def test_a_file_is_no_folder(options, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no folder"):
        run_simulate_benchmark(replace(options, out=tmp_path / "file"))
