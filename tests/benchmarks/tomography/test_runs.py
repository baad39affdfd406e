import dataclasses

import numpy as np
import pytest
import torch

from seistomo.benchmarks.tomography.rows import rows_for
from seistomo.benchmarks.tomography.runs import Job, is_done, outcome, run_variants, train_job
from seistomo.config import with_overrides
from seistomo.errors import InputError
from seistomo.evaluation import evaluate, scoring
from seistomo.optim import registry
from seistomo.training import load_run, loop


def variants(base, text="adam-1e-3,sqgn"):
    return {row.name: row.config(base) for row in rows_for(text)}


def without_times(history):
    return [dataclasses.replace(row, seconds=0.0) for row in history]


def weights(run, checkpoint="last"):
    state = load_run(run, checkpoint, "cpu").network.state_dict()
    return torch.cat([value.flatten() for value in state.values()])


def by_loss(row):
    return row.validation_loss


class Recorder(torch.optim.Optimizer):
    """Notes start weights and the losses of the batches, and moves nothing."""

    seen: dict = {}  # noqa: RUF012

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        flat = torch.cat([p.detach().flatten() for g in self.param_groups for p in g["params"]])
        self.note = self.seen.setdefault(lr, {"weights": [], "losses": []})
        self.note["weights"].append(flat)

    def step(self, closure):
        loss = closure()
        self.note["losses"].append(float(loss))
        return loss


def test_rows_start_alike_and_see_the_same_batches(place, base, monkeypatch):
    monkeypatch.setitem(registry._OPTIMIZERS, "recorder", Recorder)
    monkeypatch.setattr(Recorder, "seen", {})
    run_variants(place, variants(base, "recorder@0.5,recorder@0.25"), [0, 1], scored=False)
    # Each is also made once to see whether it can be.
    first, second = (Recorder.seen[rate] for rate in (0.5, 0.25))
    assert len(first["losses"]) == 2 * 2 * 4
    assert first["losses"] == second["losses"]
    for one, other in zip(first["weights"], second["weights"], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first["weights"][1], first["weights"][2])
    assert first["losses"][:8] != first["losses"][8:]


