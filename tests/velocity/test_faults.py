import dataclasses

import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity import draw_model
from seistomo.velocity.extent import Extent
from seistomo.velocity.faults import Fault, draw_faults

EXTENT = Extent.of((100, 100), 15.0)
STRAIGHT = Fault(700.0, 1.0, 60.0, 120.0, None, 0.0, 0.0)
FAULTS = [
    STRAIGHT,
    dataclasses.replace(STRAIGHT, direction=-1.0),
    dataclasses.replace(STRAIGHT, throw=-120.0),
    dataclasses.replace(STRAIGHT, detachment=1800.0),
    dataclasses.replace(STRAIGHT, detachment=1800.0, throw=-120.0, direction=-1.0),
    dataclasses.replace(STRAIGHT, tip=200.0, growth=500.0),
]


def hanging(fault, x, z):
    return z < fault.surface(x)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_footwall_stays_and_the_hanging_wall_moves(fault):
    x, z = (a.astype(float) for a in EXTENT.points(150, 150))
    x_before, z_before = fault.restore(x, z)
    x, z = np.broadcast_arrays(x, z)
    moved = hanging(fault, x, z)
    assert 0.1 < moved.mean() < 0.9
    assert np.array_equal(z_before[~moved], z[~moved])
    assert np.array_equal(x_before[~moved], x[~moved])
    down = (z - z_before)[moved]
    assert (down * np.sign(fault.throw)).min() >= 0
    assert (down * np.sign(fault.throw)).max() > 60


@pytest.mark.parametrize("fault", FAULTS)
def test_the_hanging_wall_slides_on_the_surface_without_gaps(fault):
    x = fault.x_surface + fault.direction * np.linspace(150, 600, 50)
    z = fault.surface(x) - 1e-6
    x_before, z_before = fault.restore(x, z)
    assert z_before == pytest.approx(fault.surface(x_before), abs=1e-3)


def test_the_throw_of_a_straight_fault_is_the_same_everywhere():
    x = np.linspace(900, 1500, 40)
    for throw in (120.0, -120.0):
        fault = dataclasses.replace(STRAIGHT, throw=throw)
        x_before, z_before = fault.restore(x, np.full(40, 100.0))
        assert 100 - z_before == pytest.approx(throw)
        assert x - x_before == pytest.approx(throw / np.tan(np.radians(60)))


def test_a_growth_fault_has_no_throw_above_its_tip_and_all_of_it_below():
    fault = dataclasses.replace(STRAIGHT, tip=200.0, growth=500.0)
    x = np.full(5, 1490.0)
    z = np.array([10.0, 200.0, 450.0, 700.0, 900.0])
    _, before = fault.restore(x, z)
    assert z - before == pytest.approx([0, 0, 60, 120, 120], abs=1e-6)


def test_beds_roll_over_above_a_listric_fault():
    fault = dataclasses.replace(STRAIGHT, detachment=1000.0)
    x = np.linspace(720, 1480, 30)
    _, before = fault.restore(x, np.full(30, 20.0))
    drop = 20 - before
    assert np.all(np.diff(drop) < 0)  # deepest beside the fault
    assert drop[0] > 1.5 * drop[-1]


def one_fault_config(**values):
    return VelocityConfig(
        families={"faults": 1},
        faults=(1, 1),
        folds=(0, 0),
        layer_waviness=(0, 0),
        layer_dip=(0, 0),
        layer_gradient=(0, 0),
        water_probability=0,
        listric_probability=0,
        growth_probability=0,
        fault_dip=(70, 80),
        **values,
    )


def measured_throw(velocity, left, right, spacing):
    """Shift (m) of the right column's horizons below the left one's."""
    shifts = np.arange(-30, 31)
    rows = np.arange(32, 68)
    misfit = [np.abs(velocity[rows + s, right] - velocity[rows, left]).mean() for s in shifts]
    return shifts[int(np.argmin(misfit))] * spacing


@pytest.mark.parametrize("reverse", [0, 1])
def test_throw_is_recovered_from_the_horizons_of_the_image(reverse):
    config = one_fault_config(reverse_probability=reverse)
    found = 0
    for index in range(30):
        model = draw_model(config, 5, index)
        fault = model.parameters["faults"][0]
        run = 1500 / np.tan(np.radians(fault["dip_degrees"]))
        side = 1 if fault["dips_towards"] == "right" else -1
        ends = sorted([fault["x_surface_m"], fault["x_surface_m"] + side * run])
        if ends[0] < 30 or ends[1] > 1455:
            continue
        found += 1
        down = measured_throw(model.velocity, 0, 99, config.spacing)
        expected = fault["throw_m"] * (1 if fault["kind"] == "normal" else -1) * side
        assert fault["kind"] == ("reverse" if reverse else "normal")
        assert down == pytest.approx(expected, abs=config.spacing)
    assert found >= 8


def test_sets_keep_to_the_config():
    config = VelocityConfig()
    kinds = set()
    for seed in range(60):
        faults = draw_faults(np.random.default_rng(seed), config, EXTENT, least=1)
        assert 1 <= len(faults) <= 4
        for fault in faults:
            assert 50 <= fault.dip <= 80
            assert 30 <= abs(fault.throw) <= 250
            middle = np.interp(750, *_curve(fault))
            assert 0 < middle < 1500
        regime = {fault.throw > 0 for fault in faults}
        assert len(regime) == 1
        kinds |= regime
    assert kinds == {True, False}
    assert draw_faults(np.random.default_rng(0), VelocityConfig(faults=(0, 0)), EXTENT) == ()


def _curve(fault):
    down_dip = np.linspace(-100, 3000, 2000)
    x = fault.x_surface + fault.direction * down_dip
    return fault.surface(x), x
