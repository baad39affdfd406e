import dataclasses
import json

import pytest

from seistomo.benchmarks.tomography import rounds
from seistomo.benchmarks.tomography.budget import Budget, TimeIsUpError
from seistomo.benchmarks.tomography.rows import rows_for
from seistomo.benchmarks.tomography.runs import run_variants
from seistomo.config import with_overrides
from seistomo.errors import InputError

NAMES = ("adam-1e-3", "sgd")


@pytest.fixture
def jobs(base):
    longer = with_overrides(base, ["training.epochs=4"])
    return {row.name: row.config(longer) for row in rows_for(",".join(NAMES))}


def epochs(found):
    return {name: [one.epochs for one in outcomes] for name, outcomes in found.items()}


def test_all_runs_get_to_the_end_in_turns(place, jobs, monkeypatch):
    turns = []
    train_to = rounds._train_to

    def noting(place, job, level):
        turns.append((job.key, level))
        return train_to(place, job, level)

    monkeypatch.setattr(rounds, "_train_to", noting)
    found, complete = rounds.run_in_rounds(place, jobs, [0], Budget(1000))
    assert complete
    assert epochs(found) == {name: [4] for name in NAMES}
    assert turns[:2] == [("adam-1e-3-s0", 1), ("sgd-s0", 1)]
    # Round after round, each to the same epoch.
    assert [key for key, _ in turns] == ["adam-1e-3-s0", "sgd-s0"] * (len(turns) // 2)
    assert [level for _, level in turns[::2]] == [level for _, level in turns[1::2]]
    paces = json.loads((place.folder.path / "paces.json").read_text())
    assert set(paces) == set(NAMES)
    assert all(pace["epoch"] > 0 and pace["loading"] >= 0 for pace in paces.values())


def test_runs_made_in_rounds_are_those_made_at_once(place, jobs, tmp_path):
    other = dataclasses.replace(place, folder=type(place.folder)(tmp_path / "other"))
    found, _ = rounds.run_in_rounds(place, jobs, [0], Budget(1000))
    expected = run_variants(other, jobs, [0])
    for name in NAMES:
        [one], [whole] = found[name], expected[name]
        assert one.scores == whole.scores
        losses = [[row.validation_loss for row in run.history] for run in (one, whole)]
        assert losses[0] == losses[1]


def test_time_that_is_up_leaves_equal_epochs_and_the_next_call_goes_on(place, jobs, monkeypatch):
    levels = iter([1, 2, None])
    monkeypatch.setattr(rounds, "next_level", lambda *given: next(levels))
    found, complete = rounds.run_in_rounds(place, jobs, [0, 1], Budget(1000))
    assert not complete
    assert epochs(found) == {name: [2] for name in NAMES}
    monkeypatch.undo()
    found, complete = rounds.run_in_rounds(place, jobs, [0, 1], Budget(1000))
    assert complete
    assert epochs(found) == {name: [4, 4] for name in NAMES}
    assert [one.seed for one in found["sgd"]] == [0, 1]


def test_a_run_that_was_cut_off_catches_up_first(place, jobs, monkeypatch):
    train_to = rounds._train_to

    def cut_off(place, job, level):
        if job.name == "sgd" and level > 1:
            raise TimeIsUpError
        return train_to(place, job, level)

    monkeypatch.setattr(rounds, "_train_to", cut_off)
    monkeypatch.setattr(rounds, "next_level", lambda levels, *_: min(levels.values()) + 1)
    found, complete = rounds.run_in_rounds(place, jobs, [0], Budget(1000))
    assert (epochs(found), complete) == ({"adam-1e-3": [2], "sgd": [1]}, False)
    monkeypatch.undo()
    turns = []

    def noting(place, job, level):
        turns.append((job.name, level))
        return train_to(place, job, level)

    monkeypatch.setattr(rounds, "_train_to", noting)
    assert rounds.run_in_rounds(place, jobs, [0], Budget(1000))[1]
    assert turns[0] == ("sgd", 2)


def test_a_run_of_another_process_ends_it_in_one_line(place, jobs):
    with place.folder.locked("sgd-s0"), pytest.raises(InputError, match="training sgd-s0"):
        rounds.run_in_rounds(place, jobs, [0], Budget(1000))
