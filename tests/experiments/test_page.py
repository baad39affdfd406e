"""Tables tell what run directories hold: means, times, changes, what is reported beside."""

import json

import pytest

from seistomo.experiments.page import write_page
from seistomo.experiments.records import DIVERGED
from seistomo.experiments.study import parse_study


def write_run(out, key, losses, accuracies, seconds=1.0, diverged=""):
    run = out / "runs" / key
    run.mkdir(parents=True)
    lines = ["epoch,iteration,seconds,train_loss,validation_loss,accuracy,learning_rate"]
    for n, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1):
        lines.append(f"{n},{10 * n},{seconds * n},{loss},{loss},{accuracy},0.1")
    (run / "history.csv").write_text("\n".join(lines) + "\n")
    if diverged:
        (run / DIVERGED).write_text(diverged)


def study(**more):
    methods = [
        {"name": "a", "label": "A", "optimizer": "adam", "paper": {"accuracy": 0.973}},
        {"name": "b", "label": "B", "optimizer": "sgd", "restarts": 2},
        {"name": "early", "label": "A, 1 epoch", "runs_of": "a", "epochs": 1},
    ]
    content = {"title": "T", "problem": {"name": "mnist"}, "methods": methods}
    return parse_study({**content, "epochs": 2, "seeds": 2, "reference": "a", **more}, "t")


def cells(page, label):
    line = next(line for line in page.splitlines() if line.startswith(f"| {label} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def out(tmp_path):
    write_run(tmp_path, "a-s0", [1.0, 0.5], [0.5, 0.9])
    write_run(tmp_path, "a-s1", [1.0, 0.7], [0.5, 0.92])
    write_run(tmp_path, "b-s0", [2.31] * 5, [0.1] * 5, seconds=3.0)
    write_run(tmp_path, "b-s0-r1", [1.0, 0.4], [0.5, 0.95])
    write_run(tmp_path, "b-s1", [1.0], [0.5], diverged="the loss was nan")
    return tmp_path


def test_table_tells_mean_deviation_paper_and_what_was_given_up(out):
    columns = ["epochs", "accuracy", "seconds", "runs", "restarts", "stuck"]
    line = write_page(study(columns=columns), out, "seistomo benchmark t")
    page = (out / "index.md").read_text()
    assert cells(page, "A")[1:5] == ["2", "91.0 ± 1.4", "97.3", "0.100 ± 0.000"]
    assert cells(page, "B")[2:] == ["95.0", "–", "0.100", "1", "1", "1 of 2"]
    assert cells(page, "A, 1 epoch")[1:3] == ["1", "50.0 ± 0.0"]
    assert "B, seed 1: diverged: the loss was nan" in page
    assert "B: accuracy" in line
    rows = {row["name"]: row for row in json.loads((out / "table.json").read_text())["rows"]}
    assert rows["a"]["scores"]["accuracy"]["values"] == [0.9, 0.92]
    assert rows["b"]["diverged"] == {"1": "the loss was nan"}


def test_columns_look_at_other_moments_in_time_and_epochs(out):
    columns = ["epochs@50%", "accuracy@50%", "accuracy@2", "accuracy@paper", "loss@25%"]
    methods = [study().entry(name).model_dump() for name in ("a", "b")]
    methods[0]["paper"] = {"accuracy@50%": 0.6, "epochs": 1}
    write_page(study(columns=columns, methods=methods, seconds=2.5), out, "")
    page = (out / "index.md").read_text()
    assert cells(page, "method")[1:3] == ["epochs, after 1.25 s", "accuracy, %, after 1.25 s"]
    after_half = ["1", "50.0 ± 0.0", "60"]
    assert cells(page, "A")[1:] == [*after_half, "91.0 ± 1.4", "50.0 ± 0.0", "–"]
    assert cells(page, "B")[4:] == ["95.0", "–", "–"]
    row = json.loads((out / "table.json").read_text())["rows"][0]
    assert row["scores"]["accuracy@2"]["values"] == [0.9, 0.92]


def test_change_is_taken_seed_by_seed_from_the_reference(out):
    write_run(out, "c-s0", [1.0, 0.6], [0.5, 0.91])
    write_run(out, "c-s1", [1.0, 0.8], [0.5, 0.95])
    more = {"name": "c", "label": "C", "optimizer": "sgd"}
    methods = [study().entry("a").model_dump(), more]
    write_page(study(columns=["accuracy", "change:accuracy"], methods=methods), out, "")
    page = (out / "index.md").read_text()
    # +1 and +3 points: mean 2, standard error √2/√2 = 1.
    assert cells(page, "C")[3] == "+2.0 ± 1.0"
    assert cells(page, "A")[3] == "–"


def test_time_to_the_target_counts_attempts_given_up_and_never(out):
    target = {"score": "accuracy", "value": 0.94}
    line = write_page(study(columns=["time", "accuracy"], target=target), out, "")
    rows = {row["name"]: row for row in json.loads((out / "table.json").read_text())["rows"]}
    # Five epochs of 3 s were lost, then the second epoch of 1 s reached it.
    assert rows["b"]["seconds_to_target"][0] == 15 + 2
    assert rows["a"]["seconds_to_target"] == [None, None]
    assert "A: target after never" in line


def test_page_says_what_is_missing(out):
    write_page(study(seeds=3, epochs=4), out, "")
    page = (out / "index.md").read_text()
    assert "**Not complete**: 4 of 6 runs" in page
    assert "not trained to the end" in page
    assert not json.loads((out / "table.json").read_text())["complete"]


def test_figures_that_are_asked_for_are_drawn(out):
    sweep = {"method": "a", "key": "learning_rate", "symbol": "α", "values": [0.01, 0.1]}
    write_run(out, "a-learning_rate-0.01-s0", [1.0, 0.9], [0.5, 0.6])
    # Two methods in a panel, one run that diverged.
    sweeps = [sweep, sweep | {"method": "b", "values": [0.1, 1.0]}]
    write_run(out, "b-learning_rate-1-s0", [1.0], [0.5], diverged="the loss was inf")
    kinds = ["seconds", "histogram", "sweeps"]
    columns = ["accuracy", "loss"]
    write_page(study(figures=kinds, sweeps=sweeps, columns=columns), out, "")
    for kind in kinds:
        assert (out / f"{kind}.png").stat().st_size > 1000
        assert f"]({kind}.png)" in (out / "index.md").read_text()


def test_an_attempt_that_diverged_in_its_first_epoch_counts_as_lost(out):
    (out / "runs" / "b-s1-r1").mkdir()
    (out / "runs" / "b-s1-r1" / DIVERGED).write_text("the loss was inf")
    write_run(out, "b-s1-r2", [1.0, 0.4], [0.5, 0.95], seconds=4.0)
    target = {"score": "accuracy", "value": 0.9}
    write_page(study(target=target), out, "")
    (row,) = (r for r in json.loads((out / "table.json").read_text())["rows"] if r["name"] == "b")
    # 15 s of the stuck attempt and 2 epochs; 1 s of the one that diverged and 2 epochs.
    assert row["seconds_to_target"] == [17.0, 9.0]
    assert row["restarts"] == 3
