"""Torch settings of training, and the precisions that a device offers."""

import sys

import pytest
import torch

from seistomo.errors import InputError
from seistomo.training import TomographyProblem, train
from seistomo.training.device import check_precision, convolution_type, torch_settings

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_lower_precision_needs_a_gpu_that_has_it(monkeypatch):
    for precision in ("tf32", "bfloat16"):
        with pytest.raises(InputError, match=f"field = {precision}: needs an NVIDIA GPU; take"):
            check_precision(precision, CPU, "field")
    check_precision("float32", CPU, "field")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(InputError, match=r"field = tf32: .* capability 8\.0 or more"):
        check_precision("tf32", GPU, "field")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    check_precision("tf32", GPU, "field")


def test_bfloat16_is_refused_where_a_gpu_emulates_it(monkeypatch):
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda _emulated, has=has: has)
        if has:
            check_precision("bfloat16", GPU, "field")
    with pytest.raises(InputError, match="field = bfloat16: this GPU only emulates it"):
        check_precision("bfloat16", GPU, "field")


def test_only_bfloat16_changes_the_type_of_numbers():
    found = [convolution_type(name) for name in ("float32", "tf32", "bfloat16")]
    assert found == [None, None, torch.bfloat16]


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_tf32_is_switched_and_restored(precision):
    def switches():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    def fail():
        with torch_settings(CPU, 0, 0, precision):
            seen.append(switches())
            raise KeyError

    before, seen = switches(), []
    with pytest.raises(KeyError):
        fail()
    assert seen == [(precision == "tf32",) * 2]
    assert switches() == before


def test_training_refuses_what_the_device_has_not(dataset, make_config, tmp_path):
    config = make_config('training.precision="bfloat16"', "training.device=cpu")
    with pytest.raises(InputError, match=r"training\.precision = bfloat16: needs an NVIDIA GPU"):
        train(config, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("precision", "wanted"),
    [("float32", (None, False)), ("tf32", (None, True)), ("bfloat16", (torch.bfloat16, False))],
)
def test_training_computes_in_it(precision, wanted, dataset, make_config, tmp_path, monkeypatch):
    # No GPU is needed to see what it would be told.
    monkeypatch.setattr(sys.modules["seistomo.training.fit"], "check_precision", lambda *_: None)
    seen = []

    def scores(_self, network, _samples):
        seen.append((network.convolution_type, torch.backends.cudnn.allow_tf32))
        raise InputError("seen enough")

    monkeypatch.setattr(TomographyProblem, "scores", scores)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: 1.0)
    config = make_config(f'training.precision="{precision}"', "training.device=cpu")
    with pytest.raises(InputError, match="seen enough"):
        train(config, dataset, tmp_path / "run")
    assert seen == [wanted]
