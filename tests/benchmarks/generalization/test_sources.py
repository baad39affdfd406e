import numpy as np
import pytest

from seistomo.benchmarks.generalization.conditions import (
    FIRST_SEED,
    family_conditions,
    physics_conditions,
    reference_condition,
)
from seistomo.benchmarks.generalization.folder import ResultFolder
from seistomo.benchmarks.generalization.sources import Sources, require_own
from seistomo.config import with_overrides
from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.errors import InputError
from seistomo.training import load_run


@pytest.fixture
def sources(trained, data_path, tmp_path):
    folder = ResultFolder(tmp_path / "out", {}, overwrite=False)
    return Sources(trained, folder, data_path, 3, 0, "cpu")


def content(path, rows):
    with open_dataset(path) as data:
        return data.read_velocity(rows), data.read_gathers(rows), data.seeds(rows)


def test_the_reference_is_the_beginning_of_the_test_split(sources, data_path):
    path, rows = sources.data_of(reference_condition(True))
    with open_dataset(data_path) as data:
        assert rows.tolist() == data.indices("test")[:3].tolist()
    assert path == data_path


def test_physics_change_the_gathers_over_the_same_models(sources, config, tmp_path):
    sources.prepare_reference()
    velocity, gathers, _ = content(*sources.data_of(reference_condition(True)))
    deeper = next(c for c in physics_conditions(config, tmp_path) if c.name == "source-depth")
    sources.prepare(deeper)
    other_velocity, other_gathers, seeds = content(*sources.data_of(deeper))
    np.testing.assert_array_equal(other_velocity, velocity)
    assert np.abs(other_gathers - gathers).max() > 0.05 * np.abs(gathers).max()
    assert (seeds[:, 0] == FIRST_SEED).all()
    # What is there is kept.
    before = sources.folder.data("source-depth").stat().st_mtime_ns
    sources.prepare(deeper)
    assert sources.folder.data("source-depth").stat().st_mtime_ns == before


def test_families_are_drawn_on_the_runs_grid(sources, config):
    family = next(c for c in family_conditions(config) if c.label == "curvefault_b")
    sources.prepare(family)
    path, rows = sources.data_of(family)
    with open_dataset(path) as data:
        assert data.families(rows) == ["curvefault_b"] * 3
        assert data.config.velocity.spacing == config.velocity.spacing
        assert data.gather_shape == sources.run.gather_shape


def test_without_the_data_set_models_are_drawn(trained, data_path, tmp_path):
    folder = ResultFolder(tmp_path / "out", {}, overwrite=False)
    sources = Sources(trained, folder, None, 3, 0, "cpu")
    sources.prepare_reference()
    velocity, _, _ = content(*sources.data_of(reference_condition(False)))
    trained_on = content(data_path, range(16))[0]
    assert not any((model == velocity).all(axis=(1, 2)).any() for model in trained_on)


def test_imported_models_cannot_be_drawn(run_dir, tmp_path):
    run = load_run(run_dir, "best", "cpu")
    imported = with_overrides(run.config, ["velocity.imported=0123456789abcdef"])
    object.__setattr__(run, "config", imported)
    folder = ResultFolder(tmp_path / "out", {}, overwrite=False)
    with pytest.raises(InputError, match=r"imported models.* --data"):
        Sources(run, folder, None, 3, 0, "cpu").prepare_reference()


def test_another_data_set_is_refused(trained, config, tmp_path):
    for key, value in (("dataset.seed", "5"), ("survey.frequency", "4.5")):
        path = tmp_path / f"{key}.h5"
        simulate(with_overrides(config, [f"{key}={value}"]), path, device="cpu")
        with (
            open_dataset(path) as data,
            pytest.raises(InputError, match=f"{key} = {value}") as caught,
        ):
            require_own(trained, data)
        assert "\n" not in str(caught.value)


def test_a_grown_data_set_is_still_the_runs(trained, config, tmp_path, capsys):
    path = tmp_path / "grown.h5"
    simulate(with_overrides(config, ["dataset.samples=20"]), path, device="cpu")
    with open_dataset(path) as data:
        require_own(trained, data)
    assert "other samples" in capsys.readouterr().err
