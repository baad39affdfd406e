"""Methods, stages, stops and refusals of the inversion of one sample."""

import numpy as np
import pytest
import torch

from seistomo.config import with_overrides
from seistomo.errors import InputError
from seistomo.refinement import Inverter
from seistomo.refinement.misfit import filtered, low_pass, wavelet_filter


@pytest.fixture
def invert(sample):
    """Return a function that inverts the sample with ``refinement.key=value`` settings."""

    def invert(*settings, start=sample.start, gathers=sample.gathers, **options):
        config = with_overrides(sample.config, [f"refinement.{text}" for text in settings])
        inverter = Inverter(config, config.refinement, torch.device("cpu"))
        return inverter(gathers, sample.survey, sample.dead, start, **options)

    return invert


@pytest.mark.parametrize(
    "settings",
    [
        ("method=lbfgs", "iterations=3"),
        ("method=adam", "iterations=4"),
        ("method=adam", "iterations=6", "shots=2"),
        ("method=sgn", "cg_iterations=3"),
    ],
    ids="-".join,
)
def test_every_method_explains_more(invert, sample, settings):
    rows = []
    found = invert(*settings, tell=rows.append)
    before, after = found.data_misfit_far
    assert after < 0.8 * before
    assert found.data_misfit[1] < found.data_misfit[0]
    assert found.velocity.shape == sample.model.shape
    assert rows == found.history
    assert found.history[0]["misfit"] > found.history[-1]["misfit"]
    assert found.solves >= found.history[-1]["solves"]


def test_a_result_depends_on_the_seed_alone(invert):
    settings = ("method=adam", "iterations=3", "shots=1")
    first, again, other = (invert(*settings, seed=(0, n)).velocity for n in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_stages_and_stops(invert):
    found = invert("frequencies=[5.0, 8.0, 12.0]", "iterations=1")
    assert [row["stage"] for row in found.history] == [1, 1, 2, 2, 3, 3]
    assert [row["frequency"] for row in found.history[::2]] == [5.0, 8.0, 12.0]
    spent = invert("frequencies=[5.0, 8.0, 12.0]", "iterations=9", "budget=8")
    assert spent.solves <= 8
    spent = invert("method=adam", "iterations=99", "budget=20")
    assert 18 <= spent.solves <= 20
    early = invert("iterations=9", "misfit_tolerance=0.9")
    assert len(early.history) == 2


def test_low_frequencies_have_coarser_grids(sample):
    def spacings(*settings):
        config = with_overrides(sample.config, settings)
        grids = Inverter(config, config.refinement, torch.device("cpu")).grids
        return [grid.simulation.grid_spacing for grid in grids]

    stages = "refinement.frequencies=[5.0, 8.0, 12.0]"
    assert spacings(stages) == [20, 15, 10]
    assert spacings(stages, "refinement.grid_spacing=4.0") == pytest.approx([9.6, 6, 4])
    free = [f"survey.{point}_depth=12.0" for point in ("source", "receiver")]
    assert spacings(stages, "simulation.free_surface=true", *free) == [12, 12, 10]


def test_bounds_hold(sample):
    own = sample.config.velocity
    update = {"velocity": own.model_copy(update={"minimum": float(sample.start.min())})}
    config, start = sample.config.model_copy(update=update), sample.start
    inverter = Inverter(config, config.refinement, torch.device("cpu"))
    found = inverter(sample.gathers, sample.survey, sample.dead, start)
    assert found.velocity.min() >= start.min() - 1e-3


def test_the_wavelet_is_found(sample, invert):
    """Gathers of twice the amplitude and opposite sign."""
    wrong = invert(gathers=-2 * sample.gathers)
    assert any("not explained" in text for text in wrong.notices)
    found = invert("wavelet=estimated", gathers=-2 * sample.gathers)
    assert found.data_misfit_far[1] < 0.5 * found.data_misfit_far[0] < 1


def test_a_filter_is_recovered():
    random = torch.Generator().manual_seed(0)
    predicted = torch.randn(2, 3, 80, generator=random)
    predicted[..., 60:] = 0
    observed = 3 * predicted.roll(2, dims=-1)
    weights = torch.ones(2, 3)
    response = wavelet_filter(predicted, observed, weights, 8.0, 0.01)
    error = filtered(predicted, response) - observed
    assert error.norm() < 0.2 * observed.norm()


def test_the_low_pass_is_symmetric():
    random = torch.Generator().manual_seed(0)
    u, v = (torch.randn(50, generator=random, dtype=torch.float64) for _ in range(2))
    band = low_pass(100, 10.0, 0.01)
    torch.testing.assert_close(u.dot(filtered(v, band)), v.dot(filtered(u, band)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("frequencies=[40.0]",), ("refinement.frequencies = 40", "33.3")),
        (("frequencies=[0.01]",), ("refinement.frequencies = 0.01", "hold")),
        (("frequencies=[30.0]", "grid_spacing=20.0"), ("frequencies = 30", "grid_spacing")),
        (("grid_spacing=25.0",), ("refinement.grid_spacing = 25", "20")),
        (("near_offset=400.0",), ("near offset = 400", "340")),
    ],
    ids=lambda value: "-".join(value),
)
def test_settings_that_cannot_be_are_refused(invert, settings, words):
    with pytest.raises(InputError) as refused:
        invert(*settings)
    assert all(word in str(refused.value) for word in words)


@pytest.mark.parametrize("case", ["nan", "zero", "outside", "shape"])
def test_bad_samples_are_refused(invert, sample, case):
    gathers, start = sample.gathers.copy(), sample.start.copy()
    if case == "nan":
        gathers[1, 2, 3] = np.nan
    elif case == "zero":
        gathers[:] = 0
    elif case == "outside":
        start[3, 4] = 9000
    else:
        start = start[1:]
    with pytest.raises(InputError, match=r"gathers|trace|9000|14, 18"):
        invert(gathers=gathers, start=start)
