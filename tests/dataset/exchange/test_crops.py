from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seistomo.dataset.exchange.crops import (
    CropOptions,
    Place,
    grid_places,
    nodes_within,
    random_places,
)
from seistomo.errors import InputError

SHAPES = [(5, 9), (3, 3), (7, 4)]
SIZE = (4, 3)


def everywhere(shapes, size):
    return [
        Place(model, row, column)
        for model, (depth, x) in enumerate(shapes)
        for row in range(depth - size[0] + 1)
        for column in range(x - size[1] + 1)
    ]


def test_a_grid_lies_side_by_side_and_inside():
    places = grid_places([(10, 11)], CropOptions(size=(5, 3)))
    assert places == [Place(0, row, column) for row in (0, 5) for column in (0, 3, 6)]


def test_a_stride_makes_pieces_overlap():
    places = grid_places(SHAPES, CropOptions(size=SIZE, stride=(1, 1)))
    assert places == everywhere(SHAPES, SIZE)
    assert len(grid_places([(10, 11)], CropOptions(size=(5, 3), stride=(1, 4)))) == 6 * 3


def test_random_places_take_each_once_and_all_in_the_end():
    found = list(random_places(SHAPES, CropOptions(size=SIZE, count=1)))
    assert len(found) == len(set(found))
    assert set(found) == set(everywhere(SHAPES, SIZE))


def test_random_places_are_as_likely_everywhere():
    counts = dict.fromkeys(everywhere(SHAPES, SIZE), 0)
    for seed in range(3000):
        counts[next(random_places(SHAPES, CropOptions(size=SIZE, count=1, seed=seed)))] += 1
    expected = 3000 / len(counts)
    assert max(abs(count - expected) for count in counts.values()) < 5 * np.sqrt(expected)


def test_more_random_places_begin_with_the_same():
    options = CropOptions(size=SIZE, count=9, seed=4)
    more = list(islice(random_places(SHAPES, options), 9))
    assert more[:4] == list(islice(random_places(SHAPES, options), 4))
    other = CropOptions(size=SIZE, count=9, seed=5)
    assert more != list(islice(random_places(SHAPES, other), 9))


def test_a_piece_larger_than_all_models_is_refused():
    for places in (grid_places, random_places):
        with pytest.raises(InputError, match=r"--crop 8x3: larger than the models, 5x9 nodes"):
            list(places(SHAPES, CropOptions(size=(8, 3))))


@given(
    st.integers(2, 50),
    st.floats(0.5, 30),
    st.one_of(st.none(), st.floats(-50, 400)),
    st.one_of(st.none(), st.floats(-50, 400)),
)
def test_nodes_lie_between_their_ends(nodes, spacing, low, high):
    places = np.arange(nodes) * spacing
    inside = (places >= (-np.inf if low is None else low) - 1e-6 * spacing) & (
        places <= (np.inf if high is None else high) + 1e-6 * spacing
    )
    if not inside.any():
        with pytest.raises(InputError, match="--x-range"):
            nodes_within(nodes, spacing, (low, high), "--x-range")
    else:
        found = nodes_within(nodes, spacing, (low, high), "--x-range")
        assert list(found) == np.flatnonzero(inside).tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": (5, 5)}, "--stride: .* give --crop"),
        ({"count": 5}, "--crops: .* give --crop"),
        ({"size": SIZE, "stride": (1, 1), "count": 2}, "give one"),
        ({"size": (0, 3)}, "--crop: must be at least 1x1"),
        ({"size": SIZE, "count": 0}, "--crops 0"),
        ({"size": SIZE, "count": 3, "seed": -1}, "--seed -1"),
        ({"size": SIZE, "seed": 3}, "--seed 3: is for random places"),
        ({"min_contrast": -5}, "--min-contrast -5"),
        ({"min_contrast": np.nan}, "--min-contrast nan"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(InputError, match=words):
        CropOptions(**options)
