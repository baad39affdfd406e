import pytest

from seistomo.benchmarks.options import BenchmarkOptions, parse_options
from seistomo.errors import InputError


def test_options_are_read_as_toml_and_else_as_text():
    given = [
        "history=20",
        "lr_decay = 1e-3",
        "nesterov=true",
        "betas=[0.9, 0.99]",
        "first_step=safe",
    ]
    assert parse_options(given) == {
        "history": 20,
        "lr_decay": 1e-3,
        "nesterov": True,
        "betas": [0.9, 0.99],
        "first_step": "safe",
    }


@pytest.mark.parametrize("given", ["history", "=3", ""])
def test_what_is_no_option_is_refused(given):
    with pytest.raises(InputError, match=f"--set {given}: must look like option=value"):
        parse_options([given])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "--epochs 0: must be at least 1"),
        ({"repeats": -1}, "--repeats -1"),
        ({"seed": -1}, "--seed -1: must not be negative"),
        ({"threads": -2}, "--threads -2"),
        ({"pixels": "half"}, "--pixels half: must be one of raw, unit"),
    ],
)
def test_bad_options_are_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        BenchmarkOptions(tmp_path, **changes)


def test_repeats_have_seeds_of_their_own(tmp_path):
    assert list(BenchmarkOptions(tmp_path, repeats=3, seed=5).seeds()) == [5, 6, 7]
