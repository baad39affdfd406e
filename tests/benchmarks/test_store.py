import json
import math

import pytest
import torch

from seistomo.benchmarks.history import EpochEntry, Milestone, RunResult
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.errors import InputError

SETTINGS = RunSettings("adam", 0.01, epochs=3)


def entry(epoch, loss=0.5):
    return EpochEntry(epoch, 60 * epoch, 1.5 * epoch, loss, loss, 0.9, 0.01, 60.0 * epoch, 0.0)


RESULT = RunResult(tuple(entry(n) for n in (1, 2, 3)), restarts=1, lost_seconds=2.5)


@pytest.fixture
def folder(tmp_path):
    return BenchmarkFolder(tmp_path / "out")


def asked(epochs):
    return RunSettings("adam", 0.01, epochs=epochs)


def test_a_result_comes_back_and_serves_shorter_runs(folder):
    folder.save_result("key", SETTINGS, RESULT, {"machine": {}})
    assert folder.result("key", SETTINGS) == RESULT
    assert folder.result("key", asked(2)) == RESULT.first_epochs(2)
    assert folder.result("key", asked(4)) is None
    assert folder.result("other", SETTINGS) is None


def test_what_was_seen_within_epochs_comes_back(folder):
    watched = RunResult((entry(1),), milestones=(Milestone(20, 0.5, 0.8), Milestone(40, 1.0, 0.9)))
    folder.save_result("key", asked(1), watched, {})
    assert folder.result("key", asked(1)) == watched


def test_a_run_that_ended_early_serves_longer_ones(folder):
    folder.save_result("key", asked(9), RESULT, {})
    assert folder.result("key", asked(20)) == RESULT


def test_numbers_that_are_not_finite_are_null_in_json(folder):
    broken = RunResult((entry(1, math.nan),), diverged="the loss was nan")
    folder.save_result("key", asked(1), broken, {})
    text = (folder.path / "runs" / "key.json").read_text()
    assert "NaN" not in text
    content = json.loads(text)
    assert content["history"][0]["test_loss"] is None
    assert content["stuck"] is True
    back = folder.result("key", asked(1))
    assert math.isnan(back.last.test_loss)
    assert back.diverged == broken.diverged


def test_states_hold_tensors_and_damage_is_one_line(folder):
    folder.save_state("key", {"weights": torch.arange(3.0)})
    assert torch.equal(folder.state("key")["weights"], torch.arange(3.0))
    assert folder.state("other") is None
    (folder.path / "runs" / "key.pt").write_bytes(b"PK rubbish")
    with pytest.raises(InputError, match=r"key\.pt: damaged"):
        folder.state("key")
    (folder.path / "runs" / "key.json").write_text("{")
    with pytest.raises(InputError, match=r"key\.json: cannot be read"):
        folder.result("key", SETTINGS)


def test_a_run_is_held_by_one_process(folder):
    with folder.locked("key") as mine, folder.locked("key") as other, folder.locked("b") as free:
        assert (mine, other, free) == (True, False, True)
    with folder.locked("key") as mine:
        assert mine
    assert not list((folder.path / "runs").iterdir())


def test_another_folder_is_not_written_into(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match="holds no benchmark"):
        BenchmarkFolder(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        BenchmarkFolder(tmp_path / "holiday.jpg")


def test_a_summary_is_replaced_only_by_more_of_the_same(folder):
    folder.save_state("key", {})
    folder.write_json("table", {"settings": {"pixels": "raw", "rates": [0.1]}, "epochs": 3})
    folder.check_summary("table", {"pixels": "raw", "rates": (0.1,)}, overwrite=False)
    folder.check_summary("another", {"pixels": "unit"}, overwrite=False)
    folder.check_summary("table", {"pixels": "unit"}, overwrite=True)
    with pytest.raises(InputError, match="was made with pixels = 'raw', not 'unit'"):
        folder.check_summary("table", {"pixels": "unit"}, overwrite=False)
