"""Shot gathers of one's own from SEG-Y, brought to the survey that a network was trained for.

Positions come from the trace headers: x and y of source (bytes 73, 77) and receiver (81, 85) with
their scalar (71), depth of the source (49) and elevation of the receiver (41) with theirs (69), in
metres or feet. The line may lie anywhere and run either way: it is laid along the survey's x axis.
Time is counted from the shot: the first sample comes at the delay (109).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.config import Config
from seistomo.dataset.exchange.model_file import FOOT
from seistomo.dataset.exchange.segy import COORDINATE_UNITS, DEAD, factor_of, open_segy
from seistomo.errors import InputError
from seistomo.files import reading
from seistomo.progress import counted
from seistomo.simulation.acquisition import windowed_sinc

OWN = "segy-"
"""How the identity of gathers of one's own begins; nobody knows their true models."""
ENDINGS = (".segy", ".sgy", ".seg")
# Trace codes (byte 29) of time breaks, sweeps, water breaks and the like: no records of a receiver.
AUXILIARY = (4, 5, 6, 7, 8)
# Resampling: half the length of the kernel in zeros of its sinc, and its Kaiser window's parameter.
HALF_KERNEL, KERNEL_BETA = 24, 8.0
MOST_MISSING = 0.1
"""Share of a shot's traces that may be missing from a file; they are dead then."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """Where the survey's x axis lies in the coordinates of a file."""

    x: float  # of the survey's x = 0, m
    y: float
    along: tuple[float, float]  # unit vector of growing x

    def places(self, x: Array) -> tuple[Array, Array]:
        """Return the coordinates of positions along the survey's x axis, m."""
        return self.x + self.along[0] * x, self.y + self.along[1] * x


