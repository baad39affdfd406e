import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity import draw_earth
from seistomo.velocity.extent import (
    FINENESS,
    Extent,
    mean_speed,
)


@pytest.mark.parametrize("family", ["folds", "faults", "salt", "mixture"])
def test_a_finer_grid_shows_the_same_earth(family):
    config = VelocityConfig(families={family: 1})
    for index in range(3):
        _, earth, _ = draw_earth(config, 0, index)
        coarse, coarse_mask = earth.sample((100, 100), 15.0)
        fine, fine_mask = earth.sample((300, 300), 5.0)
        difference = np.abs(fine[::3, ::3] - coarse)
        # Only cells on contacts differ: a coarse one averages what lies within it.
        assert np.median(difference) < 10
        assert (difference > 250).mean() < 0.05
        assert (fine_mask[::3, ::3] != coarse_mask).mean() < 0.02


def test_the_same_draw_on_a_finer_grid_is_the_same_earth():
    coarse = VelocityConfig(families={"mixture": 1})
    fine = VelocityConfig(families={"mixture": 1}, shape=(200, 200), spacing=7.5)
    for index in range(3):
        first, second = (draw_earth(config, 0, index)[1] for config in (coarse, fine))
        one, _ = first.sample((200, 200), 7.5)
        two, _ = second.sample((200, 200), 7.5)
        assert (np.abs(one - two) > 50).mean() < 0.03


def test_horizons_are_continuous_away_from_faults():
    config = VelocityConfig(families={"folds": 1}, unconformity_probability=0)
    for index in range(5):
        _, earth, _ = draw_earth(config, 1, index)
        x, z = Extent.of((100, 100), 15.0).points(600, 300)
        layer = earth.layer_index(x, z)
        assert np.diff(layer, axis=0).min() >= 0
        for horizon in range(1, layer.max() + 1):
            depth = (layer < horizon).sum(axis=0) * 2.5
            shown = (depth > 50) & (depth < 1450)
            steps = np.abs(np.diff(depth))[shown[1:] & shown[:-1]]
            assert steps.size == 0 or steps.max() <= 12.5  # slope 2 at 5 m, and one row


def test_water_lies_flat_on_top():
    config = VelocityConfig(families={"layers": 1}, water_probability=1, water_depth=(0.1, 0.2))
    _, earth, parameters = draw_earth(config, 0, 0)
    velocity, _ = earth.sample((100, 100), 15.0)
    assert np.allclose(velocity[:3], parameters["water"]["velocity_m_s"], rtol=1e-5)
    assert velocity[25:].min() > 1500


def families(config, count, seed=0):
    return [draw_earth(config, seed, index) for index in range(count)]


def test_families_obey_their_weights():
    config = VelocityConfig(shape=(11, 11), families={"layers": 1, "faults": 3}, folds=(0, 0))
    drawn = [family for family, _, _ in families(config, 400)]
    assert set(drawn) == {"layers", "faults"}
    assert 260 < drawn.count("faults") < 340  # mean 300, standard deviation 9


def test_salt_is_missing_from_one_in_twenty_of_its_family():
    config = VelocityConfig(shape=(11, 11), families={"salt": 1}, salt_shapes={"dome": 1})
    free = sum(earth.salt is None for _, earth, _ in families(config, 400))
    assert 6 <= free <= 36  # mean 20, standard deviation 4.4


@pytest.mark.parametrize(
    ("family", "events"),
    [
        ("layers", set()),
        ("folds", {"folding"}),
        ("faults", {"folding", "faults"}),
        ("salt", {"folding", "salt"}),
        ("mixture", {"folding", "faults", "salt", "unconformity"}),
    ],
)
def test_each_family_has_its_events(family, events):
    config = VelocityConfig(families={family: 1}, unconformity_probability=0.5)
    happened = set()
    for name, earth, parameters in families(config, 20):
        assert name == family
        for event in ("folding", "faults", "salt", "unconformity"):
            if getattr(earth, event):
                happened.add(event)
        assert len(parameters["faults"]) == len(earth.faults)
        assert (family != "faults") or earth.faults
    assert happened == events | ({"unconformity"} if family == "folds" else set())


def test_changing_one_event_leaves_the_others_alone():
    plain = VelocityConfig(families={"mixture": 1}, salt_in_mixture=1)
    other = VelocityConfig(families={"mixture": 1}, salt_in_mixture=1, faults=(3, 3))
    for index in range(5):
        first, second = (draw_earth(config, 0, index)[2] for config in (plain, other))
        for key in ("water", "layers", "folds", "salt", "unconformity"):
            assert first[key] == second[key]
        assert len(second["faults"]) == 3


def test_subsidence_by_faulting_is_taken_back():
    config = VelocityConfig(
        families={"faults": 1}, reverse_probability=0, faults=(4, 4), growth_probability=0
    )
    for index in range(5):
        _, earth, _ = draw_earth(config, 0, index)
        x, depth = np.linspace(0, 1500, 65), np.zeros(65)
        for fault in reversed(earth.faults):
            x, depth = fault.restore(x, depth)
        assert abs(float(depth.mean()) + earth.level) < 1e-6
        assert earth.level > 0


def refined(cells):
    return np.kron(cells, np.ones((FINENESS, FINENESS), dtype=cells.dtype))


def test_mean_speed_keeps_travel_time():
    speed = np.full((FINENESS, FINENESS), 2000.0)
    speed[-1] = 4000.0
    crossing = (FINENESS - 1) / 2000 + 1 / 4000
    assert mean_speed(1 / speed)[0, 0] == pytest.approx(FINENESS / crossing)


def test_mean_speed_leaves_points_out():
    speed = refined(np.array([[2000.0, 3000.0]]))
    counted = np.ones(speed.shape, dtype=bool)
    speed[0, 0], counted[0, 0] = 4500.0, False
    counted[:, FINENESS:] = False
    assert mean_speed(1 / speed, counted) == pytest.approx(np.array([[2000.0, 3000.0]]))
