import numpy as np
import pytest

from seistomo.evaluation.figures import crops_figure

DEPTH, X = 100 + np.arange(20) * 25.0, np.arange(80) * 25.0


def test_frames_stand_around_the_nodes_of_their_pieces():
    velocity = np.random.default_rng(0).uniform(1500, 4500, (20, 80))
    corners = [(100.0, 0.0), (200.0, 1250.0)]
    figure = crops_figure(velocity, DEPTH, X, corners, (225.0, 475.0), ["0", "7"], "model: 2")
    axes = figure.axes[0]
    assert axes.get_title() == "model: 2"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (m)", "Depth (m)")
    bottom, top = axes.get_ylim()
    assert bottom > top, "depth grows downward"
    assert axes.get_aspect() == 1
    frames = {
        (patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height())
        for patch in axes.patches
    }
    # Half a cell of 25 m beyond the outer nodes.
    assert frames == {(-12.5, 87.5, 500.0, 250.0), (1237.5, 187.5, 500.0, 250.0)}
    assert [text.get_text() for text in axes.texts] == ["0", "7"]
    assert axes.images[0].get_clim() == pytest.approx((velocity.min(), velocity.max()))
