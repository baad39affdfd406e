import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation.grid import COURANT, MARGIN, ModellingGrid
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


def test_density_is_interpolated_between_the_models_nodes():
    _, grid = make_grid("simulation.grid_spacing=7.5")
    model = np.random.default_rng(0).uniform(1000, 2600, (1, 100, 100)).astype(np.float32)
    top, left = grid.origin
    fine = grid.carry_density(model)[0, top : top + 199, left : left + 199]
    np.testing.assert_allclose(fine[::2, ::2], model[0], rtol=1e-6)
    np.testing.assert_allclose(fine[1::2, ::2], (model[0, 1:] + model[0, :-1]) / 2, rtol=1e-6)
    _, native = make_grid()
    assert np.array_equal(native.carry_density(model), native.carry(model))


def test_native_grid_keeps_the_model_and_continues_its_edges():
    _, grid = make_grid()
    model = np.random.default_rng(0).uniform(1500, 4600, (2, 100, 100)).astype(np.float32)
    expected = np.pad(model, ((0, 0), (MARGIN, 0), (MARGIN, MARGIN)), mode="edge")
    assert np.array_equal(grid.carry(model), expected)


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


def test_coarser_grid_is_refused():
    with pytest.raises(InputError, match=r"simulation\.grid_spacing = 20: must be at most"):
        make_grid("simulation.grid_spacing=20.0")
