import pytest

from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"units": "mph"}, r"--units mph: must be one of m/s, km/s, ft/s"),
        ({"byte_order": "middle"}, "--byte-order middle: must be one of little, big"),
        ({"fastest": "y"}, "--fastest y: must be one of x, depth"),
    ],
)
def test_what_is_no_choice_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        FileOptions(**options)