@dataclass(frozen=True)
class RecordedShots:
    """Gathers of one's own on the survey and time axis of a configuration.

    It answers what a `DatasetReader` answers of gathers; there are no true models.

    Attributes
    ----------
    path
        The first file.
    config
        The configuration whose survey they were brought to.
    gathers
        float32 [sample, source, receiver, time].
    surveys
        Positions of each sample, m, along the survey's x axis.
    lines
        Where each sample's x axis lies in its file.
    frequency
        Mean over the power spectrum of the live traces as recorded, Hz.
    said
        What was found and done, a sentence each.
    """

    path: Path
    config: Config
    gathers: NDArray[np.float32]
    surveys: list[dict[str, Array]]
    lines: list[Line]
    frequency: float
    said: list[str]

    @property
    def samples(self) -> int:
        """Number of surveys."""
        return len(self.gathers)

    @property
    def time(self) -> Array:
        """Time of the samples, s."""
        return _time_axis(self.config)

    @property
    def velocity_shape(self) -> tuple[int, int]:
        """(depth, x) of a model."""
        return tuple(self.config.velocity.shape)

    @property
    def depth(self) -> Array:
        """Depths of a model's nodes, m."""
        return self.config.velocity.spacing * np.arange(self.config.velocity.shape[0])

    @property
    def x(self) -> Array:
        """Places of a model's nodes along the survey's x axis, m."""
        return self.config.velocity.spacing * np.arange(self.config.velocity.shape[1])

    @property
    def identity(self) -> str:
        """Short hash of the gathers, which begins with `OWN`."""
        return f"{OWN}{zlib.crc32(np.ascontiguousarray(self.gathers)):08x}"

    def read_gathers(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Return gathers, float32 [sample, source, receiver, time]."""
        return self.gathers[np.asarray(indices, int)]

    def read_survey(self, index: int) -> dict[str, Array]:
        """Return one sample's source and receiver positions, m."""
        return self.surveys[index]

    def seeds(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return a number in place of the seed, and the index, of each sample [sample, 2]."""
        return np.stack([np.zeros(len(indices), int), np.asarray(indices, int)], axis=1)

    def read_dead_traces(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Return which traces are zero throughout, bool [sample, source, receiver]."""
        return ~self.read_gathers(indices).any(axis=-1)

    def scaled(self, factor: float) -> "RecordedShots":
        """Return the same with other amplitudes."""
        return replace(self, gathers=self.gathers * np.float32(factor))


def read_shots(paths: Sequence[str | Path], config: Config) -> RecordedShots:
    """Read shot gathers and bring them to the survey of a configuration.

    Parameters
    ----------
    paths
        SEG-Y files, or folders of them. A file with as many shots as the survey is a sample of its
        own; else all files together are one.
    config
        A run's configuration.

    Raises
    ------
    InputError
        If a file cannot be read, holds no shots of this survey, values that are not finite or
        nothing but zeros, or ends too early.
    """
    files = [_read_traces(path, config) for path in _files(paths)]
    wanted = config.survey.sources
    if len(files) > 1 and not all(len(np.unique(each.shot)) >= wanted for each in files):
        files = [_joined(files)]
    samples = [_survey_of(traces, config) for traces in files]
    energy = sum(traces.energy for traces in files)
    moment = sum(traces.moment for traces in files)
    said = dict.fromkeys(sentence for _, _, _, sentences in samples for sentence in sentences)
    return RecordedShots(
        files[0].path,
        config,
        np.stack([gathers for gathers, _, _, _ in samples]),
        [survey for _, survey, _, _ in samples],
        [line for _, _, line, _ in samples],
        moment / energy,
        [*dict.fromkeys(s for traces in files for s in traces.said), *said],
    )


def _files(paths: Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        inside = path.iterdir() if path.is_dir() else [path]
        files = sorted(file for file in inside if file == path or file.suffix.lower() in ENDINGS)
        if not files or not files[0].is_file():
            raise InputError(f"{path}: no such SEG-Y file")
        found += files
    return found


@dataclass(frozen=True)
class _Traces:
    """The records of a file, or of several, on the time axis wanted."""

    path: Path
    records: NDArray[np.float32]  # [trace, time]
    shot: NDArray[np.int64]  # the number of each trace's shot
    record: NDArray[np.int64]  # field record
    source: Array  # [trace, 3]: x, y, depth, m
    receiver: Array  # likewise
    energy: float  # over the power spectrum as recorded
    moment: float  # the same, times frequency, Hz
    said: tuple[str, ...] = ()


def _joined(files: Sequence[_Traces]) -> _Traces:
    """Return several files as one."""
    names = ("records", "record", "source", "receiver")
    parts = {name: np.concatenate([getattr(each, name) for each in files]) for name in names}
    return _Traces(
        files[0].path,
        shot=_shots(parts["record"], parts["source"]),
        energy=sum(each.energy for each in files),
        moment=sum(each.moment for each in files),
        said=tuple(dict.fromkeys(sentence for each in files for sentence in each.said)),
        **parts,
    )


def _read_traces(path: Path, config: Config) -> _Traces:
    with reading(path), open_segy(path) as file:
        field = {byte: file.attributes(byte)[:].astype(np.int64) for byte in _FIELDS}
        records = file.trace.raw[:].astype(np.float32)
        feet, interval = file.bin[3255] == 2, file.bin[3217]
    kept = ~np.isin(field[29], AUXILIARY)
    said = []
    if not kept.all():
        said.append(f"{path}: {counted(int(np.sum(~kept)), 'auxiliary trace')} left out")
        field = {byte: values[kept] for byte, values in field.items()}
        records = records[kept]
    if not len(records):
        raise InputError(f"{path}: holds no traces of receivers")
    for code in np.unique(field[89]):
        if angle := COORDINATE_UNITS.get(int(code)):
            raise InputError(f"{path}: its positions are in {angle}; give them in metres")
    bad = ~np.isfinite(records).all(axis=1)
    if bad.any():
        raise InputError(
            f"{path}: {np.count_nonzero(bad)} of {len(bad)} traces, first trace"
            f" {np.argmax(bad) + 1}, hold values that are not finite numbers"
        )
    records[field[29] == DEAD] = 0
    if not records.any():
        raise InputError(f"{path}: all {len(records)} traces are zero")
    steps = np.unique(field[117] & 0xFFFF)
    if len(steps) > 1:
        raise InputError(f"{path}: its traces are sampled every {steps[0]} to {steps[-1]} µs")
    step = int(steps[0] or interval & 0xFFFF) * 1e-6
    if not step:
        raise InputError(f"{path}: says no sample interval (bytes 117 and 3217)")
    scale = factor_of(field[215])
    start = field[109] * scale * 1e-3
    records, energy, moment, words = _on_time_axis(path, records, start, step, config)
    across, down = factor_of(field[71]), factor_of(field[69])
    unit = FOOT if feet else 1.0
    source = np.stack([field[73] * across, field[77] * across, field[49] * down], 1) * unit
    receiver = np.stack([field[81] * across, field[85] * across, -field[41] * down], 1) * unit
    shot = _shots(field[9], source)
    said += words + [f"{path}: lengths are in feet"] * feet
    return _Traces(path, records, shot, field[9], source, receiver, energy, moment, tuple(said))


# First bytes of the fields that are read.
_FIELDS = (9, 29, 41, 49, 69, 71, 73, 77, 81, 85, 89, 109, 117, 215)


def _shots(record: NDArray[np.int64], source: Array) -> NDArray[np.int64]:
    """Return the number of each trace's shot: by place, or by record where each has one place."""
    _, by_place = np.unique(np.round(source[:, :2], 2), axis=0, return_inverse=True)
    _, by_record = np.unique(record, return_inverse=True)
    by_place, by_record = by_place.reshape(-1), by_record.reshape(-1)
    if by_place.max() and not by_record.max():
        return by_place
    pairs = len(np.unique(np.stack([by_place, by_record], 1), axis=0))
    # A record whose traces differ a little in their source's place is one shot.
    return by_record if pairs > by_place.max() + 1 == by_record.max() + 1 else by_place


def _time_axis(config: Config) -> Array:
    return np.arange(config.survey.time_samples) * config.survey.time_step


def _on_time_axis(
    path: Path, records: NDArray[np.float32], start: Array, step: float, config: Config
) -> tuple[NDArray[np.float32], float, float, list[str]]:
    """Bring records [trace, sample] to the survey's times; return also energy and moment.

    ``start`` is the time of the first sample [trace], ``step`` from one to the next, s.
    """
    time, survey = _time_axis(config), config.survey
    end = float((start + (records.shape[1] - 1) * step).min())
    if end < time[-1] - 0.5 * max(step, survey.time_step):
        raise InputError(
            f"{path}: its records end {end:g} s after the shot, too short: survey.time_samples ="
            f" {survey.time_samples} of {survey.time_step:g} s end at {time[-1]:g} s"
        )
    late = float(start.max())
    if late >= time[-1]:
        raise InputError(
            f"{path}: its records begin {late:g} s after the shot (delay, byte 109), when those of"
            f" the run have ended, at {time[-1]:g} s"
        )
    result = np.zeros((len(records), len(time)), np.float32)
    energy = moment = 0.0
    said = []
    for first in np.unique(start):
        rows = start == first
        used = slice(0, int(np.ceil((time[-1] - first) / step - 1e-9)) + 1)
        part = records[rows, used]
        power = np.square(np.abs(np.fft.rfft(part.astype(np.float64), axis=1))).sum(axis=0)
        power[1:] *= 2
        energy += float(power.sum())
        moment += float(power @ np.fft.rfftfreq(part.shape[1], step))
        shift = (time - first) / step
        whole = np.rint(shift).astype(int)
        if abs(step / survey.time_step - 1) < 1e-9 and np.abs(shift - whole).max() < 1e-6:
            inside = (whole >= 0) & (whole < records.shape[1])
            result[np.ix_(rows, inside)] = records[rows][:, whole[inside]]
        else:
            matrix = resampling_matrix(records.shape[1], step, time - first)
            result[rows] = records[rows] @ matrix.T
    if not energy:
        raise InputError(f"{path}: all traces are zero up to {time[-1]:g} s, where the run's end")
    if abs(step / survey.time_step - 1) >= 1e-9:
        said.append(
            f"{path}: resampled from {1e3 * step:g} to {1e3 * survey.time_step:g} ms"
            + (", without aliases" if step < survey.time_step else "")
        )
    if late > survey.time_step / 2:
        said.append(f"{path}: its records begin {late:g} s after the shot; silence before that")
    return result, energy, moment, said


def resampling_matrix(samples: int, step: float, time: Array) -> Array:
    """Return the matrix [time, sample] that gives samples every ``step`` s at other times, s.

    A sinc under a Kaiser window; what lies above the lower of the two Nyquist frequencies is
    taken away.
    """
    wanted = time[1] - time[0]
    longest = max(step, wanted)
    distance = (time[:, None] - np.arange(samples) * step) / longest
    return windowed_sinc(distance, HALF_KERNEL, KERNEL_BETA) * step / longest


def _survey_of(
    traces: _Traces, config: Config
) -> tuple[NDArray[np.float32], dict[str, Array], Line, list[str]]:
    """Sort traces into [source, receiver, time]; return also positions, line and what was done."""
    path, survey = traces.path, config.survey
    shots = int(traces.shot.max()) + 1
    if not np.ptp(traces.source[:, :2], axis=0).any() and shots < survey.sources:
        raise InputError(
            f"{path}: all {len(traces.shot)} traces have one source position (bytes 73 to 80): it"
            f" says no geometry of survey.sources = {survey.sources} shots"
        )
    if shots != survey.sources:
        raise InputError(
            f"{path}: holds {counted(shots, 'shot')}, but the run was trained with survey.sources"
            f" = {survey.sources}"
        )
    targets = survey.positions(config.velocity.x_extent)
    spacing = _receiver_spacing(targets, config)
    line, source_x, receiver_x = _along_line(traces, spacing)
    sources = np.array([np.median(source_x[traces.shot == shot]) for shot in range(shots)])
    # Positions of one receiver may differ a little from shot to shot.
    by_x = np.argsort(receiver_x, kind="stable")
    steps = np.diff(receiver_x[by_x]) > spacing / 4
    receiver = np.empty(len(by_x), int)
    receiver[by_x] = np.concatenate([[0], np.cumsum(steps)])
    receivers = np.bincount(receiver, receiver_x) / np.bincount(receiver)
    present = np.zeros((shots, len(receivers)), int)
    np.add.at(present, (traces.shot, receiver), 1)
    _check_spread(traces, present, sources, receivers, receiver_x, config, spacing)
    sign, shift, said = _alignment(path, sources, receivers, targets, spacing, config)
    said = [f"{path}: {sentence}" for sentence in said + _depths(traces, targets, spacing)]
    if missing := int(np.sum(present == 0)):
        said.append(f"{path}: {missing} of {present.size} traces are missing and count as dead")
    sources, receivers = sign * sources + shift, sign * receivers + shift
    # The place of each in the order of the run's survey, which need not be that of x.
    place_of = {}
    for name, x in (("source_x", sources), ("receiver_x", receivers)):
        place_of[name] = np.empty(len(x), int)
        place_of[name][np.argsort(x)] = np.argsort(targets[name], kind="stable")
    gathers = np.zeros((*present.shape, traces.records.shape[1]), np.float32)
    gathers[place_of["source_x"][traces.shot], place_of["receiver_x"][receiver]] = traces.records
    positions = {name: targets[name].copy() for name in targets}
    positions["source_x"][place_of["source_x"]] = sources
    positions["receiver_x"][place_of["receiver_x"]] = receivers
    (x,), (y,) = line.places(np.array([-shift * sign]))
    line = Line(float(x), float(y), (sign * line.along[0], sign * line.along[1]))
    if shift or sign < 0 or line.along[1]:
        said.append(
            f"{path}: x = 0 of the run's survey is taken at x {x:.10g}, y {y:.10g} m"
            + ", and its line runs the other way" * (sign < 0)
        )
    return gathers, positions, line, said


def _receiver_spacing(targets: dict[str, Array], config: Config) -> float:
    x = np.sort(targets["receiver_x"])
    return float(np.median(np.diff(x))) if len(x) > 1 else config.velocity.spacing


def _along_line(traces: _Traces, spacing: float) -> tuple[Line, Array, Array]:
    """Return the straight line through all positions, and those of sources and receivers on it."""
    places = np.concatenate([traces.source[:, :2], traces.receiver[:, :2]])
    origin, along = np.zeros(2), np.array([1.0, 0.0])
    if np.ptp(places[:, 1]):
        origin = places.mean(axis=0)
        along = np.linalg.svd(np.unique(places, axis=0) - origin, full_matrices=False)[2][0]
        along = along * (-1 if (along[0] or along[1]) < 0 else 1)
        away = np.abs((places - origin) @ [-along[1], along[0]]).max()
        if away > spacing / 2:
            raise InputError(
                f"{traces.path}: a crooked line, positions lie up to {away:.4g} m beside a straight"
                f" one; allowed is half a receiver spacing, {spacing / 2:g} m"
            )
    line = Line(
        float(origin[0]), float(origin[1] or places[0, 1]), (float(along[0]), float(along[1]))
    )
    source_x, receiver_x = (
        (each[:, :2] - origin) @ along for each in (traces.source, traces.receiver)
    )
    return line, source_x, receiver_x


def _check_spread(
    traces: _Traces,
    present: NDArray[np.int64],
    sources: Array,
    receivers: Array,
    receiver_x: Array,
    config: Config,
    spacing: float,
) -> None:
    """Refuse receivers that move, that come twice, or that are not as many as the run's.

    ``present`` is the number of traces [shot, receiver].
    """
    path, wanted = traces.path, config.survey.receivers
    offsets = [np.sort(receiver_x[traces.shot == i] - x) for i, x in enumerate(sources)]
    moving = len(sources) > 1 and all(len(each) == len(offsets[0]) for each in offsets)
    moving = moving and all(np.abs(each - offsets[0]).max() < spacing / 4 for each in offsets)
    if moving and np.ptp(sources) > spacing / 4:
        raise InputError(
            f"{path}: a streamer, its {len(offsets[0])} receivers move with the source (offsets"
            f" {offsets[0][0]:g} to {offsets[0][-1]:g} m); the run was trained with {wanted}"
            " receivers that stay"
        )
    if present.max() > 1:
        shot, receiver = np.unravel_index(present.argmax(), present.shape)
        record = traces.record[traces.shot == shot][0]
        raise InputError(
            f"{path}: field record {record} has {present[shot, receiver]} traces at one receiver,"
            f" {receivers[receiver]:g} m along the line"
        )
    counts = (present > 0).sum(axis=1)
    if len(receivers) != wanted and counts.min() == counts.max() == len(receivers):
        raise InputError(
            f"{path}: has {counted(len(receivers), 'receiver')}, but the run was trained with"
            f" survey.receivers = {wanted}"
        )
    if len(receivers) != wanted or counts.min() < (1 - MOST_MISSING) * wanted:
        raise InputError(
            f"{path}: per-shot receivers, {counts.min()} to {counts.max()} a shot at"
            f" {len(receivers)} places; the run was trained with survey.receivers = {wanted} that"
            " are the same for all shots"
        )


def _alignment(
    path: Path,
    sources: Array,
    receivers: Array,
    targets: dict[str, Array],
    spacing: float,
    config: Config,
) -> tuple[float, float, list[str]]:
    """Return sign and shift that lay positions along the survey's x axis, and what to say.

    As they are; else shifted; else reversed and shifted.
    """
    names = ("source", "receiver")
    wanted = [np.sort(targets[f"{name}_x"]) for name in names]
    allowed = [spacing / 2 + getattr(config.survey, f"{name}_jitter") + 1e-6 for name in names]
    best = None
    for sign, moves in ((1.0, False), (1.0, True), (-1.0, True)):
        away = [
            places - np.sort(sign * found)
            for found, places in zip((sources, receivers), wanted, strict=True)
        ]
        # One position that is off does not move the others.
        shift = float(np.median(np.concatenate(away))) if moves else 0.0
        errors = [np.abs(each - shift) for each in away]
        excess = max(float(np.max(e - a)) for e, a in zip(errors, allowed, strict=True))
        if best is None or excess < best[0]:
            best = (excess, sign, shift, errors)
        if excess <= 0:
            break
    excess, sign, shift, errors = best
    worst = int(errors[1].max() > errors[0].max())
    far = float(errors[worst].max())
    if excess > 0:
        place = int(errors[worst].argmax())
        moved = f", moved by {shift:.6g} m" * bool(shift) + ", reversed" * (sign < 0)
        raise InputError(
            f"{path}: {names[worst]} {place + 1} along the line{moved} lies {far:.4g} m from the"
            f" run's, at {wanted[worst][place]:g} m; allowed is half a receiver spacing,"
            f" {spacing / 2:g} m"
        )
    said = []
    if far > 0.01 * spacing:
        said.append(f"positions differ by up to {far:.3g} m from the run's survey")
    return sign, shift, said


def _depths(traces: _Traces, targets: dict[str, Array], spacing: float) -> list[str]:
    """Refuse depths unlike the run's; say where the headers leave them out."""
    said = []
    for name, depth in (("source", traces.source[:, 2]), ("receiver", traces.receiver[:, 2])):
        wanted = float(targets[f"{name}_depth"][0])
        if not depth.any():
            if wanted:
                said.append(f"says no {name} depths; taken as the run's {wanted:g} m")
            continue
        if np.all(depth < 0):
            # Elevations above sea level, of a land line: its surface is the model's top.
            said.append(
                f"{name}s lie {-depth.mean():.6g} m above datum; taken as depth {wanted:g} m"
            )
            depth = depth - depth.mean() + wanted
        away = float(np.abs(depth - wanted).max())
        if away > spacing / 2:
            raise InputError(
                f"{traces.path}: {name}s lie {depth.min():.4g} to {depth.max():.4g} m deep, the"
                f" run's {wanted:g} m; allowed is half a receiver spacing, {spacing / 2:g} m"
            )
        if away > 0.01 * spacing:
            said.append(f"{name} depths differ by up to {away:.3g} m from the run's {wanted:g} m")
    return said
