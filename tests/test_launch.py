"""What torchrun tells its processes."""

import pytest

from seistomo.errors import InputError
from seistomo.launch import Place, launched_place

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, Place(0, 1, 0, 1)),
        ({"WORLD_SIZE": "1", "RANK": "0"}, Place(0, 1, 0, 1)),
        ({"WORLD_SIZE": "4", "RANK": "3"}, Place(3, 4, 3, 4)),
        (
            {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
            Place(3, 4, 1, 2),
        ),
    ],
)
def test_place(environment, place, monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_place() == place


def test_a_local_rank_that_is_no_number_is_refused(monkeypatch):
    for name, value in zip(NAMES, ("0", "2", "first", "2"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="LOCAL_RANK = first: must be a number"):
        launched_place()
