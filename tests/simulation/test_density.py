import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.simulation.density import density_of, density_range


def density(speeds, *overrides):
    config = load_config("", ['simulation.density="gardner"', *overrides])
    return density_of(np.array(speeds, np.float32)[None, None], config)[0, 0], config


def test_gardner_relation_in_its_own_units():
    """0.23 v^0.25 in g/cm³ with v in feet a second; the two forms differ by rounding."""
    speeds = np.array([1600.0, 2500.0, 4000.0])
    expected = 1000 * 0.23 * (speeds / 0.3048) ** 0.25
    np.testing.assert_allclose(density(speeds)[0], expected, rtol=0.003)


def test_water_and_salt_have_their_own():
    speeds = [1500.0, 1539.9, 1540.0, 4200.0, 4500.0]
    found, _ = density(speeds)
    assert found[:2].tolist() == [1025.0, 1025.0]
    assert found[2] == pytest.approx(310 * 1540**0.25)
    assert found[4] == pytest.approx(310 * 4500**0.25)
    found, config = density(
        speeds,
        "simulation.water_speed=1520.0",
        "simulation.water_density=1000.0",
        "simulation.salt_density=2160.0",
    )
    assert found[0] == 1000.0
    assert found[1] == pytest.approx(310 * 1539.9**0.25)
    assert found[3] == pytest.approx(310 * 4200**0.25)
    assert config.evaluation.salt_threshold < 4500
    assert found[4] == 2160.0


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["velocity.minimum=1600.0", "velocity.water_velocity=[1600.0, 1600.0]"],
        ["simulation.salt_density=2160.0"],
        ["simulation.salt_density=1000.0"],
        ["simulation.water_speed=3000.0", "simulation.water_density=2300.0"],
    ],
)
def test_range_holds_every_speed_within_the_bounds(overrides):
    speeds = np.linspace(1450, 4650, 3201)
    found, config = density(speeds, *overrides)
    bounds = config.velocity
    found = found[(speeds >= bounds.minimum) & (speeds <= bounds.maximum)]
    low, high = density_range(config)
    assert low == pytest.approx(found.min(), rel=1e-3)
    assert high == pytest.approx(found.max(), rel=1e-3)
    assert low <= found.min()
    assert high >= found.max()
