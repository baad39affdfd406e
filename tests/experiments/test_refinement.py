"""Inversions from a run's predictions and from elsewhere are compared on gathers shot anew."""

import json

import pytest

from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.experiments import refinement
from seistomo.experiments.refinement import compare_inversions
from seistomo.experiments.study import parse_study

CONDITIONS = [
    {"name": "clean", "label": "clean", "grid": 0.5},
    {"name": "noise", "label": "noise", "grid": 0.5, "noise_snr": 10.0},
]
QUICK = {"method": "lbfgs", "iterations": 2, "frequencies": [6.0], "grid_spacing": 20.0}


def row(name, condition, **options):
    return {"name": name, "problem": {"condition": condition}, "options": QUICK | options}


def study(data, *methods):
    content = {"title": "R", "kind": "refinement", "reference": "network", "samples": 2}
    problem = {"data": str(data)}
    content |= {"conditions": CONDITIONS, "methods": list(methods), "problem": problem}
    return parse_study(content, "refinement")


def test_rows_are_refinements_of_the_test_models_shot_on_another_grid(
    tomography, tmp_path, monkeypatch
):
    run, data, out = tomography / "runs/adam-1e-3-s0", tomography / "data.h5", tmp_path / "out"
    rows = [row("network", "clean", start="prediction"), row("mean", "clean", start="mean")]
    rows.append(row("noisy", "noise", start="mean"))
    compare_inversions(study(data, *rows[:1]), run, out)
    page = compare_inversions(study(data, *rows), run, out)
    found = json.loads((out / "refinement.json").read_text())["rows"]
    assert [one["name"] for one in found] == ["network", "mean", "noisy"]
    assert all(one["data_misfit_far"] < one["start_data_misfit_far"] for one in found)
    assert len(found[0]["reached"]) == 2
    assert found[2]["reached"] is None
    assert "**noise**" in page
    # Noise is added when gathers are read: the rows share a data set.
    assert sorted(path.name for path in (out / "data").glob("*.h5")) == [
        "clean.h5",
        "reference-models.h5",
    ]
    with open_dataset(data) as own, open_dataset(out / "data/clean.h5") as observed:
        models = own.read_velocity(own.indices("test")[:2])
        assert (observed.read_velocity([0, 1]) == models).all()
        assert observed.config.simulation.grid_spacing == own.config.velocity.spacing / 2
    monkeypatch.setattr(refinement, "_draw", lambda *_: None)
    (out / "index.md").unlink()
    assert compare_inversions(study(data, *rows), run, out) == page


def test_row_of_no_condition_is_refused(tomography, tmp_path):
    made = study(tomography / "data.h5", row("network", "clear", start="prediction"))
    with pytest.raises(InputError, match=r"problem\.condition"):
        compare_inversions(made, tomography / "runs/adam-1e-3-s0", tmp_path / "out")
