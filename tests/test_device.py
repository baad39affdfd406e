"""Devices by name, the precisions that they offer, and torch's settings."""

import pytest
import torch

from seistomo.device import check_precision, choose_device, convolution_type, torch_settings
from seistomo.errors import InputError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_names_that_are_there():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["toaster", "meta", "cuda:99", "cpu:1", "", "cuda:-1"])
def test_others_are_refused_in_one_line(name):
    with pytest.raises(InputError, match=r"where = .*cpu") as caught:
        choose_device(name, "where")
    assert "\n" not in str(caught.value)


def test_lower_precision_needs_a_gpu_that_has_it(monkeypatch):
    check_precision("float32", CPU, "field")
    for precision in ("tf32", "bfloat16"):
        with pytest.raises(InputError, match=f"field = {precision}: needs an NVIDIA GPU; take"):
            check_precision(precision, CPU, "field")
    for capability, emulated in (((7, 5), True), ((9, 0), False)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda _, e=emulated: not e)
        for precision in ("tf32", "bfloat16"):
            if emulated:
                with pytest.raises(InputError, match=f"field = {precision}: .*take"):
                    check_precision(precision, GPU, "field")
            else:
                check_precision(precision, GPU, "field")
    found = [convolution_type(name) for name in ("float32", "tf32", "bfloat16")]
    assert found == [None, None, torch.bfloat16]


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_settings_hold_inside_and_are_restored(precision):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

    def settings():
        return cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.get_num_threads()

    def fail():
        with torch_settings(CPU, 1, 5, precision):
            assert settings() == (precision == "tf32", precision == "tf32", True, 1)
            assert torch.equal(torch.rand(3), torch.rand(3, generator=seeded))
            raise KeyError

    before, state = settings(), torch.get_rng_state()
    seeded = torch.Generator().manual_seed(5)
    with pytest.raises(KeyError):
        fail()
    assert settings() == before
    assert torch.equal(torch.get_rng_state(), state)
