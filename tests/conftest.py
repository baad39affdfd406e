import pytest

from seistomo.progress import quietly


@pytest.fixture(autouse=True)
def _quiet():
    """Keep progress bars out of the test log."""
    with quietly():
        yield
