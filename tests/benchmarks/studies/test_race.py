import json
import math
import statistics

import pytest

from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.runner import Runner
from seistomo.benchmarks.studies import race, race_trials
from seistomo.benchmarks.studies.race import run_race, time_spread
from seistomo.benchmarks.studies.race_trials import RaceSettings


@pytest.fixture
def given(tmp_path, mnist_folder, monkeypatch):
    monkeypatch.setattr(race_trials, "BATCH_SIZES", (10, 20))
    monkeypatch.setattr(race_trials, "PIXELS", ("unit",))
    return BenchmarkOptions(
        tmp_path / "out", str(mnist_folder), repeats=2, seed=4, device="cpu", threads=1
    )


def test_tunes_on_validation_and_runs_on_test_with_other_seeds(given, monkeypatch):
    asked = []
    run_all = Runner.run_all
    monkeypatch.setattr(
        Runner, "run_all", lambda self, jobs: (asked.extend(jobs), run_all(self, jobs))[1]
    )
    settings = RaceSettings(("adam", "sgd"), trials=3, target=0.6, trial_seconds=0.5)
    line = run_race(given, settings)
    assert "median time to 60.0%: adam" in line
    trials = [job for job in asked if job.split == "validation"]
    finals = [job for job in asked if job.split == "test"]
    assert len(trials) == 6
    assert {job.settings.seed for job in trials} == {4}
    assert [job.settings.seed for job in finals] == [5, 6, 5, 6]
    summary = json.loads((given.out / "study-race.json").read_text())
    for name, found in summary["optimizers"].items():
        times = [trial["seconds_to_target"] for trial in found["trials"]]
        arrived = [time for time in times if time is not None]
        if arrived:
            best = found["trials"][times.index(min(arrived))]["settings"]
            assert found["best"] == best
        assert found["trial_seconds"] == pytest.approx(
            sum(trial["seconds"] for trial in found["trials"])
        )
        assert len(found["seconds_to_target"]) == 2, name
    assert "trials, s" in (given.out / "study-race.md").read_text()
    assert (given.out / "study-race.png").stat().st_size > 10_000


def test_the_fastest_wins_and_without_any_the_most_accurate(monkeypatch):
    class Run:
        diverged = ""

        def __init__(self, time, accuracy):
            self.time = time
            self.seen = type("Entry", (), {"test_accuracy": accuracy})

        def seconds_to(self, target):
            return self.time

        def looks(self):
            return [self.seen]

    slow, fast = Run(9.0, 0.99), Run(3.0, 0.97)
    poor, better = Run(math.inf, 0.3), Run(math.inf, 0.9)
    order = sorted([poor, slow, better, fast], key=lambda run: race._merit(run, 0.97))
    assert order == [fast, slow, better, poor]


def test_times_say_who_never_arrived():
    assert time_spread([math.inf]) == "never"
    assert time_spread([2.0]) == "2.00"
    expected = f"3.00 ± {statistics.stdev([2.0, 4.0]):.2f} (1 never)"
    assert time_spread([2.0, math.inf, 4.0]) == expected
