"""The survey: where the sources and receivers of one sample are."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import Config
from seistomo.simulation.noise import DEAD_TRACES, draw_dead_traces, random_stream


@dataclass(frozen=True, eq=False)
class Survey:
    """Acquisition geometry of one sample, in metres from the model's upper left node.

    Attributes
    ----------
    source_x, source_depth
        float64 [source], m.
    receiver_x, receiver_depth
        float64 [receiver], m.
    dead_trace
        bool [source, receiver], true where nothing is recorded.
    """

    source_x: np.ndarray
    source_depth: np.ndarray
    receiver_x: np.ndarray
    receiver_depth: np.ndarray
    dead_trace: np.ndarray

    @classmethod
    def draw(cls, config: Config, seed: int, index: int) -> "Survey":
        """Return the survey of sample ``index``; it depends on (config, seed, index) alone.

        Sources and receivers are evenly spaced, the same for all samples; a single one stands in
        the middle of its range. The dead traces are drawn.
        """
        survey, width = config.survey, config.velocity.x_extent
        source_x = _spread(survey.source_x or (0.0, width), survey.sources)
        receiver_x = _spread(survey.receiver_x or (0.0, width), survey.receivers)
        return cls(
            source_x=source_x,
            source_depth=np.full(survey.sources, survey.source_depth),
            receiver_x=receiver_x,
            receiver_depth=np.full(survey.receivers, survey.receiver_depth),
            dead_trace=draw_dead_traces(
                (survey.sources, survey.receivers),
                survey.dead_traces,
                random_stream(seed, index, DEAD_TRACES),
            ),
        )


def _spread(ends: tuple[float, float], count: int) -> np.ndarray:
    first, last = ends
    return np.linspace(first, last, count) if count > 1 else np.array([(first + last) / 2])
