"""A run is scored under conditions: what differs is what the row says, and nothing else."""

import json

import numpy as np
import pytest

from seistomo.dataset import open_dataset, open_velocity
from seistomo.errors import InputError
from seistomo.evaluation.scoring import score_run
from seistomo.experiments import conditions, generalization
from seistomo.experiments.conditions import wavelet_settings
from seistomo.experiments.generalization import FIRST_SEED, score_conditions
from seistomo.experiments.study import parse_study
from seistomo.simulation.wavelet import wavelet_delay
from seistomo.training import load_run

CONDITIONS = [
    {"name": "snr-0", "label": "noise", "group": "Records", "noise_snr": 0.0},
    {"name": "wavelet-80", "label": "wavelet", "group": "Physics", "wavelet": 0.8},
    {"name": "finer", "label": "finer grid", "group": "Physics", "grid": 0.5},
    {"name": "own", "label": "own order", "group": "Physics", "set": ["simulation.accuracy=4"]},
    {"name": "deep", "label": "deeper", "group": "Physics", "deeper": 1.0},
    {"name": "family", "group": "New", "families": True},
    {"name": "crops", "label": "crops", "group": "Crops", "crops": True},
]


def study(**more):
    content = {"title": "G", "kind": "generalization", "conditions": CONDITIONS, "samples": 3}
    return parse_study({**content, **more}, "generalization")


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    """Return a section: speeds rise with depth, too fast at the right, one block of one speed."""
    path = tmp_path_factory.mktemp("section") / "section.npy"
    velocity = np.linspace(1900, 3500, 24)[:, None] * np.linspace(1.0, 1.5, 60)
    velocity[:, :20] = 2000.0
    np.save(path, velocity.astype(np.float32))
    return path


@pytest.fixture(scope="module")
def scored(tmp_path_factory, tomography, section):
    """Return the folder and page of a run under all conditions."""
    out = tmp_path_factory.mktemp("generalization") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "FAMILIES", ("layers", "flatvel_a"))
        given = {"data": str(tomography / "data.h5")}
        made = study(section={"file": str(section), "spacing": 20.0}, problem=given)
        page = score_conditions(made, tomography / "runs/adam-1e-3-s0", out)
        yield out, page, made


def scores(out, name):
    return json.loads((out / f"scores/{name}.json").read_text())


def test_each_condition_is_a_row_beside_guesses_that_need_no_network(scored):
    out, page, _ = scored
    found = json.loads((out / "generalization.json").read_text())
    names = [one["name"] for one in found["conditions"]]
    expected = ["reference", "snr-0", "wavelet-80", "finer", "deep", "family-layers"]
    assert names == [*expected, "family-flatvel_a", "crops"]
    assert found["skipped"] == {"own order": "the run's own"}
    assert all(one["samples"] <= 3 for one in found["conditions"])
    baseline = {one["baseline"]["rmse"] for one in found["conditions"][:5]}
    # The same models, held against the same mean model.
    assert len(baseline) == 1
    assert page == (out / "index.md").read_text()
    assert "own order: left out" in page
    for figure in ("scores.png", "models.png"):
        assert (out / figure).stat().st_size > 1000


def test_first_row_is_the_runs_test_split_and_noise_that_of_evaluate(scored, tomography):
    out, _, _ = scored
    run = load_run(tomography / "runs/adam-1e-3-s0", "best")
    with open_dataset(tomography / "data.h5") as data:
        rows = data.indices("test")[:3]
        clean = score_run(run, data, rows, as_run=True).summary()
        noisy = score_run(run, data, rows, as_run=True, noise_snr=0.0).summary()
    assert scores(out, "reference")["mse"] == clean["mse"]
    assert scores(out, "snr-0")["mse"] == noisy["mse"] != clean["mse"]


def test_same_models_are_shot_over_with_what_the_row_says_changed(scored, tomography):
    out, _, _ = scored
    with open_dataset(tomography / "data.h5") as own:
        rows = own.indices("test")[:3]
        truth, before = own.read_velocity(rows), own.config
    for name in ("wavelet-80", "finer", "deep"):
        with open_dataset(out / f"data/{name}.h5") as data:
            np.testing.assert_array_equal(data.read_velocity(range(3)), truth)
            after = data.config
        changed = {
            f"{section}.{key}"
            for section in ("survey", "simulation")
            for key, value in getattr(after, section).model_dump().items()
            if value != getattr(before, section).model_dump()[key]
        }
        assert (
            changed
            == {
                "wavelet-80": {"survey.frequency", "survey.delay"},
                "finer": {"simulation.grid_spacing", "simulation.pml_width"},
                "deep": {"survey.source_depth"},
            }[name]
        )
    assert after.survey.source_depth == before.survey.source_depth + before.velocity.spacing


