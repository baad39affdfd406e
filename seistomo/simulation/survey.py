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

        Sources and receivers are the same for all samples; the dead traces are drawn.
        """
        survey = config.survey
        return cls(
            **survey.positions(config.velocity.x_extent),
            dead_trace=draw_dead_traces(
                (survey.sources, survey.receivers),
                survey.dead_traces,
                random_stream(seed, index, DEAD_TRACES),
            ),
        )
