import deepwave
import numpy as np
import pytest
import torch

from seistomo.simulation.interpolation import (
    HALF_WIDTH,
    axis_stencil,
    interpolation_matrix,
    point_stencil,
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
