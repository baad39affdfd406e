"""Settings are tried once, judged by validation, and the best one runs with new seeds."""

import json

import pytest

pytest.importorskip("optuna")

from seistomo.experiments import run_study, work
from seistomo.training import fit

RATES = [1e-6, 0.1, 1e-4]


@pytest.fixture
def tuned_study(line_study):
    def build(trials=3, **more):
        adam = {
            "name": "adam",
            "optimizer": "adam",
            "learning_rate": 0.3,
            "space": {"learning_rate": RATES},
        }
        plain = {"name": "sgd", "optimizer": "sgd", "learning_rate": 0.05}
        tuning = {"trials": trials, "score": "loss"}
        changes = {"seeds": 1, "tuning": tuning, "columns": ["loss", "learning_rate"], **more}
        return line_study(methods=(0, adam, plain), **changes)

    return build


def trials(out, name="adam"):
    return json.loads((out / f"tuning/{name}.json").read_text())


def test_best_of_a_grid_runs_with_a_new_seed(tmp_path, tuned_study):
    run_study(tuned_study(), tmp_path)
    kept = trials(tmp_path)
    assert sorted(one["values"]["learning_rate"] for one in kept["trials"].values()) == sorted(
        RATES
    )
    assert kept["values"] == {"learning_rate": 0.1}
    assert (tmp_path / f"runs/adam-trial{kept['best']}-s1/history.csv").is_file()
    page = (tmp_path / "index.md").read_text()
    assert "learning_rate = 0.1" in page
    assert "best of 3 trials" in page
    row = next(
        row
        for row in json.loads((tmp_path / "table.json").read_text())["rows"]
        if row["name"] == "adam"
    )
    assert row["learning_rate"] == 0.1
    assert row["seeds"] == [1]


def test_interrupted_tuning_goes_on_with_the_trial_in_hand(tmp_path, tuned_study, monkeypatch):
    run_study(tuned_study(), tmp_path / "whole")
    begun = []

    def interrupted(problem, method, seed, run_dir, *, stop, **options):
        begun.append((run_dir.name, method.learning_rate))

        def after_one(rows):
            if len(begun) == 2:
                raise KeyboardInterrupt
            return stop(rows)

        return fit(problem, method, seed, run_dir, stop=after_one, **options)

    monkeypatch.setattr(work, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(tuned_study(), tmp_path / "out")
    run_study(tuned_study(), tmp_path / "out")
    trials_begun = [one for one in begun if "-s0" in one[0] and "trial" in one[0]]
    assert len(trials_begun) == 4
    assert trials_begun[1] == trials_begun[2]
    whole, found = (trials(tmp_path / f) for f in ("whole", "out"))
    assert {k: v["score"] for k, v in whole["trials"].items()} == {
        k: v["score"] for k, v in found["trials"].items()
    }
    # What was tried is not tried again; more trials add.
    count = len(begun)
    run_study(tuned_study(), tmp_path / "out")
    assert len(begun) == count


def test_trial_that_diverges_is_none_to_choose(tmp_path, tuned_study):
    study = tuned_study(trials=2)
    wild = study.entry("adam").with_values(
        {"optimizer": "sgd", "space": {"learning_rate": [1e30, 0.05]}}
    )
    study = study.model_copy(update={"methods": [wild]})
    run_study(study, tmp_path / "a")
    assert trials(tmp_path / "a")["values"] == {"learning_rate": 0.05}
    worse = wild.with_values({"space": {"learning_rate": [1e30, 1e31]}})
    plain = study.entry("adam").with_values({"name": "plain", "space": {}})
    run_study(study.model_copy(update={"methods": [worse, plain]}), tmp_path / "b")
    page = (tmp_path / "b/index.md").read_text()
    assert "adam: the best of 2 trials" in page
    assert "all diverged" in page


def test_race_is_to_the_loss_of_the_best_of_another_method(tmp_path, line_study):
    adam = {"name": "adam", "optimizer": "adam", "space": {"learning_rate": [0.001, 0.05]}}
    sgd = {
        "name": "sgd",
        "optimizer": "sgd",
        "space": {"learning_rate": {"low": 0.01, "high": 0.2}},
    }
    study = line_study(
        methods=(0, adam, sgd),
        epochs=8,
        seeds=1,
        target={"score": "loss", "method": "adam"},
        tuning={"trials": 2, "seconds": 5.0},
        columns=["time", "loss"],
    )
    line = run_study(study, tmp_path)
    content = json.loads((tmp_path / "table.json").read_text())
    rows = {row["name"]: row for row in content["rows"]}
    # The validation losses that Adam's runs end at are the target of all.
    assert content["target"] is not None
    assert len(rows["sgd"]["seconds_to_target"]) == 1
    assert rows["adam"]["learning_rate"] == 0.05
    assert "target after" in line
    merits = [one["merit"] for one in trials(tmp_path, "sgd")["trials"].values()]
    assert all(merit > 0 for merit in merits)
