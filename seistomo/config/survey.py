"""``[survey]``: sources, receivers and recording; ``[simulation]``: the wave equation."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from seistomo.config.section import Section, chosen, setting

# Traces nearer to their source than this, m, do not count in a misfit.
NEAR_OFFSET = 75.0
Hertz = Annotated[float, Field(ge=0, le=1e6)]


class SurveyConfig(Section):
    """Acquisition geometry in metres, wavelet and recording time."""

    sources: int = setting(31, "Number of sources (shots).", ge=1, le=10_000)
    receivers: int = setting(256, "Number of receivers (traces of a shot).", ge=1, le=100_000)
    source_x: tuple[float, ...] | None = setting(
        None,
        "First and last source position, m, with the sources evenly spaced between them; or"
        " every position (as many as sources); left out: the whole width.",
    )
    receiver_x: tuple[float, ...] | None = setting(
        None,
        "First and last receiver position (not offset), m, with the receivers evenly spaced"
        " between them; or every position (as many as receivers); left out: the whole width.",
    )
    source_depth: float = setting(0.0, "Depth of the sources, m.", ge=0, le=1e6)
    receiver_depth: float = setting(0.0, "Depth of the receivers, m.", ge=0, le=1e6)
    source_jitter: float = setting(
        0.0,
        "Each sample's sources lie within this distance in x of their positions, m: drawn"
        " uniformly, kept inside the model.",
        ge=0,
        le=1e6,
    )
    receiver_jitter: float = setting(
        0.0,
        "Each sample's receivers lie within this distance in x of their positions, m: drawn"
        " uniformly, kept inside the model.",
        ge=0,
        le=1e6,
    )
    wavelet: Literal["ricker", "ormsby", "file"] = setting(
        "ricker",
        "Source wavelet: Ricker's of `frequency`, Ormsby's of `corner_frequencies`, or the one"
        " in `wavelet_file`.",
    )
    frequency: float = setting(
        8.0,
        "Peak frequency of the Ricker wavelet, Hz.",
        needs=chosen("survey.wavelet", "ricker"),
        gt=0,
        le=1e6,
    )
    corner_frequencies: tuple[Hertz, Hertz, Hertz, Hertz] | None = setting(
        None,
        "The Ormsby wavelet's spectrum rises between the first two frequencies, is flat between"
        " the middle two and falls between the last two, Hz.",
        needs=chosen("survey.wavelet", "ormsby"),
    )
    wavelet_file: str | None = setting(
        None,
        "Wavelet of your own (.txt, .csv or .npy): one column of samples every `time_step`, or"
        " two columns, time in s and sample.",
        needs=chosen("survey.wavelet", "file"),
    )
    amplitude: float = setting(
        1.0,
        "Peak of the wavelet, in the unit of the recorded field (docs/physics.md); a wavelet"
        " from a file is multiplied by it.",
    )
    delay: float | None = setting(
        None,
        "Time of the wavelet's peak after the start of the record, s (of time 0 in"
        " `wavelet_file`); left out: 1.5 periods of a Ricker wavelet, as many of the middle of an"
        " Ormsby wavelet's lower ramp (or the inverse width of its narrower ramp, if that is"
        " longer), 0 for a file.",
        ge=0,
        le=1e6,
    )
    time_step: float = setting(0.006, "Sampling interval (dt) of the records, s.", gt=0, le=10)
    time_samples: int = setting(
        300,
        "Number of samples recorded (nt): the length of a record over `time_step`.",
        ge=8,
        le=10**6,
    )
    dead_traces: Annotated[float, Field(ge=0, lt=1)] = setting(
        0.0, "Share of traces that record nothing, drawn anew for each sample."
    )

    @model_validator(mode="after")
    def _positions_are_counted(self) -> "SurveyConfig":
        for name in ("source", "receiver"):
            x, count = getattr(self, f"{name}_x"), getattr(self, f"{name}s")
            if x is not None and len(x) not in (2, count):
                raise ValueError(
                    f"survey.{name}_x = {list(x)}: must hold the first and last position, or all"
                    f" {count} of survey.{name}s; it holds {len(x)}"
                )
        return self

    @model_validator(mode="after")
    def _wavelet_is_given(self) -> "SurveyConfig":
        for kind, key in (("ormsby", "corner_frequencies"), ("file", "wavelet_file")):
            given = getattr(self, key)
            if self.wavelet == kind and not given:
                raise ValueError(f'survey.wavelet = "{kind}": needs survey.{key}')
            if self.wavelet != kind and given:
                raise ValueError(
                    f'survey.{key} = {given!r}: is for survey.wavelet = "{kind}",'
                    f' not "{self.wavelet}"'
                )
        corners = self.corner_frequencies or ()
        if any(low >= high for low, high in pairwise(corners)):
            raise ValueError(
                f"survey.corner_frequencies = {list(corners)}: must increase from each to the next"
            )
        return self

    @property
    def highest_frequency(self) -> float | None:
        """Frequency above which the wavelet holds next to nothing, Hz; None for one from a file.

        A Ricker wavelet holds 0.3 % of its peak spectrum at three times its peak frequency.
        """
        corners = self.corner_frequencies
        return {"ricker": 3 * self.frequency, "ormsby": corners and corners[-1]}.get(self.wavelet)

    @property
    def wavelet_name(self) -> str:
        """The wavelet in a few words."""
        if self.wavelet == "ricker":
            return f"Ricker wavelet, {self.frequency:g} Hz"
        if self.wavelet == "ormsby":
            return f"Ormsby wavelet, {'-'.join(f'{f:g}' for f in self.corner_frequencies)} Hz"
        return f"wavelet from {self.wavelet_file}"

    @property
    def jittered(self) -> bool:
        """Whether positions differ from sample to sample."""
        return self.source_jitter > 0 or self.receiver_jitter > 0

    def positions(self, width: float) -> dict[str, np.ndarray]:
        """Return the positions of sources and receivers before jitter, m.

        ``source_x`` and ``source_depth`` [source], ``receiver_x`` and ``receiver_depth``
        [receiver], in models of a width in m; a single one stands in the middle of its range.
        """
        return {
            "source_x": _spread(self.source_x or (0.0, width), self.sources),
            "source_depth": np.full(self.sources, self.source_depth),
            "receiver_x": _spread(self.receiver_x or (0.0, width), self.receivers),
            "receiver_depth": np.full(self.receivers, self.receiver_depth),
        }

    def reach(self, width: float) -> list[float]:
        """Return the least and the greatest x of any source or receiver with its jitter, m."""
        places = self.positions(width)
        jitters = [("source_x", self.source_jitter), ("receiver_x", self.receiver_jitter)]
        low = min(places[name].min() - jitter for name, jitter in jitters)
        high = max(places[name].max() + jitter for name, jitter in jitters)
        # Jitter does not leave the models.
        return [float(max(low, 0.0)), float(min(high, width))]


_GARDNER = chosen("simulation.density", "gardner")


class SimulationConfig(Section):
    """Finite-difference modelling."""

    accuracy: Literal[2, 4, 6, 8] = setting(4, "Order of the finite differences in space.")
    grid_spacing: float | None = setting(
        None, "Spacing of the modelling grid, m; left out: the spacing of the models.", gt=0, le=1e4
    )
    free_surface: bool = setting(
        False,
        "The models' top reflects as the sea's or land's surface does (no pressure); else it"
        " absorbs. Sources and receivers must then be a cell of the modelling grid deep.",
    )
    density: Literal["constant", "gardner"] = setting(
        "constant",
        "Density of the models: constant, or by Gardner's relation from the speed (acoustic"
        " equation of variable density).",
    )
    water_speed: float = setting(
        1540.0, "What is slower is water, m/s.", needs=_GARDNER, gt=0, le=1e4
    )
    water_density: float = setting(1025.0, "Density of water, kg/m³.", needs=_GARDNER, gt=0, le=1e4)
    salt_density: float | None = setting(
        None,
        "Density of what is faster than evaluation.salt_threshold, kg/m³ (rock salt: 2160); left"
        " out: by Gardner's relation.",
        needs=_GARDNER,
        gt=0,
        le=1e4,
    )
    pml_width: int = setting(
        10, "Width of the absorbing edges (PML, boundary), cells.", ge=4, le=200
    )
    models_per_call: int = setting(
        4, "Models whose shots are propagated together (memory against speed).", ge=1, le=10**4
    )
    noise_snr: float | None = setting(
        None, "Signal-to-noise ratio of added white noise, dB; left out: no noise.", ge=-100, le=200
    )


def offsets(positions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the distance from source to receiver [source, receiver], m.

    ``positions`` are ``source_x source_depth receiver_x receiver_depth``, m.
    """
    along = np.subtract.outer(positions["source_x"], positions["receiver_x"])
    down = np.subtract.outer(positions["source_depth"], positions["receiver_depth"])
    return np.hypot(along, down)


def _spread(x: tuple[float, ...], count: int) -> np.ndarray:
    """Return ``x`` where it holds all positions, else ``count`` between its first and last."""
    if len(x) == count:
        return np.array(x, dtype=np.float64)
    first, last = x
    return np.linspace(first, last, count) if count > 1 else np.array([(first + last) / 2])