def test_an_interrupted_run_ends_as_one_that_was_not(place, base, tmp_path, monkeypatch):
    jobs = variants(base)
    original, calls = loop.BatchObjective.__init__, []

    def interrupted(*arguments, **options):
        calls.append(None)
        if len(calls) in (2, 7, 14):
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(loop.BatchObjective, "__init__", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_variants(place, jobs, [0], scored=False)
    found = run_variants(place, jobs, [0], scored=False)
    monkeypatch.undo()
    whole = dataclasses.replace(place, folder=type(place.folder)(tmp_path / "whole"))
    expected = run_variants(whole, jobs, [0], scored=False)
    for name in jobs:
        [one], [other] = found[name], expected[name]
        assert without_times(one.history) == without_times(other.history)
        assert torch.equal(weights(one.path), weights(other.path))


def test_what_is_done_is_left_and_more_epochs_go_on(place, base, monkeypatch):
    jobs = variants(base, "adam-1e-3")
    [before] = run_variants(place, jobs, [3])["adam-1e-3"]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", None)
        patch.setattr("seistomo.benchmarks.tomography.runs.train", None)
        patch.setattr("seistomo.benchmarks.tomography.scores.load_run", None)
        [again] = run_variants(place, jobs, [3])["adam-1e-3"]
    assert again == before
    longer = {name: with_overrides(c, ["training.epochs=3"]) for name, c in jobs.items()}
    [more] = run_variants(place, longer, [3])["adam-1e-3"]
    assert more.epochs == 3
    assert list(more.history[:2]) == list(before.history)
    assert more.scores["last"]["epoch"] == 3
    with pytest.raises(InputError, match="has done 3 already"):
        run_variants(place, jobs, [3])


def test_other_settings_under_the_same_name_are_refused(place, base):
    jobs = variants(base, "adam-1e-3")
    run_variants(place, jobs, [0], scored=False)
    for setting in ("network.output_scale=0.1", "evaluation.salt_threshold=4000.0"):
        other = {name: with_overrides(config, [setting]) for name, config in jobs.items()}
        with pytest.raises(InputError, match=f"{setting.partition('=')[0]} = .*--overwrite"):
            run_variants(place, other, [0], scored=False)
    free = {name: with_overrides(c, ["training.cache_memory=0.0"]) for name, c in jobs.items()}
    run_variants(place, free, [0], scored=False)


def test_scores_are_those_of_the_evaluation(place, base, tmp_path, monkeypatch):
    # Its pictures take longer than all the rest.
    monkeypatch.setattr(scoring, "write_figures", lambda *arguments: [])
    monkeypatch.setattr(scoring, "write_report", lambda *arguments: None)
    [one] = run_variants(place, variants(base, "adam-1e-3"), [0])["adam-1e-3"]
    theirs = evaluate(one.path, place.data, tmp_path / "evaluation", checkpoint="last")
    for key in ("loss", "mse", "rmse", "ssim", "salt_iou", "epoch", "samples", "split"):
        assert one.scores["last"][key] == theirs[key], key
    assert one.scores["last"]["baseline"] == theirs["baseline"]
    best = one.training["best"]["epoch"]
    assert one.scores["best"]["epoch"] == best == min(one.history, key=by_loss).epoch


def test_a_run_that_diverges_is_an_outcome_and_is_not_tried_again(place, base, monkeypatch):
    jobs = variants(base, "sgd@1e30,adam-1e-3")
    found = run_variants(place, jobs, [0])
    [lost], [good] = found["sgd@1e30"], found["adam-1e-3"]
    assert "diverged in epoch 1" in lost.diverged
    assert not lost.history
    assert not lost.scores
    assert good.epochs == 2
    monkeypatch.setattr("seistomo.benchmarks.tomography.runs.train", None)
    assert run_variants(place, jobs, [0])["sgd@1e30"] == [lost]


def test_runs_of_another_process_are_left_to_it(place, base):
    jobs = variants(base)
    with (
        place.folder.locked("sqgn-s0"),
        pytest.raises(InputError, match="another process is at sqgn-s0;"),
    ):
        run_variants(place, jobs, [0], scored=False)
    # The others were done meanwhile.
    done = {name: is_done(place, Job.of(name, config, 0)) for name, config in jobs.items()}
    assert done == {"adam-1e-3": True, "sqgn": False}
    with place.folder.locked("sqgn-s0"), pytest.raises(InputError, match="another process"):
        place.forget("sqgn-s0")


def test_a_run_stops_where_its_history_says_and_can_go_on(place, base):
    config = with_overrides(
        variants(base, "adam-1e-3")["adam-1e-3"],
        ["training.epochs=4", 'training.schedule="cosine"'],
    )
    job = Job.of("adam-1e-3", config, 0)

    def stop(history):
        return history[-1].epoch >= 2

    [left] = run_variants(place, {"adam-1e-3": config}, [0], stop=stop)["adam-1e-3"]
    assert left.epochs == 2
    assert is_done(place, job, stop)
    assert not is_done(place, job)
    train_job(place, job)
    went_on = outcome(place, job, scored=False)
    # A schedule is that of all epochs, wherever the run was left.
    rates = [row.learning_rate for row in went_on.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.01 * rates[0])


def test_seconds_an_iteration_are_those_of_the_middle_epoch(place, base):
    [one] = run_variants(place, variants(base, "adam-1e-3"), [0], scored=False)["adam-1e-3"]
    times = [1.0, 9.0, 11.0]
    rows = [
        dataclasses.replace(one.history[0], epoch=n + 1, iteration=4 * (n + 1), seconds=seconds)
        for n, seconds in enumerate(times)
    ]
    slow_start = dataclasses.replace(one, history=rows)
    assert slow_start.seconds_per_iteration() == pytest.approx(0.5)
    np.testing.assert_array_equal(slow_start.columns()["seconds"], times)
