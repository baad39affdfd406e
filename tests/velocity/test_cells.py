import numpy as np
import pytest
from scipy import ndimage

from seistomo.velocity.cells import (
    LEAST_CELLS,
    mean_speed,
    salt_cells,
    without_small_pieces,
    without_specks,
)
from seistomo.velocity.extent import FINENESS


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


def test_salt_cells_follow_the_half():
    inside = np.zeros((12 * FINENESS, 12 * FINENESS), dtype=bool)
    inside[: 6 * FINENESS + (FINENESS + 1) // 2] = True
    assert salt_cells(inside)[:7].all()
    assert not salt_cells(inside)[7:].any()


def test_salt_cells_drop_spurs_notches_pieces_and_holes():
    cells = np.zeros((20, 20), dtype=bool)
    cells[10:] = True
    tidy = cells.copy()
    cells[9, 4] = True  # a spur
    cells[10, 12] = False  # a notch
    cells[2:4, 2:4] = True  # a piece of four
    cells[15, 8:10] = False  # a hole
    assert np.array_equal(salt_cells(refined(cells)), tidy)


def test_salt_cells_keep_pieces_that_count():
    cells = np.zeros((20, 20), dtype=bool)
    cells[4:7, 4:8] = True
    kept = salt_cells(refined(cells))
    assert kept.sum() >= LEAST_CELLS
    assert ndimage.label(kept)[1] == 1


def test_specks_come_back_into_the_range_of_their_neighbours():
    speed = np.full((5, 5), 2000.0)
    speed[2, 2] = 2600.0
    speed[:, 4] = 2300.0
    clean = without_specks(speed, np.zeros(speed.shape, dtype=bool))
    assert clean[2, 2] == 2000.0
    speed[2, 2] = 2000.0
    assert np.array_equal(clean, speed)


def test_specks_do_not_take_their_speed_from_salt():
    speed = np.full((3, 3), 2000.0)
    hidden = np.zeros(speed.shape, dtype=bool)
    hidden[:, 2] = True
    speed[:, 2] = 4500.0
    speed[1, 1] = 3000.0
    assert without_specks(speed, hidden)[1, 1] == 2000.0
    assert without_specks(np.full((1, 1), 7.0), np.zeros((1, 1), bool)) == 7.0


def test_small_pieces_take_the_layer_beside_them():
    layer = np.repeat(np.arange(3), 4)[:, None].repeat(12, axis=1)
    ragged = layer.copy()
    ragged[2, 5] = 2  # a speck
    ragged[5, 0:2] = 0  # a piece of two at the edge
    ragged[8, 3] = 1  # a spur, which hangs on
    clean = without_small_pieces(ragged)
    layer[8, 3] = 1
    assert np.array_equal(clean, layer)
    assert np.array_equal(without_small_pieces(clean), clean)


def test_pieces_that_count_are_kept():
    layer = np.zeros((10, 10), dtype=int)
    layer[3:5, 3:6] = 4
    assert np.array_equal(without_small_pieces(layer), layer)


def test_a_crowd_of_small_pieces_leaves_none_that_stands_alone():
    rng = np.random.default_rng(0)
    layer = ndimage.zoom(rng.integers(0, 4, (12, 12)), 3, order=0)
    layer[::5, ::4] += 1
    clean = without_small_pieces(layer)
    for value in np.unique(clean):
        labels, _ = ndimage.label(clean == value)
        assert np.bincount(labels.ravel())[1:].min() >= LEAST_CELLS


def test_nothing_but_small_pieces_is_left_as_it_is():
    layer = np.arange(16).reshape(4, 4)
    assert np.array_equal(without_small_pieces(layer), layer)
