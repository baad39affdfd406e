"""The mute: where it is silent, where not, and that each sample's own survey counts."""

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import DatasetReader, open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.evaluation.prediction import predicted_batches
from seistomo.simulation import Simulator, make_wavelet
from seistomo.training import load_run, train
from seistomo.training.mute import Mute, mute_of
from seistomo.training.normalization import learn_normalization

# Of the small data set: a record that is longer than the wavelet.
LONGER = ["survey.time_step=0.02", "survey.delay=0.0"]
POSITIONS = {
    "source_x": [0.0, 400.0],
    "source_depth": [0.0, 30.0],
    "receiver_x": [0.0, 800.0, 1200.0],
    "receiver_depth": [0.0, 0.0, 0.0],
}


def a_mute(kind, **changes):
    return Mute(
        **({"kind": kind, "speed": 2000.0, "start": 0.1, "end": 0.3, "time_step": 0.01,
            "time_samples": 120, "positions": POSITIONS} | changes)
    )  # fmt: skip


def test_window_lies_around_the_direct_wave():
    direct, top = a_mute("direct").weights(), a_mute("top").weights()
    assert direct.shape == top.shape == (2, 3, 120)
    assert direct.dtype == np.float32
    time = np.arange(120) * 0.01
    for source in range(2):
        for receiver in range(3):
            x = POSITIONS["source_x"][source] - POSITIONS["receiver_x"][receiver]
            arrival = np.hypot(x, POSITIONS["source_depth"][source]) / 2000
            inside = (time >= arrival + 0.1 - 1e-9) & (time <= arrival + 0.3 + 1e-9)
            # Tapers of a quarter of the wavelet.
            before = time <= arrival + 0.1 - 0.05 - 1e-9
            after = time >= arrival + 0.3 + 0.05 + 1e-9
            assert not direct[source, receiver, inside].any()
            assert not top[source, receiver, inside | before].any()
            assert (direct[source, receiver, before | after] == 1).all()
            assert (top[source, receiver, after] == 1).all()


def test_tapers_rise_without_a_jump():
    weights = a_mute("direct", time_step=0.001, time_samples=1200).weights()
    assert np.abs(np.diff(weights, axis=-1)).max() < 0.05


def test_a_sample_may_have_a_survey_of_its_own():
    moved = POSITIONS | {"receiver_x": np.array([100.0, 900.0, 1300.0])}
    weights = a_mute("top").weights(moved)
    assert np.array_equal(weights, a_mute("top", positions=moved).weights())
    assert not np.array_equal(weights, a_mute("top").weights())


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory):
    """Return a data set: a reflector under a constant layer of 2000 m/s, and the layer alone."""
    config = load_config(
        "",
        ["velocity.shape=[60, 80]", "velocity.spacing=10.0", "survey.sources=1",
         "survey.receivers=17", "survey.source_x=[400.0, 400.0]", "survey.time_samples=200",
         "survey.time_step=0.004", "survey.frequency=12.0", "dataset.storage=float32"],
    )  # fmt: skip
    layered = np.full((60, 80), 2000, dtype=np.float32)
    layered[40:] = 3500
    models = np.stack([layered, np.full_like(layered, 2000)])
    gathers, path = Simulator(config, "cpu")(models, [0, 0]), tmp_path_factory.mktemp("mute")
    wavelet = make_wavelet(config.survey)
    return write_dataset(path / "data.h5", config, models, gathers, wavelet=wavelet)


@pytest.mark.parametrize("kind", ["direct", "top"])
def test_wave_along_the_surface_goes_and_the_reflection_stays(two_layers, kind):
    config = load_config("", [f"training.mute={kind}", "training.mute_speed=2000.0"])
    with open_dataset(two_layers) as data:
        mute = mute_of(data, config.training)
        layered, constant = data.read_gathers([0, 1])
    weights = mute.weights()
    # In two dimensions waves have a tail.
    assert np.abs(constant * weights).max() < 0.03 * np.abs(constant).max()
    # At the source, where the reflection is apart from the direct wave.
    near, reflection = 8, (layered - constant)
    kept = (reflection * weights)[0, near]
    np.testing.assert_allclose(kept, reflection[0, near], atol=0.02 * np.abs(kept).max())
    assert np.abs(kept).max() > 0


def test_mute_that_leaves_nothing_is_refused(make_config, arrays, tmp_path):
    """A record that ends before the wavelet does."""
    config = make_config("training.mute=top")
    path = write_dataset(tmp_path / "data.h5", config, *arrays, wavelet=make_wavelet(config.survey))
    with pytest.raises(InputError, match=r"training.mute_speed = 1480: .* leaves nothing"):
        train(config, path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_set_without_a_wavelet_is_refused(dataset, make_config, tmp_path):
    with pytest.raises(InputError, match=r"training.mute = 'top': .* holds no wavelet"):
        train(make_config("training.mute=top"), dataset, tmp_path / "run")


def test_scaling_learns_from_muted_gathers(make_config, arrays, tmp_path):
    survey = make_config(*LONGER)
    wavelet = make_wavelet(survey.survey)
    path = write_dataset(tmp_path / "data.h5", survey, *arrays, wavelet=wavelet)
    for scaling in ("asinh", "gain", "standard", "trace", "none"):
        overrides = ["training.mute=top", f"training.gather_scaling={scaling}"]
        config = make_config(*LONGER, *overrides)
        with open_dataset(path) as data:
            normalization = learn_normalization(data, config.training)
            gathers = data.read_gathers(data.indices("train"))
        scaled = normalization.gathers(gathers)
        weights = normalization.gathers.mute.weights()
        assert (weights == 0).any()
        assert (weights == 1).any()
        if scaling == "none":
            np.testing.assert_allclose(scaled, gathers * weights)
            continue
        assert scaled.std() == pytest.approx(1, abs=1e-4)
        # What is muted is the same in every sample.
        assert np.ptp(scaled[:, weights == 0], axis=0).max() < 1e-5


@pytest.mark.parametrize("jitter", [0.0, 30.0])
def test_run_predicts_what_training_saw(make_config, arrays, tmp_path, monkeypatch, jitter):
    """Batches, validation and prediction all mute by each sample's own positions."""
    original = DatasetReader.read_survey

    def moved_survey(self, index):
        shift = jitter * np.sin(index) * np.array([1, -1, 1])
        survey = original(self, index)
        return survey | {"source_x": survey["source_x"] + shift}

    monkeypatch.setattr(DatasetReader, "read_survey", moved_survey)
    survey = [f"survey.source_jitter={jitter}", f"survey.receiver_jitter={jitter}"]
    config = make_config(*LONGER, *survey, "training.mute=top", "training.epochs=2")
    path = write_dataset(tmp_path / "data.h5", config, *arrays, wavelet=make_wavelet(config.survey))
    train(config, path, tmp_path / "run")
    run = load_run(tmp_path / "run", "last")
    with open_dataset(path) as data:
        rows = data.indices("validation")
        positions = [data.read_survey(row) for row in rows]
        predicted = run.predict(data.read_gathers(rows), positions)
        reference = data.read_velocity(rows)
        error = np.square(predicted.astype(float) - reference).mean()
        assert error == pytest.approx(run.history[-1]["mse"], rel=1e-5)
        (one,) = predicted_batches(run, data, rows)
        np.testing.assert_allclose(one[1], predicted, rtol=1e-5)
        if jitter:
            assert not np.allclose(run.predict(data.read_gathers(rows)), predicted, rtol=1e-5)
