"""The sheet that is looked at before shooting."""

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.evaluation import figures
from seistomo.simulation import make_wavelet

STEP = 0.006


@pytest.fixture(scope="module")
def panels():
    random = np.random.default_rng(0)
    depth, x = np.arange(10) * 15.0, np.arange(12) * 15.0
    survey = {
        "source_x": np.array([0.0, 60.0, 165.0]),
        "source_depth": np.zeros(3),
        "receiver_x": np.linspace(0, 165, 7),
        "receiver_depth": np.zeros(7),
    }
    gathers = random.standard_normal((3, 7, 50)).astype(np.float32)
    wavelet = make_wavelet(load_config("", ["survey.frequency=8.0"]).survey, STEP, 80)
    velocity = random.uniform(1500, 4500, (5, 10, 12)).astype(np.float32)
    labels = [f"{n}: layers" for n in range(5)]
    figure = figures.dry_run_figure(
        velocity, depth, x, labels, [survey] * 5, gathers, wavelet, STEP, (1450.0, 4650.0)
    )
    named = {axes.get_xlabel(): axes for axes in figure.axes if axes.get_xlabel()}
    return figure, named, gathers, wavelet


def test_models_share_the_scale_of_the_configuration(panels):
    sections = [axes for axes in panels[0].axes if axes.images]
    assert [axes.get_title() for axes in sections] == [f"{n}: layers" for n in range(5)]
    assert {axes.images[0].get_clim() for axes in sections} == {(1450.0, 4650.0)}
    # Receivers and sources of each.
    assert all(len(axes.lines) == 2 for axes in sections)


def test_the_gather_is_the_middle_source_in_seconds(panels):
    _, named, gathers, _ = panels
    axes = named["Receiver x (m)"]
    assert axes.get_title() == "source 1 at x = 60 m"
    assert axes.get_ylabel() == "Time (s)"
    np.testing.assert_array_equal(axes.collections[0].get_array(), gathers[1].T)
    assert axes.get_ylim() == pytest.approx((49 * STEP, 0.0))


def test_the_wavelet_is_drawn_in_time_and_frequency(panels):
    _, named, _, wavelet = panels
    in_time, in_frequency = named["Time (s)"], named["Frequency (Hz)"]
    time, shown = in_time.lines[0].get_data()
    np.testing.assert_allclose(time, np.arange(80) * STEP)
    np.testing.assert_array_equal(shown, wavelet)
    assert in_frequency.get_title() == "peak at 8.0 Hz"
    frequency, spectrum = in_frequency.lines[0].get_data()
    # Of a Ricker wavelet: (f / 8)² exp(1 - (f / 8)²).
    expected = (frequency / 8) ** 2 * np.exp(1 - (frequency / 8) ** 2)
    np.testing.assert_allclose(spectrum, expected, atol=2e-3)
    assert 20 < in_frequency.get_xlim()[1] < 0.5 / STEP
