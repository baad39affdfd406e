import numpy as np
import pytest
from scipy.special import hankel2

from seistomo.simulation import Simulator, Survey, make_wavelet


@pytest.fixture(scope="session")
def simulate():
    """Return a function that gives the gathers [source, receiver, time] of one model."""

    def simulate(config, velocity):
        return Simulator(config, "cpu")(np.asarray(velocity, np.float32)[None], [0])[0]

    return simulate


@pytest.fixture(scope="session")
def error():
    """Return a function that gives the norm of a difference, relative to what is expected."""

    def error(got, expected):
        return np.linalg.norm(got - expected) / np.linalg.norm(expected)

    return error


@pytest.fixture(scope="session")
def respond():
    """Return a function that sends a configuration's wavelet through a transfer function.

    Frequencies have a small negative imaginary part (time convention exp(iωt)), which keeps the
    slowly decaying tail of two dimensions from wrapping around.
    """

    def respond(config, transfer):
        survey, padding = config.survey, 4
        samples = survey.time_samples * padding
        time = np.arange(samples) * survey.time_step
        decay = np.log(1e8) / (samples * survey.time_step)
        wavelet = np.fft.rfft(make_wavelet(survey, samples=samples) * np.exp(-decay * time))
        omega = 2 * np.pi * np.fft.rfftfreq(samples, survey.time_step) - 1j * decay
        gathers = np.fft.irfft(wavelet * transfer(omega), samples) * np.exp(decay * time)
        return gathers[..., : survey.time_samples]

    return respond


@pytest.fixture(scope="session")
def green(respond):
    """Return a function that gives the exact gathers [..., time] at some distances [...].

    The outgoing solution of (1/c²) ü - ∇²u = s(t) δ(x) δ(z) is U(ω) = S(ω) H₀⁽²⁾(ω r / c) / 4i.
    """

    def green(config, speed, distance):
        return respond(config, lambda omega: hankel2(0, omega * distance[..., None] / speed) / 4j)

    return green


@pytest.fixture(scope="session")
def distances():
    """Return a function that gives source-receiver distances [source, receiver], m.

    ``mirror`` is the depth of a plane in which the sources are mirrored, m.
    """

    def distances(config, mirror=None):
        survey = Survey.draw(config, 0, 0)
        depth = survey.source_depth if mirror is None else 2 * mirror - survey.source_depth
        return np.hypot(
            survey.receiver_x[None] - survey.source_x[:, None],
            survey.receiver_depth[None] - depth[:, None],
        )

    return distances
