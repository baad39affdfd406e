"""Shooting over models of a file: simulate --velocity."""

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import merge, open_dataset, open_velocity, write_velocity
from seistomo.dataset.generate import simulate
from seistomo.dataset.models import StoredModels, config_for, overrides_for
from seistomo.errors import InputError
from seistomo.simulation import Simulator
from seistomo.velocity import VelocityModel

SHAPE = (20, 26)


def layered(count, slowest=1600.0, fastest=4000.0):
    for number in range(count):
        depths = np.linspace(slowest, fastest, SHAPE[0])
        velocity = np.repeat(depths[:, None], SHAPE[1], axis=1) - number
        velocity[0] = slowest
        yield VelocityModel(
            velocity.astype(np.float32), velocity > 3900, "section", {"number": number}
        )


@pytest.fixture
def config():
    """Return a function: settings whose grid is not the file's."""
    settings = ["survey.sources=2", "survey.receivers=7", "survey.time_samples=140"]
    return lambda *more: load_config("", [*settings, "dataset.shard_samples=2", *more])


@pytest.fixture
def file(tmp_path):
    return write_velocity(tmp_path / "models.h5", layered(5), 12.5)


def test_the_set_holds_the_files_models_in_order(config, file, tmp_path):
    done = simulate(config(), tmp_path / "data.h5", velocity=file)
    assert done.samples == 5
    with open_dataset(tmp_path / "data.h5") as data, open_velocity(file) as models:
        stored = data.config
        assert (stored.velocity.shape, stored.velocity.spacing) == (SHAPE, 12.5)
        assert stored.velocity.imported == models.models_identity
        assert stored.dataset.samples == data.samples == 5
        for index in range(5):
            model = StoredModels(models).model(index)
            np.testing.assert_array_equal(data.read_velocity([index])[0], model.velocity)
            np.testing.assert_array_equal(data.read_salt_mask([index])[0], model.salt_mask)
            assert data.families([index]) == ["section"]
            assert data.parameters(index) == {"number": index}
        gathers = data.read_gathers([4])
        expected = Simulator(stored, "cpu")(data.read_velocity([4]), [4])
    np.testing.assert_allclose(gathers, expected, atol=1e-3 * np.abs(expected).max())
    assert data.x[-1] == 25 * 12.5


def test_another_survey_over_the_models_of_a_data_set(config, file, tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    simulate(config(), first, velocity=file)
    simulate(config("survey.sources=3", "survey.frequency=9.0"), second, velocity=first)
    with open_dataset(first) as one, open_dataset(second) as other:
        np.testing.assert_array_equal(one.read_velocity(range(5)), other.read_velocity(range(5)))
        assert other.gather_shape[0] == 3
        assert one.config.velocity.imported == other.config.velocity.imported


def test_interrupted_divided_and_whole_runs_are_the_same(config, file, tmp_path, monkeypatch):
    simulate(config(), tmp_path / "whole.h5", velocity=file)
    parts = [tmp_path / f"part-{i}.h5" for i in (1, 2)]
    for i, part in enumerate(parts, start=1):
        simulate(config(), part, velocity=file, shard=f"{i}/2")
    merge(parts, tmp_path / "merged.h5")
    simulate(config("dataset.samples=3"), tmp_path / "grown.h5", velocity=file)
    done = simulate(config(), tmp_path / "grown.h5", velocity=file, resume=True)
    assert done.simulated == 2
    whole = (tmp_path / "whole.h5").read_bytes()
    assert (tmp_path / "merged.h5").read_bytes() == whole
    assert (tmp_path / "grown.h5").read_bytes() == whole


def test_another_file_is_refused_on_resume_and_merge(config, file, tmp_path):
    other = write_velocity(tmp_path / "other.h5", layered(5, slowest=1700.0), 12.5)
    part = tmp_path / "part-1.h5"
    simulate(config(), part, velocity=file, shard="1/2")
    with pytest.raises(InputError, match=r"velocity.imported = '\w+', now it is '\w+'; give the"):
        simulate(config(), part, velocity=other, shard="1/2", resume=True)
    # Drawn models instead of imported ones, on the same grid.
    drawn = config("velocity.shape=[20, 26]", "velocity.spacing=12.5", "dataset.samples=5")
    with pytest.raises(InputError, match=r"velocity.imported = '\w+', now it is None; give the"):
        simulate(drawn, part, shard="1/2", resume=True)
    stranger = tmp_path / "part-2.h5"
    simulate(config(), stranger, velocity=other, shard="2/2")
    with pytest.raises(InputError, match=r"velocity.imported"):
        merge([part, stranger], tmp_path / "data.h5")


def test_a_stored_configuration_asks_for_its_file(config, file, tmp_path):
    simulate(config(), tmp_path / "data.h5", velocity=file)
    with open_dataset(tmp_path / "data.h5") as data:
        stored = data.config
    with pytest.raises(InputError, match="the models came from a file; give it with --velocity"):
        simulate(stored, tmp_path / "again.h5")
    other = write_velocity(tmp_path / "other.h5", layered(5, slowest=1700.0), 12.5)
    with pytest.raises(InputError, match=r"other\.h5: holds other models \(\w+\) than those"):
        simulate(stored, tmp_path / "again.h5", velocity=other)
    simulate(stored, tmp_path / "again.h5", velocity=file)
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "data.h5").read_bytes()


def test_speeds_out_of_bounds_are_refused_with_settings_that_do(config, tmp_path):
    velocity = np.full(SHAPE, 2000, np.float32)
    velocity[0, 0], velocity[-1, -1] = 1440.2, 5695.4
    model = VelocityModel(velocity, velocity > 3900, "section", {})
    settings = ("velocity.minimum=1440", "velocity.maximum=5696")
    with open_velocity(write_velocity(tmp_path / "models.h5", [model], 12.5)) as models:
        with pytest.raises(InputError, match=r"speeds from 1\d+.* are not all between") as caught:
            config_for(config(), models)
        remedy = " ".join(f"--set {setting}" for setting in settings)
        assert f"; use {remedy}, or seistomo import --clip 1450:4650" in str(caught.value)
        assert config_for(config(*settings), models).dataset.samples == 1


def test_no_more_samples_than_models(config, file, tmp_path):
    with pytest.raises(InputError, match=r"samples = 6: .*models.h5 holds 5 models; use --samples"):
        simulate(config("dataset.samples=6"), tmp_path / "data.h5", velocity=file)
    assert simulate(config("dataset.samples=2"), tmp_path / "d.h5", velocity=file).samples == 2


def test_presets_ask_for_all_models_and_users_for_what_they_say(file, tmp_path):
    grid = ["velocity.shape=[20, 26]", "velocity.spacing=12.5"]
    assert overrides_for(file, "tomography", []) == [*grid, "dataset.samples=5"]
    chosen = ["dataset.samples=3"]
    assert overrides_for(file, "tomography", chosen) == [*chosen, *grid]
    own = tmp_path / "own.toml"
    own.write_text("[dataset]\nsamples = 4\n")
    assert load_config(own, overrides_for(file, str(own), [])).dataset.samples == 4
    # Positions that fit the file's width alone.
    wide = ["survey.receiver_x=[0, 312]"]
    assert load_config("quickstart", overrides_for(file, "quickstart", wide)).survey.receiver_x


def test_settings_of_drawn_models_are_refused_beside_a_file(file):
    setting = "velocity.salt_shapes.dome=2"
    with pytest.raises(InputError, match="has no effect with --velocity") as caught:
        overrides_for(file, "tomography", ["velocity.maximum=4700.0", setting])
    assert str(caught.value).startswith(f"--set {setting}: ")
