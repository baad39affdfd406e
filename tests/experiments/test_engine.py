"""A study runs, resumes, grows and is shared; what it shows comes from its run directories."""

import csv
import json
import math
import time

import pytest
import torch
from filelock import FileLock

from seistomo.errors import InputError
from seistomo.experiments import engine, records, run_study, work
from seistomo.experiments.study import chosen
from seistomo.experiments.work import NEXT_SEED, planned_epochs, speed_is_known
from seistomo.training import fit


def weights(run):
    return torch.load(run / "checkpoint.pt", weights_only=True)["network"]


def history(run):
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def table(out):
    content = json.loads((out / "table.json").read_text())
    return {row["name"]: row for row in content["rows"]}


def names(out):
    return sorted(path.name for path in (out / "runs").iterdir() if path.is_dir())


@pytest.fixture
def fitted(monkeypatch):
    """Return the runs that were trained, in order."""
    seen = []

    def noted(problem, method, seed, run_dir, **options):
        seen.append((run_dir.name, seed))
        return fit(problem, method, seed, run_dir, **options)

    monkeypatch.setattr(work, "fit", noted)
    return seen


def test_study_leaves_runs_a_table_and_a_page(tmp_path, line_study):
    line = run_study(line_study(figures=["epoch"]), tmp_path, command="seistomo benchmark x")
    assert names(tmp_path) == ["adam-s0", "adam-s1", "sgd-s0", "sgd-s1"]
    page = (tmp_path / "index.md").read_text()
    assert "Adam" in page
    assert "seistomo benchmark x" in page
    assert "Not complete" not in page
    assert (tmp_path / "epoch.png").is_file()
    assert str(tmp_path / "index.md") in line
    rows = table(tmp_path)
    assert rows["adam"]["epochs"] == [3, 3]
    tests = [json.loads((tmp_path / f"runs/sgd-s{s}/scores.json").read_text()) for s in (0, 1)]
    # Scores are the test split's, which no epoch was judged by.
    assert rows["sgd"]["scores"]["loss"]["values"] == [one["last"]["loss"] for one in tests]
    assert rows["sgd"]["paper"] == {"loss": 0.5}


def test_methods_of_a_seed_start_alike_and_seeds_differ(tmp_path, line_study):
    study = line_study(epochs=1)
    run_study(study, tmp_path)
    losses = {name: history(tmp_path / "runs" / name)[0]["train_loss"] for name in names(tmp_path)}
    assert len(set(losses.values())) == 4
    entry = study.entry("adam").with_values({"learning_rate": 1e-12})
    other = study.entry("sgd").with_values({"learning_rate": 1e-12})
    still = study.model_copy(update={"methods": [entry, other], "reference": ""})
    run_study(still, tmp_path / "still")
    for seed in (0, 1):
        a, b = (history(tmp_path / f"still/runs/{n}-s{seed}")[0] for n in ("adam", "sgd"))
        assert float(a["train_loss"]) == pytest.approx(float(b["train_loss"]))


def test_what_is_done_is_not_done_again_and_more_adds(tmp_path, line_study, fitted):
    run_study(chosen(line_study(seeds=1), ["adam"]), tmp_path)
    before = (tmp_path / "index.md").read_text()
    run_study(chosen(line_study(seeds=1), ["adam"]), tmp_path)
    assert fitted == [("adam-s0", 0)]
    assert (tmp_path / "index.md").read_text() == before
    run_study(line_study(seeds=2, epochs=4), tmp_path)
    assert [name for name, _ in fitted[1:]] == ["adam-s0", "sgd-s0", "adam-s1", "sgd-s1"]
    assert table(tmp_path)["adam"]["epochs"] == [4, 4]


