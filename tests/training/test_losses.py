"""Losses and scores: Eq. 9, scikit-image's similarity, its gradient, and who may minimize it."""

import csv
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity as reference_similarity

from seistomo.errors import InputError
from seistomo.training import train
from seistomo.training.losses import StructuralLoss, pseudo_huber, squared_error
from seistomo.training.scaling import VelocityScaling
from seistomo.training.scores import mean_squared_error, structural_similarity

SSIM, HUBER = "training.ssim_weight=5.0", "training.loss=pseudo-huber"


@pytest.fixture(scope="module")
def models():
    """Return predicted and true velocity, float64 [sample, depth, x], m/s."""
    random = np.random.default_rng(3)
    smooth = gaussian_filter(random.standard_normal((4, 23, 17)), (0, 3, 3))
    truth = 2500 + 4000 * smooth
    truth[0] = 1500.0  # Without any variance.
    truth[1, 8:14, 5:12] = 4500.0
    return truth + 150 * random.standard_normal(truth.shape), truth


@pytest.fixture(scope="module")
def expected(models):
    """Return what scikit-image gives for them."""
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return [
        reference_similarity(one, other, data_range=3200.0, **settings)
        for one, other in zip(*models, strict=True)
    ]


def test_similarity_equals_scikit_image(models, expected):
    prediction, truth = map(torch.from_numpy, models)
    for unit in (1.0, 3200.0):
        ours = structural_similarity(prediction / unit, truth / unit, 3200.0 / unit)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    single = structural_similarity(prediction.float(), truth.float(), 3200.0)
    np.testing.assert_allclose(single, expected, atol=2e-5)
    arrays = structural_similarity(*models, 3200.0)
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_allclose(arrays, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(structural_similarity(truth, truth, 3200.0), 1)
    small = np.zeros((1, 10, 30), dtype=np.float32)
    with pytest.raises(InputError, match=r"velocity\.shape = \[10, 30\].* at least 11"):
        structural_similarity(small, small, 1.0)


def test_squared_errors_are_as_defined(models):
    # 12 outputs of 2² each, averaged over samples.
    assert squared_error(torch.zeros(2, 3, 4), torch.full((2, 3, 4), 2.0)) == 48
    found = mean_squared_error(*(m.astype(np.float32) for m in models))
    difference = models[0].astype(np.float32).astype(float) - models[1].astype(np.float32)
    np.testing.assert_allclose(found, (difference**2).mean(axis=(1, 2)), rtol=1e-14)


def test_pseudo_huber_is_squared_for_small_errors_and_linear_for_large_ones():
    zero, errors = torch.zeros(2, 5), torch.tensor([[0.0, 1e-6, 1e-3, 0.2, 50.0]]).expand(2, 5)
    exact = errors[0].double().numpy()
    wanted = (2 * 0.3**2 * (np.hypot(1, exact / 0.3) - 1)).sum()
    assert float(pseudo_huber(errors, zero, 0.3)) == pytest.approx(wanted, rel=1e-6)
    small, large = errors[:, :3], errors[:, 4:]
    same = squared_error(small, zero[:, :3])
    assert float(pseudo_huber(small, zero[:, :3], 0.3)) == pytest.approx(float(same), rel=1e-5)
    assert float(pseudo_huber(small[:, 1:2], zero[:, :1], 0.3)) == pytest.approx(1e-12)
    assert float(pseudo_huber(large, zero[:, 4:], 0.3)) == pytest.approx(2 * 0.3 * 50, rel=0.01)


@pytest.mark.parametrize("base", [squared_error, partial(pseudo_huber, delta=0.02)])
def test_loss_is_the_published_one_and_the_evaluated_similarity(models, expected, base):
    weight, scaling = 0.3, VelocityScaling(1400.0, 4000.0)
    outputs, targets = (torch.from_numpy((m - 1400) / 2600 + 0.1) for m in models)
    loss = StructuralLoss(base, weight, scaling, 3200.0)
    dissimilarity = weight * models[0][0].size * (1 - np.mean(expected))
    wanted = float(base(outputs, targets)) + dissimilarity
    assert float(loss(outputs, targets)) == pytest.approx(wanted, rel=1e-9)
    parts = [float(loss(outputs[row : row + 1], targets[row : row + 1])) for row in range(4)]
    assert float(loss(outputs, targets)) == pytest.approx(np.mean(parts))
    assert torch.autograd.gradcheck(
        lambda some: loss(some, targets[1:3, :12, :12]),
        outputs[1:3, :12, :12].clone().requires_grad_(),
    )


@pytest.mark.parametrize("name", ["sgn", "seistomo.optim.SQGN"])
def test_optimizers_with_curvature_are_refused_before_anything_is_written(
    dataset, make_config, tmp_path, name
):
    config = make_config(SSIM, f"optimizer.name={name}")
    with pytest.raises(
        InputError, match=rf"loss: is not convex.*training.ssim_weight.* {name} needs"
    ):
        train(config, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def rows(run):
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("adam", SSIM),
        ("svrg", SSIM),
        ("adam", HUBER),
        ("sgn", HUBER),
        ("seistomo.optim.SQGN", HUBER),
    ],
)
def test_history_holds_the_published_loss(dataset, make_config, tmp_path, name, other):
    """The first batch is measured at the same weights, whatever is minimized."""
    settings = [f"optimizer.name={name}", "training.epochs=1", "training.batch_size=30"]
    if name not in ("adam", "sgn"):
        settings.append("optimizer.options={full_gradient_interval = 1}")
    losses = []
    if name != "sgn":
        settings.append("optimizer.learning_rate=1e-4")
    for number, extra in enumerate([[], [other]]):
        run = tmp_path / str(number)
        train(make_config(*settings, *extra), dataset, run)
        losses.append([float(rows(run)[0][key]) for key in ("train_loss", "validation_loss")])
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-5)
    assert losses[1][1] != losses[0][1]
