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


def test_every_position_may_be_given():
    config = load_config(
        "",
        [
            "survey.sources=5",
            "survey.source_x=[0.0, 170.0, 340.0, 520.0, 690.0]",
            "survey.receivers=1",
            "survey.receiver_x=[700.0]",
        ],
    )
    survey = Survey.draw(config, 0, 0)
    assert survey.source_x.tolist() == [0.0, 170.0, 340.0, 520.0, 690.0]
    assert survey.receiver_x.tolist() == [700.0]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["survey.source_x=[0, 10, 20]"], "survey.source_x = [0.0, 10.0, 20.0]: .* all 31 "),
        (["survey.receivers=2", "survey.receiver_x=[5]"], "survey.receiver_x = [5.0]: .* all 2 "),
        (["survey.sources=3", "survey.source_x=[0, 10, 2000]"], "2000.0]: must lie within"),
        (["survey.source_jitter=-1"], "survey.source_jitter"),
    ],
)
def test_positions_that_do_not_fit_are_refused(overrides, named):
    with pytest.raises(InputError, match=named.replace("[", r"\[").replace("]", r"\]")):
        load_config("", overrides)


def test_jitter_moves_positions_evenly_and_keeps_them_inside():
    config = load_config("", ["survey.source_jitter=12.0", "survey.receiver_jitter=4.0"])
    still = Survey.draw(load_config(), 0, 0)
    surveys = [Survey.draw(config, 5, index) for index in range(400)]
    moved = np.stack([survey.source_x for survey in surveys]) - still.source_x
    assert np.abs(moved).max() <= 12.0
    # Uniform over 24 m: a deviation of 6.9 m, known from 11,600 draws to 0.05 m.
    assert moved[:, 1:-1].std() == pytest.approx(24 / np.sqrt(12), abs=0.2)
    assert np.abs(moved[:, 1:-1].mean()) < 0.3
    # At the model's edge, over the half that lies inside.
    assert moved[:, 0].min() >= 0
    assert moved[:, 0].mean() == pytest.approx(6, abs=1)
    assert moved[:, -1].max() <= 0
    receivers = np.stack([survey.receiver_x for survey in surveys])
    assert np.abs(receivers - still.receiver_x).max() <= 4.0
    assert receivers.min() >= 0
    assert receivers.max() <= 1485
    assert np.abs(np.corrcoef(moved[:, 5], moved[:, 6])[0, 1]) < 0.2


def test_jitter_depends_on_seed_and_index_alone():
    jitter = ["survey.source_jitter=12.0", "survey.receiver_jitter=4.0"]
    first = Survey.draw(load_config("", jitter), 3, 7)
    again = Survey.draw(load_config("", [*jitter, "survey.dead_traces=0.1"]), 3, 7)
    assert np.array_equal(first.source_x, again.source_x)
    assert np.array_equal(first.receiver_x, again.receiver_x)
    for seed, index in ((3, 8), (4, 7)):
        other = Survey.draw(load_config("", jitter), seed, index)
        assert not np.any(first.source_x == other.source_x)
        assert not np.any(first.receiver_x == other.receiver_x)
    # Neither moves the other, nor the dead traces.
    fewer = Survey.draw(load_config("", jitter[1:]), 3, 7)
    assert np.array_equal(first.receiver_x, fewer.receiver_x)
    still = Survey.draw(load_config("", ["survey.dead_traces=0.1"]), 3, 7)
    assert np.array_equal(again.dead_trace, still.dead_trace)


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
