"""A survey's wavelet, stretched or shortened in time."""

import json
from pathlib import Path

import numpy as np

from seistomo.config import SurveyConfig
from seistomo.files import written_whole
from seistomo.simulation.own_wavelet import read_own_wavelet
from seistomo.simulation.wavelet import wavelet_delay


def wavelet_settings(survey: SurveyConfig, factor: float, path: Path) -> tuple[str, ...]:
    """Return settings that multiply all frequencies of the wavelet; its peak stays as it is.

    The peak keeps its time, too: with the delay that goes with the new frequency all arrivals
    would be early or late by a part of a period, which is another error than a wrong wavelet.

    Parameters
    ----------
    survey
        The survey, with its wavelet.
    factor
        What frequencies are multiplied by.
    path
        Where a stretched copy is written if the wavelet is from a file.

    Returns
    -------
    ``section.key=value`` strings.
    """
    if survey.wavelet == "file":
        _write_stretched(survey, factor, path)
        return (f"survey.wavelet_file={json.dumps(str(path))}", "survey.delay=0.0")
    delay = f"survey.delay={wavelet_delay(survey)!r}"
    if survey.wavelet == "ormsby":
        corners = [round(factor * corner, 9) for corner in survey.corner_frequencies]
        return (f"survey.corner_frequencies={corners}", delay)
    return (f"survey.frequency={round(factor * survey.frequency, 9)!r}", delay)


def _write_stretched(survey: SurveyConfig, factor: float, path: Path) -> None:
    """Write times after the start of the record, s, and samples, from time 0 on."""
    own, peak = read_own_wavelet(survey), wavelet_delay(survey)
    time = own.start + np.arange(len(own.samples)) * own.step
    time = peak + (time - peak) / factor
    table = np.stack([time, own.samples], axis=1)[time >= 0]
    with written_whole(path) as temporary:
        np.savetxt(temporary, table, delimiter=",", fmt="%.12g")
