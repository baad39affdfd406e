import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seistomo.dataset.exchange.resample import resample, resample_mask, resampled_nodes

SPEEDS = st.floats(300, 8000)
SPACINGS = st.floats(1, 40)


def time_down(speed, spacing, depth):
    """Time through cells one spacing high around each node, from the top down to ``depth``."""
    edges = np.clip((np.arange(len(speed) + 1) - 0.5) * spacing, -spacing / 2, depth)
    return np.sum(np.diff(edges) / speed)


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


def test_thin_beds_do_not_alias():
    # Beds of 5 m: every third node would see one of the two speeds alone.
    speed = np.where(np.arange(300) % 2 == 0, 1500.0, 4500.0)[:, None]
    coarse = resample(speed, (5, 1), (15, 1))[1:-1, 0]
    expected = np.array([3 / (2 / 1500 + 1 / 4500), 3 / (1 / 1500 + 2 / 4500)])
    assert set(coarse.round(6)) == set(expected.round(6))
    assert np.sum(15 / coarse) == pytest.approx(np.sum(5 / speed[2:296]))


def test_the_same_spacing_is_the_same_array():
    speed = np.random.default_rng(1).uniform(1500, 4500, (7, 8)).astype(np.float32)
    assert resample(speed, (15.0, 15.0), (15.0, 15.0)) is speed
    # One axis only.
    across = resample(np.tile(speed[:, :1], 9), (15, 5), (15, 15))
    np.testing.assert_allclose(across, np.tile(speed[:, :1], 3), rtol=1e-6)


def test_half_a_cell_makes_the_mask():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 2:5] = True
    assert resample_mask(mask, (5, 5), (15, 15)).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(resample_mask(mask, (5, 5), (5, 5)), mask)
    # Exactly half of the second cell, which reaches over half of nodes 1 and 3 and all of 2.
    column = np.array([[0], [1], [0], [1], [0]], bool)
    assert resample_mask(column, (5, 1), (10, 1)).ravel().tolist() == [0, 1, 0]
