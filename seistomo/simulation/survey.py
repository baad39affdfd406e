"""The survey: where the sources and receivers of one sample are."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import Config
from seistomo.simulation.noise import (
    DEAD_TRACES,
    RECEIVER_JITTER,
    SOURCE_JITTER,
    draw_dead_traces,
    random_stream,
)


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

        The jitter of sources and receivers and the dead traces are drawn; without jitter, the
        positions are the same for all samples.
        """
        survey, width = config.survey, config.velocity.x_extent
        places = survey.positions(width)
        for name, jitter, purpose in (
            ("source_x", survey.source_jitter, SOURCE_JITTER),
            ("receiver_x", survey.receiver_jitter, RECEIVER_JITTER),
        ):
            if jitter:
                rng = random_stream(seed, index, purpose)
                places[name] = draw_jittered(places[name], jitter, width, rng)
        return cls(
            **places,
            dead_trace=draw_dead_traces(
                (survey.sources, survey.receivers),
                survey.dead_traces,
                random_stream(seed, index, DEAD_TRACES),
            ),
        )


def draw_jittered(
    x: np.ndarray, jitter: float, width: float, rng: np.random.Generator
) -> np.ndarray:
    """Move points at random, each by at most ``jitter``, within 0 to ``width``.

    Parameters
    ----------
    x
        float64 [point], m, within the model.
    jitter
        Largest distance, m.
    width
        Horizontal extent of the model, m.
    rng
        Random generator; one uniform number is drawn for each point.

    Returns
    -------
    numpy.ndarray
        float64 [point], m: uniform over what of x ± jitter lies in the model.
    """
    return rng.uniform(np.maximum(x - jitter, 0), np.minimum(x + jitter, width))
