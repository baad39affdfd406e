import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from seistomo.benchmarks.tomography import runs
from seistomo.benchmarks.tomography.command import TomographyOptions
from seistomo.benchmarks.tomography.outcome import read_history
from seistomo.benchmarks.tomography.studies import race_page
from seistomo.benchmarks.tomography.studies.race import Race, RaceOptions, run_race
from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.training import loop

# What the clock below shows more at each look; an epoch of 4 steps takes 4 of them.
TICK = 0.01
TRIALS = RaceOptions(trials=2, seconds=0.2)


@pytest.fixture
def options(tmp_path, data):
    return TomographyOptions(
        tmp_path / "out", "tiny", "adam,sgd", 2, 4, None, data, "cpu", 1, command="seistomo x"
    )


@pytest.fixture(autouse=True)
def ticking(monkeypatch):
    """Let every look at the clock take as long, so that lengths are the same again."""
    now = [0.0]

    def perf_counter():
        now[0] += TICK
        return now[0]

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=perf_counter))


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Leave the drawing out, which takes longer than the rest; return what would be drawn."""
    seen = []
    monkeypatch.setattr(
        race_page.figures, "tomography_race_figure", lambda *given: seen.append(given)
    )
    monkeypatch.setattr(race_page.figures, "save", lambda figure, path: None)
    return seen


def summary(out):
    return json.loads((out / "study-race.json").read_text())


def rounded(value):
    """Return JSON content with times that are alike up to rounding equal."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_tunes_on_validation_alone_and_runs_the_best_with_new_seeds(options, drawn):
    line = run_race(options, TRIALS)
    assert "median time to a loss of" in line
    found = summary(options.out)
    assert list(found["optimizers"]) == ["adam", "sgd"]
    # The test split of no trial was looked at.
    scored = {path.stem for path in (options.out / "scores").glob("*.json")}
    for name, one in found["optimizers"].items():
        assert [trial["name"] for trial in one["trials"]] == [f"race-{name}-1", f"race-{name}-2"]
        assert one["seeds"] == [5, 6]
        best = next(trial for trial in one["trials"] if trial["name"] == one["best"])
        if name == "adam":
            losses = [trial["validation_loss"] for trial in one["trials"]]
            assert best["validation_loss"] == min(losses)
        scored -= {f"{one['best']}-s5", f"{one['best']}-s6"}
        for trial in one["trials"]:
            history = read_history(options.out / "runs" / f"{trial['name']}-s4")
            assert history[-1].seconds < TRIALS.seconds + TICK / 2
            assert history[-1].epoch == trial["epochs"] == trial["schedule_epochs"] >= 2
        costs = [trial["seconds"] for trial in one["trials"]]
        assert one["tuning_seconds"] == pytest.approx(sum(costs))
    # Nor that of others than the best, and Adam's with half the epochs.
    assert scored == {f"{found['optimizers']['adam']['best']}-half-s{seed}" for seed in (5, 6)}
    [control] = found["controls"].values()
    assert control["best"] == found["optimizers"]["adam"]["best"]
    halves = [run["epochs"] for run in control["runs"]]
    assert max(halves) <= max(1, control["settings"]["schedule_epochs"] // 2)
    adam = found["optimizers"]["adam"]
    losses = [run["validation_loss"] for run in adam["runs"]]
    assert found["target"] == pytest.approx(sum(losses) / 2)
    [(curves, target)] = drawn
    assert list(curves) == ["Adam", "SGD", "Adam, half the time"]
    assert target == found["target"]
    _is_a_cosine_to_the_end(options.out / "runs" / "race-adam-1-s4")
    page = (options.out / "study-race.md").read_text()
    assert "| Adam 2 |" in page
    assert "of 2 runs arrive" in page


def _is_a_cosine_to_the_end(run):
    rates = [row.learning_rate for row in read_history(run)]
    assert load_config(run / "config.toml").training.epochs == len(rates)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.01 * rates[0])


def test_an_interrupted_race_ends_as_one_that_was_not(options, tmp_path, monkeypatch):
    whole = replace(options, out=tmp_path / "whole", optimizers="adam", repeats=1)
    run_race(whole, TRIALS)
    original, calls = loop.BatchObjective.__init__, []

    def interrupted(*arguments, **more):
        calls.append(None)
        # Before a pace is known, in a trial, in a final run.
        if len(calls) in (3, 10, 25, 40):
            raise KeyboardInterrupt
        return original(*arguments, **more)

    monkeypatch.setattr(loop.BatchObjective, "__init__", interrupted)
    pieces = replace(whole, out=options.out)
    count = 0
    while True:
        try:
            run_race(pieces, TRIALS)
        except KeyboardInterrupt:
            count += 1
            continue
        break
    assert count == 4
    assert rounded(summary(options.out)) == rounded(summary(whole.out))


