from dataclasses import replace

import pytest

from seistomo.benchmarks.settings import RunSettings
from seistomo.errors import InputError

BASE = RunSettings("sqgn", 0.1, {"history": 20}, epochs=25)


def key(settings, data="d", device="cpu"):
    return settings.key(data, device)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"learning_rate": 0.01},
        {"options": {"history": 21}},
        {"batch_size": 100},
        {"seed": 1},
        {"pixels": "unit"},
        {"schedule": "cosine"},
        {"restarts": 1},
        {"stop_accuracy": 0.97},
        {"stop_seconds": 60.0},
        {"judge_iterations": 20},
    ],
)
def test_any_setting_changes_the_key(changes):
    assert key(replace(BASE, **changes)) != key(BASE)


def test_data_and_device_change_the_key():
    assert len({key(BASE), key(BASE, data="e"), key(BASE, device="cuda")}) == 3


def test_epochs_matter_only_to_a_schedule_that_knows_the_end():
    assert key(replace(BASE, epochs=100)) == key(BASE)
    cosine = replace(BASE, schedule="cosine")
    assert key(replace(cosine, epochs=100)) != key(cosine)


def test_the_order_of_options_does_not_matter_and_the_key_is_a_file_name():
    one = replace(BASE, options={"history": 5, "damping": 1.0})
    other = replace(BASE, options={"damping": 1.0, "history": 5})
    assert key(one) == key(other)
    foreign = replace(BASE, optimizer="my.package.Optimizer")
    assert key(foreign).startswith("Optimizer-0.1-b1000-s0-")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs = 0: must be at least 1"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: must be a positive number"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"schedule": "linear"}, "schedule = linear: must be one of constant, cosine"),
        ({"seed": -1}, "seed = -1"),
        ({"restarts": -1}, "restarts = -1"),
        ({"judge_iterations": 0}, "judge_iterations = 0"),
    ],
)
def test_bad_settings_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        replace(BASE, **changes)
