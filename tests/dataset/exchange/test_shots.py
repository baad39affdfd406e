"""Shot gathers of others are brought to a run's survey and time axis, or refused with numbers."""

import numpy as np
import pytest
import segyio

from seistomo.config import load_config
from seistomo.dataset.exchange import read_shots
from seistomo.dataset.exchange.shots import resampling_matrix
from seistomo.errors import InputError

FIELD = segyio.TraceField
SOURCES, RECEIVERS = np.array([100.0, 300.0, 500.0]), np.linspace(0, 600, 7)
CONFIG = load_config(
    "",
    [
        *("velocity.shape=[20, 31]", "velocity.spacing=20.0", "survey.sources=3"),
        *("survey.receivers=7", "survey.source_x=[100.0, 500.0]", "survey.time_step=0.01"),
        "survey.time_samples=40",
    ],
)
GATHERS = np.random.default_rng(0).normal(size=(3, 7, 40)).astype(np.float32)


def written(
    path,
    gathers=GATHERS,
    sources=SOURCES,
    receivers=RECEIVERS,
    *,
    step=10000,
    feet=False,
    order=None,
    keep=None,
    place=lambda x: (x, 0 * x),
    scalar=1,
    **headers,
):
    """Write shots with segyio; ``receivers`` are [receiver] or [shot, receiver].

    ``headers`` are numbers or arrays [trace], by field; ``keep`` chooses traces, ``order`` sorts.
    """
    shots = len(sources)
    receivers = np.broadcast_to(receivers, (shots, np.shape(receivers)[-1])).ravel()
    source = np.repeat(sources, len(receivers) // shots)
    fields = {"FieldRecord": np.repeat(np.arange(shots), len(receivers) // shots) + 1}
    fields |= {"SourceGroupScalar": scalar}
    factor = -scalar if scalar < 0 else 1 / scalar
    for name, x in (("Source", source), ("Group", receivers)):
        for axis, values in zip("XY", place(x), strict=True):
            fields[name + axis] = np.rint(values * factor)
    fields |= headers
    count = len(source)
    fields = {name: np.broadcast_to(values, count).astype(int) for name, values in fields.items()}
    chosen = np.arange(count) if order is None else order
    chosen = chosen if keep is None else chosen[keep[chosen]]
    traces = gathers.reshape(count, -1)[chosen]
    spec = segyio.spec()
    spec.samples, spec.tracecount = np.arange(traces.shape[1]), len(traces)
    spec.format = 5
    with segyio.create(path, spec) as file:
        file.bin[segyio.BinField.Interval] = step
        file.bin[segyio.BinField.MeasurementSystem] = 2 if feet else 1
        for number, trace in enumerate(chosen):
            file.header[number] = {
                segyio.tracefield.keys[name]: int(values[trace]) for name, values in fields.items()
            } | {117: step}
        file.trace.raw[:] = np.ascontiguousarray(traces, np.float32)
    return path


def test_what_fits_is_taken_as_it_is(tmp_path):
    shots = read_shots([written(tmp_path / "a.segy")], CONFIG)
    np.testing.assert_array_equal(shots.gathers[0], GATHERS)
    np.testing.assert_array_equal(shots.read_survey(0)["source_x"], SOURCES)
    np.testing.assert_array_equal(shots.read_survey(0)["receiver_x"], RECEIVERS)
    assert not shots.said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"order": np.random.default_rng(1).permutation(21)}, 0),
        # One record number for all: the place of the source tells the shots.
        ({"FieldRecord": 7}, 0),
        ({"FieldRecord": np.arange(21)}, 0),
        ({"scalar": -100}, 0),
        ({"scalar": 10}, 0),
        ({"place": lambda x: (x / 0.3048, 0 * x), "scalar": -10000, "feet": True}, 1),
        # A line somewhere in the world, in any direction.
        ({"place": lambda x: (450000 + 0.6 * x, 6.7e6 + 0.8 * x)}, 1),
        ({"place": lambda x: (7000 + 0 * x, x)}, 1),
        # Positions off by a little.
        ({"sources": SOURCES + np.array([0, 30, -20])}, 1),
        ({"SourceDepth": 12, "ReceiverGroupElevation": 350}, 2),
        ({"TraceIdentificationCode": 1, "ReceiverGroupElevation": -4}, 1),
    ],
)
def test_traces_find_their_place(tmp_path, options, told):
    shots = read_shots([written(tmp_path / "a.segy", **options)], CONFIG)
    np.testing.assert_allclose(shots.gathers[0], GATHERS, rtol=1e-6)
    wanted = options.get("sources", SOURCES)
    np.testing.assert_allclose(shots.read_survey(0)["source_x"], wanted, atol=0.5)
    assert len(shots.said) == told