def test_more_is_added_and_nothing_is_run_twice(options, monkeypatch):
    run_race(replace(options, optimizers="adam", repeats=1), replace(TRIALS, trials=1))
    trained = []
    original = runs.train_job

    def noting(place, job, stop=None):
        trained.append(job.key)
        return original(place, job, stop)

    monkeypatch.setattr(runs, "train_job", noting)
    run_race(replace(options, optimizers="adam", repeats=1), replace(TRIALS, trials=1))
    assert trained == []
    run_race(replace(options, optimizers="adam,svrg", repeats=1), replace(TRIALS, trials=1))
    assert set(trained) == {"race-svrg-1-s4", "race-svrg-1-s5"}
    # Who has run stays in the table.
    run_race(replace(options, optimizers="adam", repeats=1), replace(TRIALS, trials=1))
    assert list(summary(options.out)["optimizers"]) == ["adam", "svrg"]
    trained.clear()
    again = replace(options, optimizers="adam", repeats=1, overwrite=True)
    run_race(again, replace(TRIALS, trials=1))
    assert set(trained) == {"race-adam-1-s4", "race-adam-1-s5", "race-adam-1-half-s5"}
    assert list(summary(options.out)["optimizers"]) == ["adam"]


def test_trials_that_all_diverge_leave_a_row(options, monkeypatch):
    from seistomo.benchmarks.tomography.studies import race_trials

    lost = {**race_trials.CHOICES["sgd"], "learning_rate": (1e30,)}
    monkeypatch.setitem(race_trials.CHOICES, "sgd", lost)
    run_race(replace(options, repeats=1), replace(TRIALS, trials=1))
    found = summary(options.out)["optimizers"]["sgd"]
    assert found["best"] is None
    assert "diverged in epoch 1" in found["trials"][0]["diverged"]
    page = (options.out / "study-race.md").read_text()
    assert "- SGD: all trials diverged." in page
    assert "| diverged |" in page


@pytest.mark.parametrize(
    ("changes", "race", "words"),
    [
        ({"optimizers": "adam,lbfgs"}, {}, "--optimizers lbfgs: the race knows adam, sqgn, sgn"),
        ({"optimizers": "sqgn"}, {}, "--optimizers sqgn: the race needs adam"),
        ({}, {"trials": 0}, "--trials 0: must be at least 1"),
        ({}, {"trials": 99}, "--trials 99: at most 24, which is Adam's grid"),
        ({}, {"seconds": -1.0}, "--trial-seconds -1: must be a positive number"),
        ({"settings": ("training.schedule=cosine",)}, {}, "the race decides that itself"),
        ({"size": "big"}, {}, "--size big: must be one of paper, small, tiny"),
    ],
)
def test_what_cannot_be_is_refused(options, changes, race, words):
    with pytest.raises(InputError, match=words) as found:
        run_race(replace(options, **changes), RaceOptions(**race))
    assert "\n" not in str(found.value)


def test_other_settings_in_the_same_folder_are_refused(options):
    Race(options, TRIALS)._keep()
    (options.out / "runs").mkdir()
    with pytest.raises(InputError, match=r"race.json was made with trial_seconds = 0.2, not 0.5"):
        Race(options, replace(TRIALS, seconds=0.5))
    with pytest.raises(InputError, match="was made with seed = 4, not 9"):
        Race(replace(options, seed=9), TRIALS)
    held = Race(options, TRIALS)
    with (
        held.study.folder.locked("race"),
        pytest.raises(InputError, match="another process is racing there"),
    ):
        run_race(options, TRIALS)


def test_time_that_is_up_is_gone_on_from(options):
    line = run_race(replace(options, minutes=1e-6), TRIALS)
    assert "time is up; go on with the same command" in line
    assert not (options.out / "study-race.json").exists()


def test_seconds_follow_the_size(options):
    for size, seconds in (("tiny", 0.5), ("small", 120.0)):
        given = replace(options, size=size, data=None, out=options.out / size)
        assert Race(given, RaceOptions()).seconds == seconds
    assert math.isfinite(Race(options, TRIALS).seconds)
