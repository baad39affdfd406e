"""Travel times survive another spacing; pieces lie where they should."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seistomo.dataset.exchange.crops import (
    CropOptions,
    Place,
    grid_places,
    random_places,
    resample,
    resample_mask,
    resampled_nodes,
)
from seistomo.errors import InputError

SHAPES = [(5, 9), (3, 3), (7, 4)]
SIZE = (4, 3)
SPEEDS = st.floats(300, 8000)
SPACINGS = st.floats(1, 40)


def everywhere(shapes, size):
    return [
        Place(model, row, column)
        for model, (depth, x) in enumerate(shapes)
        for row in range(depth - size[0] + 1)
        for column in range(x - size[1] + 1)
    ]


def test_a_grid_lies_side_by_side_or_a_stride_apart_and_inside():
    places = grid_places([(10, 11)], (5, 3), (5, 3))
    assert places == [Place(0, row, column) for row in (0, 5) for column in (0, 3, 6)]
    assert grid_places(SHAPES, SIZE, (1, 1)) == everywhere(SHAPES, SIZE)
    assert len(grid_places([(10, 11)], (5, 3), (1, 4))) == 6 * 3


def test_random_places_take_each_once_and_more_begin_with_the_same():
    found = list(random_places(SHAPES, SIZE, 1, 4))
    assert len(found) == len(set(found))
    assert set(found) == set(everywhere(SHAPES, SIZE))
    assert list(islice(random_places(SHAPES, SIZE, 9, 4), 9)) == found[:9]
    assert list(islice(random_places(SHAPES, SIZE, 9, 5), 9)) != found[:9]


def test_a_piece_larger_than_all_models_is_refused():
    for places in (grid_places(SHAPES, (4, 4), (1, 1)), random_places(SHAPES, (4, 4), 1, 0)):
        assert {place.model for place in places} == {0, 2}
    with pytest.raises(InputError, match=r"--crop 8x3: larger than the models, 5x9 nodes"):
        grid_places(SHAPES, (8, 3), (1, 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": (5, 5)}, "--stride: .* give --crop"),
        ({"size": (0, 3)}, "--crop: must be at least 1x1"),
        ({"size": SIZE, "count": 3, "seed": -1}, "--seed -1"),
        ({"min_contrast": -5}, "--min-contrast -5"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(InputError, match=words):
        CropOptions(**options)


def time_down(speed, spacing, depth):
    """Time through cells one spacing high around each node, from the top down to ``depth``."""
    edges = np.clip((np.arange(len(speed) + 1) - 0.5) * spacing, -spacing / 2, depth)
    return np.sum(np.diff(edges) / speed)


@settings(max_examples=50)
@given(arrays(float, st.integers(2, 40), elements=SPEEDS), SPACINGS, st.floats(1, 6))
def test_a_coarser_column_takes_the_same_time(speed, spacing, ratio):
    wanted = spacing * ratio
    coarse = resample(speed[:, None], (spacing, 1), (wanted, 1))[:, 0]
    for node in range(1, len(coarse)):
        border = (node - 0.5) * wanted
        expected = time_down(speed, spacing, border)
        # The first cell begins where the model does, half an old cell above its first node.
        widths = np.full(node, wanted)
        widths[0] = wanted / 2 + spacing / 2
        assert np.sum(widths / coarse[:node]) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=50)
@given(arrays(float, st.integers(2, 20), elements=SPEEDS), SPACINGS, st.integers(2, 7))
def test_a_finer_column_takes_the_same_time_from_node_to_node(speed, spacing, parts):
    fine = resample(speed[:, None], (spacing, 1), (spacing / parts, 1))[:, 0]
    assert len(fine) == (len(speed) - 1) * parts + 1
    np.testing.assert_allclose(fine[::parts], speed)

    def between_nodes(column, step):
        return np.cumsum((1 / column[1:] + 1 / column[:-1]) / 2 * step)

    np.testing.assert_allclose(
        between_nodes(fine, spacing / parts)[parts - 1 :: parts], between_nodes(speed, spacing)
    )


@settings(max_examples=50)
@given(arrays(float, (6, 9), elements=SPEEDS), SPACINGS, SPACINGS, st.floats(1, 40))
def test_rows_and_columns_are_treated_alike(speed, down, across, wanted):
    there = resample(speed, (down, across), (wanted, wanted))
    turned = resample(speed.T, (across, down), (wanted, wanted)).T
    np.testing.assert_allclose(there, turned)
    assert there.shape == (resampled_nodes(6, down, wanted), resampled_nodes(9, across, wanted))
    assert speed.min() * (1 - 1e-12) <= there.min()
    assert there.max() <= speed.max() * (1 + 1e-12)


def test_a_cell_is_the_mean_slowness_over_its_area():
    rng = np.random.default_rng(0)
    speed = rng.uniform(1500, 4500, (30, 45))
    coarse = resample(speed, (5, 5), (15, 15))
    block = 1 / speed[2:5, 5:8]
    assert coarse[1, 2] == pytest.approx(1 / block.mean())
    # At the edge the mean is over what there is.
    assert coarse[0, 0] == pytest.approx(1 / (1 / speed[:2, :2]).mean())


@pytest.mark.parametrize("hole", [np.nan, -999.25])
@pytest.mark.parametrize("wanted", [15.0, 4.0])
def test_holes_stay_where_they_are(hole, wanted):
    speed = np.random.default_rng(0).uniform(1500, 4500, (30, 45))
    holed = speed.copy()
    holed[:, 30:] = hole
    whole, found = (resample(values, (5, 5), (wanted, wanted)) for values in (speed, holed))
    left = int((29 - (wanted > 5) / 2) * 5 / wanted - (wanted > 5) / 2 + 1e-9) + 1
    np.testing.assert_allclose(found[:, :left], whole[:, :left], rtol=1e-9)
    assert np.isnan(found[:, left:]).all()


def test_half_a_cell_makes_the_mask():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 2:5] = True
    assert resample_mask(mask, (5, 5), (15, 15)).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(resample_mask(mask, (5, 5), (5, 5)), mask)
    # Exactly half of the second cell, which reaches over half of nodes 1 and 3 and all of 2.
    column = np.array([[0], [1], [0], [1], [0]], bool)
    assert resample_mask(column, (5, 1), (10, 1)).ravel().tolist() == [0, 1, 0]
