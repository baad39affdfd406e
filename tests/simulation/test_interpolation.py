import deepwave
import numpy as np
import pytest
import torch

from seistomo.simulation.interpolation import (
    HALF_WIDTH,
    axis_stencil,
    interpolate_on_device,
    interpolation_matrix,
    point_stencil,
    row_nodes,
    tap_tables,
)

ROWS = np.array([6.0, 6.0, 8.25, 9.999, 7.5])
COLUMNS = np.array([5.0, 5.4, 11.0, 13.73, 20.5])


def hicks(rows, columns):
    locations = torch.from_numpy(np.stack([rows, columns], axis=-1))[None]
    return deepwave.Hicks(locations, halfwidth=HALF_WIDTH, dtype=torch.float64)


def test_weights_of_receivers_equal_those_of_deepwave():
    field = np.random.default_rng(0).standard_normal((20, 30))
    theirs = hicks(ROWS, COLUMNS)
    cells = theirs.get_locations()[0].numpy()
    records = torch.from_numpy(field[cells[:, 0], cells[:, 1]])[None, :, None]
    expected = theirs.receiver(records)[0, :, 0].numpy()

    nodes, matrix = interpolation_matrix(ROWS, COLUMNS)
    got = matrix @ field[nodes[:, 0], nodes[:, 1]].astype(np.float32)
    # The matrix is float32; 64 taps of at most 1.
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
    assert len(nodes) <= len(cells)


def test_weights_of_sources_equal_those_of_deepwave():
    theirs = hicks(ROWS, COLUMNS)
    amplitudes = torch.ones(1, len(ROWS), 1, dtype=torch.float64)
    expected = np.zeros((20, 30))
    cells = theirs.get_locations()[0].numpy()
    expected[cells[:, 0], cells[:, 1]] = theirs.source(amplitudes)[0, :, 0].numpy()

    nodes, weights = point_stencil(ROWS, COLUMNS)
    got = np.zeros((20, 30))
    np.add.at(got, (nodes[..., 0], nodes[..., 1]), weights)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::deepwave.MigrationWarning")
@pytest.mark.parametrize("surface", [-1, 0])
def test_windows_fold_over_a_free_surface_as_those_of_deepwave(surface):
    rows = surface + np.array([1.0, 1.3, 2.0, 2.49, 3.7])
    locations = torch.from_numpy(np.stack([rows, COLUMNS], axis=-1))[None]
    theirs = deepwave.Hicks(
        locations,
        halfwidth=HALF_WIDTH,
        free_surfaces=[True, False, False, False],
        free_surface_locs=[float(surface), 20.0, -1.0, 30.0],
        model_shape=[20, 30],
        dtype=torch.float64,
    )
    field = np.random.default_rng(0).standard_normal((20, 30))
    if surface == 0:
        field[0] = 0.0
    cells = theirs.get_locations()[0].numpy()
    records = torch.from_numpy(field[cells[:, 0], cells[:, 1]])[None, :, None]
    expected = theirs.receiver(records)[0, :, 0].numpy()

    nodes, matrix = interpolation_matrix(rows, COLUMNS, surface)
    assert nodes[:, 0].min() == surface + 1
    got = matrix @ field[nodes[:, 0], nodes[:, 1]].astype(np.float32)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("cells", [1e9, 16, 8, 5])
@pytest.mark.parametrize("depth", [1.0, 1.2, 1.8, 3.4])
def test_a_wave_that_vanishes_at_the_surface_is_sampled_between_nodes(cells, depth):
    """Measured: at most 0.8 %, of what is there or, for short waves, of the wave's height."""
    wavenumber = 2 * np.pi / cells
    nodes, weights = axis_stencil(np.array([depth]), surface=0)
    assert nodes.min() >= 1
    got = (np.sin(wavenumber * nodes) * weights).sum()
    wrong = abs(got - np.sin(wavenumber * depth))
    assert wrong < 0.009 * min(1, wavenumber * depth)


def test_rows_hold_what_points_anywhere_in_them_need():
    rows = np.array([6.0, 8.25])
    nodes = row_nodes(rows, (4.0, 20.0), None)
    own, alone = interpolation_matrix(rows, np.array([4.0, 19.7]))
    same, among = interpolation_matrix(rows, np.array([4.0, 19.7]), None, nodes)
    assert same is nodes
    field = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)
    expected = alone @ field[own[:, 0], own[:, 1]]
    assert np.array_equal(among @ field[nodes[:, 0], nodes[:, 1]], expected)
    with pytest.raises(ValueError, match="not recorded"):
        interpolation_matrix(rows, np.array([4.0, 25.0]), None, nodes)


@pytest.mark.parametrize("surface", [None, 5])
def test_records_are_interpolated_alike_on_every_device(surface):
    """To the bit, whatever shots share a call."""
    nodes, matrix = interpolation_matrix(ROWS, COLUMNS, surface)
    tables = tuple(map(torch.from_numpy, tap_tables(matrix)))
    records = np.random.default_rng(0).standard_normal((3, len(nodes), 50)).astype(np.float32)
    together = interpolate_on_device(tables, torch.from_numpy(records)).numpy()
    for record, got in zip(records, together, strict=True):
        assert np.array_equal(got, matrix @ record)
        alone = interpolate_on_device(tables, torch.from_numpy(record[None]))
        assert np.array_equal(alone.numpy()[0], got)


def test_points_on_nodes_are_exact_picks():
    nodes, weights = axis_stencil(np.array([4.0, 9.0 + 1e-9]))
    assert nodes.tolist() == [[4], [9]]
    assert weights.tolist() == [[1.0], [1.0]]
    nodes, matrix = interpolation_matrix(np.array([6.0, 6.0]), np.array([7.0, 9.5]))
    on_node = matrix[[0]].toarray()[0]
    assert np.count_nonzero(on_node) == 1
    assert nodes[np.argmax(on_node)].tolist() == [6, 7]
    assert on_node.max() == 1.0


def test_stencils_do_not_leave_the_margin():
    for cell in (4.0, 4.0 + 1e-4, 4.3, 4.9999, 5.0):
        nodes, _ = axis_stencil(np.array([cell]))
        assert nodes.min() >= cell - 4
        assert nodes.max() <= cell + 4


@pytest.mark.parametrize(("cells", "error"), [(1e9, 0.0045), (16, 0.003), (8, 0.004), (4, 0.003)])
def test_a_plane_wave_is_sampled_between_nodes(cells, error):
    """The window's own error along one axis: 0.40 %; 0.26, 0.35, 0.22 % at 16, 8, 4 cells."""
    wave = np.exp(2j * np.pi * np.arange(40) / cells)
    position = np.linspace(15, 16, 41)
    nodes, weights = axis_stencil(position)
    got = (wave[nodes] * weights).sum(axis=1)
    worst = np.abs(got - np.exp(2j * np.pi * position / cells)).max()
    assert error / 2 < worst < error
