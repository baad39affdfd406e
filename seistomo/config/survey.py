"""``[survey]``: where the sources and receivers are, the wavelet and the recording."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from seistomo.config.base import Section


class SurveyConfig(Section):
    """Acquisition geometry in metres, wavelet and recording time."""

    sources: int = Field(31, ge=1, description="Number of sources, evenly spaced over source_x.")
    receivers: int = Field(
        256, ge=1, description="Number of receivers, evenly spaced over receiver_x."
    )
    source_x: tuple[float, float] | None = Field(
        None, description="First and last source position, m; left out: the whole width."
    )
    receiver_x: tuple[float, float] | None = Field(
        None, description="First and last receiver position, m; left out: the whole width."
    )
    source_depth: float = Field(0.0, ge=0, description="Depth of the sources, m.")
    receiver_depth: float = Field(0.0, ge=0, description="Depth of the receivers, m.")
    wavelet: Literal["ricker"] = Field("ricker", description="Source wavelet.")
    frequency: float = Field(8.0, gt=0, description="Peak frequency of the wavelet, Hz.")
    amplitude: float = Field(
        1.0,
        allow_inf_nan=False,
        description="Peak of the wavelet, in the unit of the recorded field (docs/physics.md).",
    )
    time_step: float = Field(0.006, gt=0, description="Sampling interval of the records, s.")
    time_samples: int = Field(300, ge=8, description="Number of samples recorded.")
    dead_traces: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of traces that record nothing, drawn anew for each sample."
    )

    def positions(self, width: float) -> dict[str, np.ndarray]:
        """Return the positions of sources and receivers, evenly spaced, m.

        A single one stands in the middle of its range.

        Parameters
        ----------
        width
            Horizontal extent of the models, m.

        Returns
        -------
        dict
            ``source_x`` and ``source_depth`` [source], ``receiver_x`` and ``receiver_depth``
            [receiver].
        """
        return {
            "source_x": _spread(self.source_x or (0.0, width), self.sources),
            "source_depth": np.full(self.sources, self.source_depth),
            "receiver_x": _spread(self.receiver_x or (0.0, width), self.receivers),
            "receiver_depth": np.full(self.receivers, self.receiver_depth),
        }


def _spread(ends: tuple[float, float], count: int) -> np.ndarray:
    first, last = ends
    return np.linspace(first, last, count) if count > 1 else np.array([(first + last) / 2])