def test_wavelet_keeps_the_time_of_its_peak(scored, tomography):
    config = load_run(tomography / "runs/adam-1e-3-s0", "best").config
    settings = dict(text.split("=") for text in wavelet_settings(config, 1.2, None))
    assert float(settings["survey.frequency"]) == pytest.approx(1.2 * config.survey.frequency)
    assert float(settings["survey.delay"]) == wavelet_delay(config.survey)


def test_new_models_are_nobodys_training_models_and_within_the_bounds(scored):
    out, _, _ = scored
    with open_dataset(out / "data/family-flatvel_a.h5") as data:
        assert set(data.families(range(3))) == {"flatvel_a"}
        assert {int(seed) for seed, _ in data.seeds(range(3))} == {FIRST_SEED}
        velocity, bounds = data.read_velocity(range(3)), data.config.velocity
    assert bounds.minimum <= velocity.min() <= velocity.max() <= bounds.maximum
    assert "bounds" in scores(out, "family-flatvel_a")["note"]


def test_crops_lie_within_the_bounds_hold_something_and_differ(scored):
    out, page, _ = scored
    with open_velocity(out / "data/crops-models.h5") as crops:
        velocity = crops.read_velocity(range(crops.samples))
        places = {tuple(sorted(crops.parameters(n).items())) for n in range(crops.samples)}
    assert len(places) == len(velocity) == 3
    assert velocity.shape[1:] == (16, 16)
    assert velocity.max() <= 4650
    assert (np.ptp(velocity, axis=(1, 2)) >= 300).all()
    assert "pieces of section.npy" in page


def test_what_is_scored_is_kept_and_other_settings_are_refused(scored, tomography, monkeypatch):
    out, page, made = scored
    run = tomography / "runs/adam-1e-3-s0"
    (out / "scores/deep.json").unlink()
    asked = []
    real = generalization.score_run
    monkeypatch.setattr(generalization, "_draw", lambda *_: None)

    def counted(run, data, rows, **more):
        asked.append(len(rows))
        return real(run, data, rows, **more)

    monkeypatch.setattr(generalization, "score_run", counted)
    assert score_conditions(made, run, out) == page
    assert asked == [3]
    with pytest.raises(InputError, match="samples"):
        score_conditions(made.model_copy(update={"samples": 2}), run, out)
    with pytest.raises(InputError, match="weights"):
        score_conditions(made, tomography / "runs/sqgn-s0", out)


def test_what_cannot_be_scored_is_refused(tomography, tmp_path, section):
    run = tomography / "runs/adam-1e-3-s0"
    with pytest.raises(InputError, match="samples"):
        score_conditions(study(samples=1), run, tmp_path / "a")
    with pytest.raises(InputError, match=r"section\.file"):
        score_conditions(
            study(section={"file": str(tmp_path / "nowhere.npy")}), run, tmp_path / "b"
        )
    (tmp_path / "c").mkdir()
    (tmp_path / "c/letter").write_text("x")
    with pytest.raises(InputError, match="--out"):
        score_conditions(study(), run, tmp_path / "c")


def test_reference_is_drawn_anew_without_a_data_set_and_another_ones_data_are_refused(
    tomography, tmp_path, monkeypatch
):
    monkeypatch.setattr(generalization, "_draw", lambda *_: None)
    run = tomography / "runs/adam-1e-3-s0"
    score_conditions(study(conditions=CONDITIONS[:1], samples=2), run, tmp_path / "a")
    assert scores(tmp_path / "a", "snr-0")["samples"] == 2
    with (
        open_dataset(tmp_path / "a/data/reference.h5") as data,
        open_dataset(tomography / "data.h5") as own,
    ):
        drawn, trained = data.read_velocity(range(2)), own.read_velocity(range(own.samples))
    assert not any(np.array_equal(model, other) for model in drawn for other in trained)
    other = study(conditions=[], problem={"data": str(tmp_path / "a/data/reference.h5")})
    with pytest.raises(InputError, match="--data"):
        score_conditions(other, run, tmp_path / "b")