def test_a_line_is_laid_along_the_survey_and_keeps_its_place(tmp_path):
    config = CONFIG.model_copy(
        update={"survey": CONFIG.survey.model_copy(update={"source_x": (0.0, 400.0)})}
    )
    sources = np.array([0.0, 200.0, 400.0])
    path = written(
        tmp_path / "a.segy", sources=sources, place=lambda x: (9000 - 0.8 * x, 500 + 0.6 * x)
    )
    shots = read_shots([path], config)
    np.testing.assert_array_equal(shots.gathers[0], GATHERS)
    x, y = shots.lines[0].places(np.array([0.0, 100.0]))
    np.testing.assert_allclose((x, y), ([9000, 8920], [500, 560]), atol=0.5)
    assert "the other way" in shots.said[-1]


def test_files_hold_a_shot_or_a_whole_survey_each(tmp_path):
    for shot, x in enumerate(SOURCES):
        written(tmp_path / f"{shot}.sgy", GATHERS[shot], [x], FieldRecord=1)
    single = read_shots([tmp_path], CONFIG)
    np.testing.assert_array_equal(single.gathers, GATHERS[None])
    paths = [written(tmp_path / f"{i}.segy", GATHERS * (i + 1)) for i in range(2)]
    both = read_shots(paths, CONFIG)
    np.testing.assert_array_equal(both.gathers, [GATHERS, 2 * GATHERS])


def test_dead_and_missing_traces_are_zero_and_auxiliary_ones_left_out(tmp_path):
    code = np.ones(21, int)
    code[4] = 2
    keep = np.arange(21) != 9
    path = written(tmp_path / "a.segy", TraceIdentificationCode=code)
    assert not read_shots([path], CONFIG).gathers[0, 0, 4].any()
    with pytest.raises(InputError, match="6 to 7 a shot at 7 places"):
        read_shots([written(tmp_path / "b.segy", keep=keep)], CONFIG)
    wide = np.random.default_rng(3).normal(size=(3, 13, 40)).astype(np.float32)
    more = CONFIG.model_copy(update={"survey": CONFIG.survey.model_copy(update={"receivers": 13})})
    keep = np.arange(39) != 20
    path = written(tmp_path / "c.segy", wide, SOURCES, np.linspace(0, 600, 13), keep=keep)
    shots = read_shots([path], more)
    assert not shots.gathers[0, 1, 7].any()
    np.testing.assert_array_equal(shots.gathers[0, 2], wide[2])
    assert "1 of 39 traces are missing" in shots.said[0]
    code = np.repeat([1, 1, 6], 7)
    with pytest.raises(InputError, match="2 shots"):
        read_shots([written(tmp_path / "d.segy", TraceIdentificationCode=code)], CONFIG)


@pytest.mark.parametrize(("step", "delay"), [(4000, 0), (2500, 0), (16000, 0), (10000, 25)])
def test_records_are_resampled_to_the_times_of_the_survey(tmp_path, step, delay):
    """A Ricker wavelet of 8 Hz at 0.2 s, whatever it is sampled with."""

    def ricker(time):
        phase = (np.pi * 8 * (time - 0.2)) ** 2
        return ((1 - 2 * phase) * np.exp(-phase)).astype(np.float32)

    time = delay / 1000 + np.arange(round(0.6e6 / step)) * step * 1e-6
    gathers = np.broadcast_to(ricker(time), (3, 7, len(time)))
    path = written(tmp_path / "a.segy", gathers, step=step, DelayRecordingTime=delay)
    shots = read_shots([path], CONFIG)
    late = shots.time >= delay / 1000
    np.testing.assert_allclose(shots.gathers[0, 1, 2][late], ricker(shots.time)[late], atol=2e-3)
    assert shots.frequency == pytest.approx(9.0, abs=0.5)


