import pytest

from seistomo.errors import InputError
from seistomo.evaluation.selection import select


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("0,3,7", [0, 3, 7]),
        ("0:3", [0, 1, 2]),
        ("2:", [2, 3, 4, 5, 6, 7]),
        ("::4, 1", [0, 4, 1]),
        ("-2:", [6, 7]),
        ([5, 2], [5, 2]),
        ("4", [4]),
    ],
)
def test_numbers_and_slices(wanted, numbers):
    assert select(wanted, 8, "samples") == numbers


@pytest.mark.parametrize("wanted", ["x", "", "1:2:3:4", "8", "-1", [9], "5:2", "1.5"])
def test_what_does_not_exist_is_refused(wanted):
    with pytest.raises(InputError, match="samples = "):
        select(wanted, 8, "samples")
