"""The pipeline beside the bare loop."""

from dataclasses import replace

import pytest
import torch

from seistomo.benchmarks.simulate import throughput, turns
from seistomo.benchmarks.simulate.throughput import (
    candidate_settings,
    enough_samples,
    measure_throughput,
    search_settings,
)
from seistomo.simulation.bare import BareSettings


def test_candidates_keep_all_threads_busy():
    divided = [BareSettings(2, 1, shots) for shots in (4, 8, 16, 31, 62)]
    inside = [BareSettings(1, 2, 31), BareSettings(1, 2, 124)]
    assert candidate_settings(31, 2) == divided + inside
    assert {c.inner_threads for c in candidate_settings(31, 1)} == {1}
    assert [c.shots for c in candidate_settings(31, 0)] == [31, 124, 496, 1984]
    assert [c.shots for c in candidate_settings(31, 0, most_shots=500)] == [31, 124, 496]
    assert candidate_settings(31, 0, most_shots=7) == [BareSettings(1, 1, 7)]
    assert len(set(candidate_settings(1, 2))) == len(candidate_settings(1, 2))


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that nothing but its ``forward`` moves."""

    class Clock:
        now = 0.0

        def forward(self, seconds):
            self.now += seconds

    found = Clock()
    monkeypatch.setattr(turns.time, "perf_counter", lambda: found.now)
    return found


def test_the_search_gives_up_what_is_slow_and_finds_what_is_quick(bench, clock, monkeypatch):
    runs = []

    class Loop:
        def __init__(self, config, velocity, indices, device):
            assert len(velocity) == len(indices)

        def run(self, settings):
            runs.append(settings)
            clock.forward({2: 1.2, 4: 1.0}.get(settings.shots, 3.0) * settings.inner_threads)

    monkeypatch.setattr(throughput, "BareLoop", Loop)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    found = search_settings(bench, None)
    assert min(found, key=lambda settings: found[settings].median) == BareSettings(2, 1, 4)
    counts = {settings: len(timing.seconds) for settings, timing in found.items()}
    assert counts.pop(BareSettings(2, 1, 2)) == counts.pop(BareSettings(2, 1, 4)) == 3
    assert set(counts.values()) == {1}
    # Once more, at first: it does not count.
    assert runs.count(runs[0]) == len(found[runs[0]].seconds) + 1


def test_ratios_are_those_of_the_models_a_second(bench):
    found = measure_throughput(replace(bench, repeats=2), 5)
    assert found.samples == 5
    pairs = zip(found.bare.seconds, found.pipeline.seconds, found.ratios, strict=True)
    for bare, pipeline, ratio in pairs:
        assert ratio == pytest.approx(bare / pipeline)
    assert len(found.ratios) == len(found.outside) == 2
    assert all(0 <= share <= 1 for share in found.outside)
    page = found.tables()
    assert "| seistomo simulate |" in page
    assert "5 models a run" in page
    assert str(found.settings) in page
    record = found.record()
    assert record["ratio"] == pytest.approx(sum(record["ratios"]) / 2)
    assert record["bare_settings"] in record["search"]


@pytest.mark.parametrize(
    ("seconds", "threads", "samples"),
    [(0.45, 2, 40), (0.4, 2, 48), (1e-6, 2, 1024), (60.0, 2, 16), (60.0, 64, 256)],
)
def test_left_out_samples_are_whole_calls_of_all_threads(
    bench, monkeypatch, seconds, threads, samples
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert bench.config.simulation.models_per_call == 4
    assert enough_samples(bench, seconds) == samples
