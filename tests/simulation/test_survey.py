import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation import Survey, draw_dead_traces
from seistomo.simulation.noise import random_stream


def test_survey_spans_the_whole_width_by_default():
    survey = Survey.draw(load_config(), 0, 0)
    assert survey.source_x.shape == (31,)
    assert survey.source_x[[0, -1]].tolist() == [0.0, 1485.0]
    np.testing.assert_allclose(np.diff(survey.receiver_x), 1485 / 255)
    assert survey.receiver_depth.tolist() == [0.0] * 256
    assert not survey.dead_trace.any()


def test_survey_follows_the_configuration():
    config = load_config(
        "",
        [
            "survey.sources=1",
            "survey.source_x=[100.0, 200.0]",
            "survey.receivers=3",
            "survey.receiver_x=[300.0, 100.0]",
            "survey.source_depth=12.5",
        ],
    )
    survey = Survey.draw(config, 0, 0)
    assert survey.source_x.tolist() == [150.0]
    assert survey.source_depth.tolist() == [12.5]
    assert survey.receiver_x.tolist() == [300.0, 200.0, 100.0]


def test_dead_traces_depend_on_seed_and_index_alone():
    config = load_config("", ["survey.dead_traces=0.1"])
    first = Survey.draw(config, 3, 7).dead_trace
    assert first.sum() == round(0.1 * 31 * 256)
    assert np.array_equal(first, Survey.draw(config, 3, 7).dead_trace)
    assert not np.array_equal(first, Survey.draw(config, 3, 8).dead_trace)
    assert not np.array_equal(first, Survey.draw(config, 4, 7).dead_trace)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_impossible_share_of_dead_traces_is_refused(share):
    with pytest.raises(InputError, match="dead traces"):
        draw_dead_traces((2, 3), share, random_stream(0, 0, 0))
