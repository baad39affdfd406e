import numpy as np
import pytest

from seistomo.benchmarks.generalization.wavelets import wavelet_settings
from seistomo.config import load_config
from seistomo.simulation.wavelet import make_wavelet, wavelet_delay

STEP = 0.002
SAMPLED = [f"survey.time_step={STEP}", "survey.time_samples=1200"]


def spectral_peak(wavelet):
    amplitude = np.abs(np.fft.rfft(wavelet, 2**16))
    return np.fft.rfftfreq(2**16, STEP)[amplitude.argmax()]


@pytest.mark.parametrize("factor", [0.8, 1.2])
@pytest.mark.parametrize("kind", ["ricker", "ormsby", "file"])
def test_frequencies_change_and_the_peak_stays(tmp_path, kind, factor):
    settings = [*SAMPLED, "survey.delay=0.5"]
    if kind == "ricker":
        settings.append("survey.frequency=8")
    if kind == "ormsby":
        settings += ["survey.wavelet=ormsby", "survey.corner_frequencies=[3, 6, 12, 20]"]
    if kind == "file":
        time = np.arange(500) * STEP
        a = (np.pi * 8 * (time - 0.5)) ** 2
        np.savetxt(tmp_path / "own.txt", np.stack([time, (1 - 2 * a) * np.exp(-a)], 1))
        settings = [*SAMPLED, "survey.wavelet=file", f"survey.wavelet_file={tmp_path}/own.txt"]
    config = load_config("", settings)
    changed = wavelet_settings(config.survey, factor, tmp_path / "stretched.csv")
    other = load_config("", [*settings, *changed]).survey
    before, after = make_wavelet(config.survey), make_wavelet(other)
    assert wavelet_delay(other) == pytest.approx(wavelet_delay(config.survey), abs=1e-9)
    assert after.argmax() == before.argmax() == 250
    assert after.max() == pytest.approx(before.max(), rel=1e-6)
    width = [np.flatnonzero(np.diff(np.sign(w[250:])))[0] for w in (before, after)]
    assert width[1] / width[0] == pytest.approx(1 / factor, rel=0.06)
    if kind != "ormsby":
        assert spectral_peak(after) / spectral_peak(before) == pytest.approx(factor, rel=0.01)
