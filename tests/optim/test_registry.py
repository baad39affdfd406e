"""Optimizers by name and by import path."""

import pytest
import torch

from seistomo.optim import (
    SGN,
    SQGN,
    SVRG,
    OptimizerError,
    make_optimizer,
    optimizer_names,
    options_in_effect,
)


def parameters():
    return [torch.nn.Parameter(torch.zeros(3))]


def test_names_make_the_papers_optimizers():
    assert optimizer_names() == ["adam", "sgd", "sgn", "sqgn", "svrg"]
    for name, expected in {"sgn": SGN, "sqgn": SQGN, "svrg": SVRG}.items():
        optimizer = make_optimizer(name, parameters(), 0.25)
        assert type(optimizer) is expected
        assert optimizer.param_groups[0]["lr"] == 0.25
    svrg = {"full_gradient_interval": 0}
    with pytest.raises(OptimizerError, match=r"svrg with lr = 0\.1, full_gradient_interval = 0: f"):
        make_optimizer("svrg", parameters(), 0.1, svrg)


def test_names_and_import_paths_make_torchs_optimizers():
    for name, kind, options in (
        ("adam", torch.optim.Adam, {"eps": 1e-6}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9}),
        ("torch.optim.Adagrad", torch.optim.Adagrad, {"lr_decay": 0.5}),
    ):
        optimizer = make_optimizer(name, parameters(), 0.1, options)
        assert type(optimizer) is kind
        assert {"lr": 0.1, **options}.items() <= optimizer.param_groups[0].items()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adamm", {}, "optimizer adamm: unknown; did you mean adam?"),
        ("SQGN", {}, "optimizer SQGN: unknown; did you mean sqgn?"),
        ("svrg", {"full_gradient_intervall": 1}, "did you mean full_gradient_interval?"),
        ("no_such.module.Class", {}, "cannot import no_such.module"),
        ("torch.optim.Nothing", {}, "torch.optim has no Nothing"),
        ("torch.optim.lr_scheduler.StepLR", {}, "must be a subclass of torch.optim.Optimizer"),
        ("sgd", {"momentun": 0.9}, "unknown option momentun; did you mean momentum?"),
        ("adam", {"lr": 0.9}, "the learning rate is not an option"),
        ("sgd", {"momentum": -1.0}, "momentum = -1.0: Invalid momentum value: -1.0"),
        ("adam", {"betas": [0.9]}, "betas = [0.9]: "),
    ],
)
def test_mistakes_are_told_in_one_line(name, options, message):
    with pytest.raises(OptimizerError) as caught:
        make_optimizer(name, parameters(), 0.1, options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_in_effect_are_those_given_and_the_defaults():
    given = {"history": 3}
    found = options_in_effect(make_optimizer("sqgn", parameters(), options=given), given)
    assert found["history"] == 3
    assert found["full_gradient_interval"] == 10
    assert found["damping"] == 0.1
    assert not {"params", "lr"} & set(found)
