"""Devices by name."""

import pytest
import torch

from seistomo.device import choose_device
from seistomo.errors import InputError


def test_names_that_are_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["toaster", "meta", "cuda:99", "cpu:1", "", "cuda:-1"])
def test_others_are_refused_in_one_line(name):
    with pytest.raises(InputError, match="where = ") as caught:
        choose_device(name, "where")
    assert "\n" not in str(caught.value)
    assert "cpu" in str(caught.value)
