import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.simulation.grid import COURANT, MARGIN, ModellingGrid, density_of, density_range
from seistomo.simulation.survey import Survey


def make_grid(*overrides):
    config = load_config("", overrides)
    return config, ModellingGrid.of(config)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["simulation.grid_spacing=7.0"],
        ["survey.source_depth=20.0", "survey.receiver_x=[3.0, 1400.0]"],
        ["survey.source_depth=1480.0", "survey.receiver_depth=700.0"],
        ["survey.source_x=[60.0, 90.0]", "survey.source_jitter=40.0", "survey.receiver_jitter=9.0"],
    ],
)
def test_sources_and_receivers_keep_the_margin(overrides):
    config, grid = make_grid(*overrides)
    survey = Survey.draw(config, 0, 3)
    for depth, x in (
        (survey.source_depth, survey.source_x),
        (survey.receiver_depth, survey.receiver_x),
    ):
        row, column = grid.to_cells(depth, x)
        assert min(row.min(), column.min()) >= MARGIN - 1e-6
        assert row.max() <= grid.shape[0] - 1 - MARGIN + 1e-6
        assert column.max() <= grid.shape[1] - 1 - MARGIN + 1e-6


def test_margins_are_no_larger_than_needed():
    _, grid = make_grid()
    assert grid.shape == (100 + MARGIN, 100 + 2 * MARGIN)
    _, inside = make_grid(
        "survey.source_x=[300.0, 900.0]",
        "survey.receiver_x=[60.0, 1425.0]",
        "survey.source_depth=90.0",
        "survey.receiver_depth=60.0",
    )
    assert inside.shape == (100, 100)
    assert inside.origin == (0, 0)


@pytest.mark.parametrize("spacing", [15.0, 5.0])
@pytest.mark.parametrize(("density", "surface"), [("constant", -1), ("gardner", 0)])
def test_a_free_surface_is_the_top_of_the_model(density, surface, spacing):
    """deepwave's is a node above the grid's first row, or in it where density varies."""
    _, grid = make_grid(
        "simulation.free_surface=true",
        f'simulation.density="{density}"',
        f"simulation.grid_spacing={spacing}",
        "survey.source_depth=15.0",
        "survey.receiver_depth=30.0",
    )
    assert grid.surface == surface
    row, _ = grid.to_cells(np.array([0.0, 1485.0]), np.zeros(2))
    assert row.tolist() == [surface, grid.shape[0] - 1]
    model = np.random.default_rng(0).uniform(1500, 4600, (1, 100, 100)).astype(np.float32)
    place = np.arange(100) * 15.0
    row, column = (np.rint(cells).astype(int) for cells in grid.to_cells(place, place))
    below = row >= 0
    assert np.count_nonzero(~below) == -surface
    found = grid.carry(model)[0, row[below][:, None], column]
    np.testing.assert_allclose(found, model[0, below], rtol=1e-6)


def test_density_is_interpolated_between_nodes_and_native_models_are_kept():
    _, grid = make_grid("simulation.grid_spacing=7.5")
    model = np.random.default_rng(0).uniform(1000, 2600, (1, 100, 100)).astype(np.float32)
    top, left = grid.origin
    fine = grid.carry_density(model)[0, top : top + 199, left : left + 199]
    np.testing.assert_allclose(fine[::2, ::2], model[0], rtol=1e-6)
    np.testing.assert_allclose(fine[1::2, ::2], (model[0, 1:] + model[0, :-1]) / 2, rtol=1e-6)
    _, native = make_grid()
    expected = np.pad(model, ((0, 0), (MARGIN, 0), (MARGIN, MARGIN)), mode="edge")
    assert np.array_equal(native.carry_density(model), expected)
    assert np.array_equal(native.carry(model), expected)


def test_finer_grid_keeps_nodes_and_travel_times():
    _, grid = make_grid("simulation.grid_spacing=5.0")
    model = np.random.default_rng(0).uniform(1500, 4600, (1, 100, 100)).astype(np.float32)
    fine = grid.carry(model)[0, grid.origin[0] :, grid.origin[1] :]
    np.testing.assert_allclose(fine[:298:3, :298:3], model[0], rtol=1e-6)
    time = np.trapezoid(1 / model[0].astype(np.float64), dx=15.0, axis=0)
    fine_time = np.trapezoid(1 / fine[:298, :298:3].astype(np.float64), dx=5.0, axis=0)
    np.testing.assert_allclose(fine_time, time, rtol=1e-6)
    assert fine.min() >= model.min() * (1 - 1e-6)
    assert fine.max() <= model.max() * (1 + 1e-6)


def test_a_spacing_that_does_not_divide_the_model_reaches_past_its_end():
    config, grid = make_grid("simulation.grid_spacing=7.0")
    depth = config.velocity.depth_extent
    assert (grid.shape[0] - 1 - grid.origin[0]) * 7.0 >= depth
    assert (grid.shape[0] - 2 - grid.origin[0]) * 7.0 < depth
    model = np.tile(np.linspace(1500, 4500, 100, dtype=np.float32), (1, 100, 1))
    np.testing.assert_allclose(grid.carry(model)[0, 5, -1], 4500, rtol=1e-6)


@pytest.mark.parametrize("spacing", [15.0, 10.0, 4.0])
def test_inner_step_is_the_largest_within_the_courant_number(spacing):
    config, grid = make_grid(f"simulation.grid_spacing={spacing}")

    def courant(steps):
        step = config.survey.time_step / steps
        return config.velocity.maximum * step * np.sqrt(2) / spacing

    assert courant(grid.inner_steps) <= COURANT
    assert courant(grid.inner_steps - 1) > COURANT


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