def test_resampling_takes_away_what_the_new_interval_cannot_hold():
    time = np.arange(1000) * 0.001
    wanted = np.arange(20, 80) * 0.01
    matrix = resampling_matrix(1000, 0.001, wanted)
    for frequency, kept in ((5, 1), (20, 1), (40, 1), (60, 0), (120, 0)):
        found = matrix @ np.sin(2 * np.pi * frequency * time)
        expected = kept * np.sin(2 * np.pi * frequency * wanted)
        np.testing.assert_allclose(found[10:-10], expected[10:-10], atol=2e-3)


BAD = np.where(np.arange(40) == 3, np.nan, GATHERS).astype(np.float32)
ONE_BAD = GATHERS.copy()
ONE_BAD[1, 2, 3] = np.inf
SEVEN = np.arange(7) * 100.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gathers": BAD}, "21 of 21 traces.* not finite"),
        ({"gathers": ONE_BAD}, "1 of 21 traces, first trace 10,.* not finite"),
        ({"gathers": 0 * GATHERS}, "all 21 traces are zero"),
        ({"gathers": GATHERS[:, :, :30]}, r"end 0\.29 s .* 0\.39 s"),
        ({"sources": SOURCES + np.array([0, 0, 120])}, r"source 3 .* 120 m .* 50 m"),
        ({"receivers": RECEIVERS * 0.8}, r"receiver 7 .* 90 m .* 50 m"),
        ({"receivers": RECEIVERS / 2}, r"receiver 7 .* 225 m .* 50 m"),
        ({"sources": SOURCES[:2], "gathers": GATHERS[:2]}, "2 shots.* = 3"),
        ({"receivers": RECEIVERS[:5], "gathers": GATHERS[:, :5]}, "5 receivers.* = 7"),
        ({"receivers": SOURCES[:, None] + SEVEN}, "streamer.* 7 receivers.* 0 to 600 m"),
        ({"receivers": np.array([[0], [200], [300]]) + SEVEN}, "per-shot receivers, 7 to 7 .* 10"),
        ({"SourceX": 0, "FieldRecord": 1}, "one source position"),
        ({"CoordinateUnits": 2}, "arc seconds"),
        ({"SourceDepth": 120}, r"120 .* deep.* 0 m.* 50 m"),
        ({"ReceiverGroupElevation": np.repeat([300, 300, 420], 7)}, "m deep"),
        ({"step": 0}, "no sample interval"),
        ({"DelayRecordingTime": 5000}, r"begin 5 s after .* 0\.39 s"),
        ({"gathers": np.pad(GATHERS, ((0, 0), (0, 0), (40, 0)))}, r"zero up to 0\.39 s"),
        ({"TraceIdentificationCode": 6}, "no traces of receivers"),
        ({"receivers": np.array([0, 0, 200, 300, 400, 500, 600.0])}, "2 traces at one receiver"),
        (
            {"place": lambda x: (x, 200 * np.sin(x / 150))},
            r"crooked line.* half a receiver spacing, 50 m",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_numbers(tmp_path, options, words):
    with pytest.raises(InputError, match=words) as refusal:
        read_shots([written(tmp_path / "a.segy", **options)], CONFIG)
    assert "a.segy" in str(refusal.value)


def test_files_that_are_no_shots_are_refused(tmp_path):
    (tmp_path / "a.segy").write_bytes(b"no" * 4000)
    whole = written(tmp_path / "b.segy").read_bytes()
    (tmp_path / "c.segy").write_bytes(whole[:5000])
    for name in ("a.segy", "c.segy", "none.segy"):
        with pytest.raises(InputError, match=name):
            read_shots([tmp_path / name], CONFIG)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no such SEG-Y file"):
        read_shots([tmp_path / "empty"], CONFIG)