def test_interrupted_study_ends_with_the_same_bits(tmp_path, line_study, monkeypatch):
    run_study(line_study(), tmp_path / "whole")
    killed = tmp_path / "killed"

    def interrupted(problem, method, seed, run_dir, *, stop, **options):
        def after_two(rows):
            if run_dir.name == "sgd-s0" and len(rows) == 2:
                raise KeyboardInterrupt
            return stop(rows)

        return fit(problem, method, seed, run_dir, stop=after_two, **options)

    with monkeypatch.context() as patch:
        patch.setattr(work, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(line_study(), killed)
    assert "sgd-s1" not in names(killed)
    run_study(line_study(), killed)
    for name in names(tmp_path / "whole"):
        expected, found = (weights(tmp_path / f / "runs" / name) for f in ("whole", "killed"))
        for key, values in expected.items():
            assert torch.equal(found[key], values), (name, key)


def test_limit_of_time_ends_between_epochs_and_the_next_call_goes_on(
    tmp_path, line_study, monkeypatch
):
    clock = [0.0]

    def slow(problem, method, seed, run_dir, *, stop, **options):
        def counted(rows):
            clock[0] += 10
            return stop(rows)

        return fit(problem, method, seed, run_dir, stop=counted, **options)

    with monkeypatch.context() as patch:
        patch.setattr(work, "fit", slow)
        patch.setattr(time, "monotonic", lambda: clock[0])
        run_study(line_study(epochs=10), tmp_path, minutes=1)
    done = {name: len(history(tmp_path / "runs" / name)) for name in names(tmp_path)}
    # Six epochs of ten seconds, the methods in turns.
    assert 3 <= sum(done.values()) <= 7
    assert set(done) == {"adam-s0", "sgd-s0"}
    assert "Not complete" in (tmp_path / "index.md").read_text()
    run_study(line_study(epochs=10), tmp_path)
    assert table(tmp_path)["sgd"]["epochs"] == [10, 10]
    assert "Not complete" not in (tmp_path / "index.md").read_text()


def test_limit_of_optimizer_time_ends_each_run(tmp_path, line_study):
    study = line_study(seeds=1, epochs=100_000, seconds=0.03)
    run_study(study, tmp_path)
    for name in ("adam-s0", "sgd-s0"):
        assert float(history(tmp_path / "runs" / name)[-1]["seconds"]) < 0.1
    # Without epochs a schedule is as long as the first ones say, whatever was done since.
    rows = [{"seconds": 1.0 + 0.5 * n} for n in range(20)]
    assert not speed_is_known(rows[:1], 10)
    assert planned_epochs(rows, 10.0) == planned_epochs(rows[:2], 10.0) == 2 + 16
    assert planned_epochs(rows[:1], 0.5) == 1


def test_cosine_of_so_many_seconds_gets_its_end_from_the_pace(tmp_path, line_study, fitted):
    changes = {"training__schedule": "cosine", "seconds": 0.1, "seeds": 1, "methods": (1,)}
    study = line_study(**changes).model_copy(update={"epochs": None})
    run_study(study, tmp_path)
    assert [name for name, _ in fitted] == ["adam-s0", "adam-s0"]
    rates = [float(row["learning_rate"]) for row in history(tmp_path / "runs/adam-s0")]
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < rates[0]


def test_shards_share_the_runs_out(tmp_path, line_study):
    for part in (1, 2):
        run_study(line_study(), tmp_path / str(part), shard=(part, 2))
    first, second = names(tmp_path / "1"), names(tmp_path / "2")
    assert not set(first) & set(second)
    assert len(first) == len(second) == 2


def test_overwrite_of_a_shard_is_refused(tmp_path, line_study):
    with pytest.raises(InputError, match="--overwrite"):
        run_study(line_study(), tmp_path, shard=(1, 2), overwrite=True)


def test_run_of_another_process_is_left_alone(tmp_path, line_study, fitted):
    (tmp_path / "runs").mkdir()
    (tmp_path / engine.STUDY).write_text(line_study(seeds=1).to_toml())
    with FileLock(tmp_path / "runs/.adam-s0.lock"):
        run_study(line_study(seeds=1), tmp_path)
    assert fitted == [("sgd-s0", 0)]
    assert "adam-s0" in (tmp_path / "index.md").read_text()
    run_study(line_study(seeds=1), tmp_path)
    assert "Not complete" not in (tmp_path / "index.md").read_text()


def test_method_that_diverges_is_a_row(tmp_path, line_study, fitted):
    wild = {"name": "wild", "optimizer": "sgd", "learning_rate": 1e30}
    study = line_study(methods=(1, wild), seeds=1)
    run_study(study, tmp_path)
    run_study(study, tmp_path)
    assert len(fitted) == 2
    row = table(tmp_path)["wild"]
    assert row["stuck"] == 1
    assert "diverged" in (tmp_path / "index.md").read_text()
    assert row["diverged"]["0"]


def test_stuck_run_begins_anew_with_another_seed_where_the_method_says_so(
    tmp_path, line_study, fitted, monkeypatch
):
    def stuck(rows):
        return len(rows) >= 2 and "sgd" in fitted[-1][0] and fitted[-1][1] == 0

    monkeypatch.setattr(work, "is_given_up", stuck)
    again = {"name": "sgd", "optimizer": "sgd", "learning_rate": 0.05, "restarts": 2}
    never = {**again, "name": "sgd-never", "restarts": 0}
    run_study(line_study(methods=(0, again, never), seeds=1, reference=""), tmp_path)
    assert fitted == [("sgd-s0", 0), ("sgd-s0-r1", NEXT_SEED), ("sgd-never-s0", 0)]
    assert len(history(tmp_path / "runs/sgd-s0")) == 2
    assert table(tmp_path)["sgd"]["restarts"] == 1
    assert table(tmp_path)["sgd"]["epochs"] == [3]
    assert table(tmp_path)["sgd-never"]["restarts"] == 0
    run = records.read_attempts(
        tmp_path, line_study(methods=(0, again), reference="").methods[0], 0
    )
    lost = float(history(tmp_path / "runs/sgd-s0")[-1]["seconds"])
    assert run.seconds_to("loss", math.inf) > lost


def test_stuck_is_guessing_in_accuracy_and_loss_after_five_epochs():
    guess = {"accuracy": 0.11, "validation_loss": 2.31}
    slow = {"accuracy": 0.15, "validation_loss": 1.9}
    assert records.is_given_up([guess] * 5)
    assert not records.is_given_up([guess] * 4)
    assert not records.is_given_up([slow] * 5)
    assert not records.is_guess({"validation_loss": 2.3})


def test_target_ends_a_run_and_its_time_is_told(tmp_path, line_study):
    target = {"score": "accuracy", "value": 0.5}
    study = line_study(epochs=200, seeds=1, target=target, columns=["time", "accuracy"])
    run_study(study, tmp_path)
    rows = table(tmp_path)
    for name in ("adam", "sgd"):
        found = history(tmp_path / f"runs/{name}-s0")
        first = next(row for row in found if float(row["accuracy"]) >= 0.5)
        assert first is found[-1]
        assert rows[name]["seconds_to_target"] == [float(first["seconds"])]


def test_overwrite_makes_the_methods_runs_anew_alone(tmp_path, line_study, fitted):
    run_study(line_study(seeds=1), tmp_path)
    study = chosen(line_study(seeds=1, reference="", epochs=2), ["sgd"])
    run_study(study, tmp_path, overwrite=True)
    assert [name for name, _ in fitted] == ["adam-s0", "sgd-s0", "sgd-s0"]
    assert len(history(tmp_path / "runs/sgd-s0")) == 2
    assert len(history(tmp_path / "runs/adam-s0")) == 3


def test_folder_of_something_else_and_other_settings_are_refused(tmp_path, line_study):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(InputError, match="--out"):
        run_study(line_study(), tmp_path / "mine")
    out = tmp_path / "out"
    run_study(line_study(seeds=1), out)
    other = line_study(seeds=1).model_copy(update={"name": "other"})
    with pytest.raises(InputError, match="line"):
        run_study(other, out)
    with pytest.raises(InputError, match="scale"):
        run_study(line_study(seeds=1, epochs=4, problem__scale=2.0), out)
    with pytest.raises(InputError, match=r"training\.batch_size"):
        run_study(line_study(seeds=1, training__batch_size=2), out)
    run_study(line_study(seeds=1, training__threads=1, title="Another"), out)
    run_study(line_study(seeds=1, training__batch_size=2), out, overwrite=True)


def test_problem_that_cannot_be_is_refused(tmp_path, line_study):
    with pytest.raises(InputError, match=r"problem\.name"):
        run_study(line_study(problem__name="nowhere.Line"), tmp_path / "a")
    with pytest.raises(InputError, match=r"problem\.size"):
        run_study(line_study(problem__size="x"), tmp_path / "b")
    wrong = {"name": "a", "optimizer": "sgd", "options": {"learning_rat": 1}}
    study = line_study(methods=(0, wrong), reference="")
    with pytest.raises(InputError, match="learning_rat"):
        run_study(study, tmp_path / "c")


def test_method_that_cannot_be_is_refused_before_the_others_run(tmp_path, line_study, fitted):
    svrg = {"name": "svrg", "optimizer": "svrg", "options": {"full_gradient_interval": 3}}
    with pytest.raises(InputError, match="4 batches"):
        run_study(line_study(methods=(2, svrg)), tmp_path / "a")
    wrong = {"name": "w", "optimizer": "sgd", "training": {"schedul": "cosine"}}
    with pytest.raises(InputError, match="schedul"):
        run_study(line_study(methods=(2, wrong)), tmp_path / "b")
    assert not fitted
