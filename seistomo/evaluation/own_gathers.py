"""Gathers of one's own beside those that a network was trained on: band, amplitude, polarity."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seistomo.config.survey import offsets
from seistomo.dataset.exchange import RecordedShots, read_shots
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.prediction import unlike_records
from seistomo.progress import say, warn
from seistomo.simulation import Simulator
from seistomo.training import Run
from seistomo.training.gather_statistics import gather_statistics

BAND = 1.5
"""Mean frequency is refused beyond this factor from the training data's."""
NEAREST, ALIKE = 0.1, 0.5
"""Share of the traces, those nearest to their source, that tell the polarity: the wave along the
surface reaches them at the same time over all models. From this correlation with the mean training
gather on its sign is believed."""

Gathers = NDArray[np.float32]


def as_in_training(run: Run, segy: Sequence[str | Path]) -> RecordedShots:
    """Read gathers and bring them to the survey, amplitudes and polarity of a run's training data.

    What was found and done is said. Another frequency band is refused.
    """
    shots = read_shots(segy, run.config)
    for sentence in shots.said:
        say(sentence)
    shots = _with_training_amplitudes(run, shots)
    view, typical = _views(run)
    shown = view(shots.gathers)
    offset = offsets(shots.read_survey(0))
    near = offset <= np.quantile(offset, NEAREST)
    ours, theirs = shown[:, near], np.broadcast_to(typical[near], shown[:, near].shape)
    alike = float(np.sum(ours * theirs) / np.sqrt(np.sum(ours**2) * np.sum(theirs**2) or 1.0))
    if alike <= -ALIKE:
        warn(
            f"{shots.path}: polarity is opposite to the training data's (correlation of the nearest"
            f" traces {alike:.2f}); reversed"
        )
        return shots.scaled(-1)
    if alike < ALIKE:
        warn(
            f"{shots.path}: its polarity cannot be told (correlation of the nearest traces"
            f" with the training data's mean {alike:.2f}); kept; look at the picture"
        )
    return shots


def drawn_beside_training(run: Run, shots: RecordedShots) -> figures.Figure:
    """Draw the mean training gathers beside those of the first sample."""
    view, typical = _views(run)
    shown, survey = view(shots.gathers[:1])[0], shots.read_survey(0)
    return figures.beside_training_figure(typical, shown, shots.time, survey, shots.path.name)


def _with_training_amplitudes(run: Run, shots: RecordedShots) -> RecordedShots:
    """Refuse another band; bring amplitudes to the training data's level where they are far off."""
    if run.gathers is None:
        warn(f"run {run.path}: keeps no statistics of its gathers: band and scale are not checked")
        return shots
    trained, found = run.gathers, gather_statistics(shots, np.arange(shots.samples))
    # As recorded: before samples were taken out.
    found["frequency"] = shots.frequency
    if not 1 / BAND <= shots.frequency / (trained["frequency"] or 1.0) <= BAND:
        raise InputError(
            f"{shots.path}: its frequencies are {shots.frequency:.3g} Hz in the mean, the training"
            f" data's {trained['frequency']:.3g} Hz; allowed is a factor of {BAND:g}: filter the"
            " gathers to that band, or train on their wavelet"
        )
    said = unlike_records(run, shots, found)
    for sentence in said.values():
        warn(sentence)
    if "level" not in said:
        return shots
    warn(f"{shots.path}: divided by that")
    return shots.scaled((trained["level"] or 1.0) / found["level"])


def _views(run: Run) -> tuple[Callable[[Gathers], Gathers], Gathers]:
    """Return what shows gathers as the network takes them, and the mean training gather so shown.

    A network that takes them as they are keeps no mean: then it is the gather of the mean model.
    """
    scaling, config = run.normalization.gathers, run.config
    if scaling.kind == "none":
        bounds = config.velocity.minimum, config.velocity.maximum
        model = run.normalization.mean_velocity.clip(*bounds)
        return lambda gathers: gathers, Simulator(config, "cpu")(model[None], [0])[0]
    mean = scaling.mean.numpy()

    def view(gathers: Gathers) -> Gathers:
        return scaling.scaled(torch.tensor(gathers)).numpy() * scaling.deviation + mean

    return view, mean
