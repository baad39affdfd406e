import json
import statistics
from dataclasses import replace

import pytest

from seistomo.benchmarks.tomography import runs
from seistomo.benchmarks.tomography.command import TomographyOptions
from seistomo.benchmarks.tomography.scores import score_run
from seistomo.benchmarks.tomography.studies import ablation_page
from seistomo.benchmarks.tomography.studies.ablation import run_ablation
from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.training import loop


@pytest.fixture
def options(tmp_path, data):
    return TomographyOptions(
        tmp_path / "out", "tiny", "adam-1e-3", 2, 4, 2, data, "cpu", 1, command="seistomo x"
    )


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Leave the drawing out, which takes longer than the rest; return what would be drawn."""
    seen = []
    monkeypatch.setattr(ablation_page.figures, "ablation_figure", seen.append)
    monkeypatch.setattr(ablation_page.figures, "save", lambda figure, path: None)
    return seen


def summary(out):
    content = json.loads((out / "study-ablation.json").read_text())
    return content, {(one["optimizer"], one["name"]): one for one in content["variants"]}


def without_times(out):
    content, _ = summary(out)
    for one in content["variants"]:
        assert one.pop("seconds")
    return content


def test_every_variant_stands_beside_the_baseline_of_its_seed(options, drawn):
    line = run_ablation(options, ["ssim", "gain", "mirror-test"])
    content, found = summary(options.out)
    assert line.startswith(f"{options.out / 'study-ablation.md'}: lowest validation loss: ")
    assert content["complete"]
    assert content["checkpoint"] == "best"
    names = [name for _, name in found]
    assert names == ["baseline", "gain", "mirror-test", "ssim"]
    baseline, gain = (found["adam-1e-3", name] for name in ("baseline", "gain"))
    ours, theirs = (one["test"]["best"]["ssim"]["runs"] for one in (gain, baseline))
    assert set(ours) == {"4", "5"}
    differences = [ours[seed] - theirs[seed] for seed in ours]
    change = gain["test"]["best"]["ssim"]["change"]
    assert change["mean"] == pytest.approx(statistics.fmean(differences))
    assert change["standard_error"] == pytest.approx(statistics.stdev(differences) / 2**0.5)
    with open_dataset(options.data) as reader:
        for checkpoint in ("best", "last"):
            run = options.out / "runs" / "adam-1e-3-gain-s5"
            scores = score_run(run, reader, "test", checkpoint, "cpu")
            for name in ("loss", "rmse", "ssim", "salt_iou"):
                assert gain["test"][checkpoint][name]["runs"]["5"] == scores[name]
    page = (options.out / "study-ablation.md").read_text()
    assert "best epoch by validation loss" in page
    assert "12.7 standard errors" in page
    assert "| mirrored in prediction |" in " ".join(page.split())
    [rows] = drawn[-1].values()
    assert [row.label for row in rows] == names
    assert rows[1].ssim == list(ours.values())


def test_what_only_predicts_otherwise_is_trained_once_and_scores_as_if_trained(
    options, tmp_path, monkeypatch
):
    trained = []
    original = runs.train

    def noting(config, data, run, **more):
        trained.append(run.name)
        return original(config, data, run, **more)

    monkeypatch.setattr(runs, "train", noting)
    once = replace(options, repeats=1)
    run_ablation(once, ["mirror", "mirror-both"])
    assert trained == ["adam-1e-3-s4", "adam-1e-3-mirror-s4"]
    _, found = summary(once.out)
    both, one = (found["adam-1e-3", name]["test"] for name in ("mirror-both", "mirror"))
    assert both["last"]["rmse"]["mean"] != one["last"]["rmse"]["mean"]
    anew = replace(once, out=tmp_path / "anew")
    monkeypatch.setattr(
        "seistomo.benchmarks.tomography.studies.ablation.lenders",
        lambda configs: {name: name for name in configs},
    )
    run_ablation(anew, ["mirror", "mirror-both"])
    assert "adam-1e-3-mirror-both-s4" in trained
    assert without_times(anew.out) == without_times(once.out)


def test_more_variants_and_repeats_are_added(options, monkeypatch):
    options = replace(options, epochs=1)
    run_ablation(replace(options, repeats=1), ["gain"])
    trained = []
    original = runs.train_job
    monkeypatch.setattr(
        runs, "train_job", lambda place, job, stop: trained.append(job.key) or original(place, job)
    )
    run_ablation(options, ["ema"])
    assert trained == [
        *("adam-1e-3-ema-s4", "adam-1e-3-s5", "adam-1e-3-gain-s5", "adam-1e-3-ema-s5"),
    ]
    content, found = summary(options.out)
    assert [name for _, name in found] == ["baseline", "gain", "ema"]
    assert all(one["seeds"] == [4, 5] for one in content["variants"])


def test_an_interrupted_ablation_ends_as_one_that_was_not(options, tmp_path, monkeypatch):
    options = replace(options, epochs=1)
    whole = replace(options, out=tmp_path / "whole")
    run_ablation(whole, ["mirror-test"])
    original, calls = loop.BatchObjective.__init__, []

    def interrupted(*arguments, **more):
        calls.append(None)
        if len(calls) in (3, 7, 11):
            raise KeyboardInterrupt
        return original(*arguments, **more)

    monkeypatch.setattr(loop.BatchObjective, "__init__", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_ablation(options, ["mirror-test"])
    run_ablation(options, ["mirror-test"])
    assert without_times(options.out) == without_times(whole.out)


def test_time_that_is_up_leaves_a_table_of_what_is_done(options, monkeypatch):
    line = run_ablation(replace(options, minutes=1e-6), ["gain"])
    assert "nothing is trained to the end yet" in line
    original = runs.train_job

    def once(place, job, stop):
        if job.name != "adam-1e-3":
            from seistomo.benchmarks.tomography.budget import TimeIsUpError

            raise TimeIsUpError
        return original(place, job, stop)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train_job", once)
        assert "go on with the same command" in run_ablation(options, ["gain"])
    content, found = summary(options.out)
    assert not content["complete"]
    assert found["adam-1e-3", "baseline"]["seeds"] == [4]
    assert found["adam-1e-3", "gain"]["seeds"] == []
    assert "**Not complete**" in (options.out / "study-ablation.md").read_text()


def test_second_order_gets_the_convex_variants_and_lost_runs_are_named(options):
    both = replace(options, optimizers="sgn,sgd@1e30", repeats=1, epochs=1)
    run_ablation(both, ["gain", "ssim"])
    _, found = summary(both.out)
    assert [key for key in found if key[0] == "sgn"] == [("sgn", "baseline"), ("sgn", "gain")]
    assert ("sgd@1e30", "ssim") in found
    assert "diverged in epoch 1" in found["sgd@1e30", "gain"]["diverged"]["4"]
    assert found["sgd@1e30", "gain"]["test"]["best"]["ssim"]["change"]["pairs"] == 0
    page = (both.out / "study-ablation.md").read_text()
    assert "- Diverged: sgd@1e30, gain, seed 4: training diverged" in page


@pytest.mark.parametrize(
    ("changes", "variants", "words"),
    [
        ({}, ["gian"], "--variants gian: must be of baseline, scaling-none"),
        ({"optimizers": "sqgn"}, ["gain", "ssim"], "--variants ssim: its loss is not convex"),
        ({"seed": 5}, ["gain"], "ablation.json was made with seed = 4, not 5"),
        ({"epochs": 1}, ["gain"], "has done 2 already"),
    ],
)
def test_what_cannot_be_is_refused(options, changes, variants, words):
    if "seed" in changes or "epochs" in changes:
        run_ablation(replace(options, repeats=1), ["gain"])
    with pytest.raises(InputError, match=words) as found:
        run_ablation(replace(options, **changes), variants)
    assert "\n" not in str(found.value)


def test_overwriting_makes_its_own_runs_anew(options, monkeypatch):
    once = replace(options, repeats=1, epochs=1)
    run_ablation(once, ["gain", "scaling-none"])
    other = options.out / "runs" / "svrg-s4"
    other.mkdir()
    trained = []
    original = runs.train_job
    monkeypatch.setattr(
        runs, "train_job", lambda place, job, stop: trained.append(job.key) or original(place, job)
    )
    run_ablation(replace(once, overwrite=True), ["gain"])
    assert trained == ["adam-1e-3-s4", "adam-1e-3-gain-s4"]
    # A name that begins like another one is not that one.
    assert (options.out / "runs" / "adam-1e-3-scaling-none-s4" / "history.csv").is_file()
    assert other.is_dir()


def test_a_change_is_that_of_pairs():
    change = ablation_page.paired_change({0: 1.0, 1: 3.0, 2: 9.0}, {0: 0.5, 1: 1.5, 3: 7.0})
    assert change["pairs"] == 2
    assert change["mean"] == pytest.approx(1.0)
    assert change["standard_error"] == pytest.approx(0.5)
    single = ablation_page.paired_change({0: 1.0}, {0: 4.0})
    assert (single["mean"], single["standard_error"]) == (-3.0, None)
    assert ablation_page.paired_change({0: 1.0}, {1: 1.0})["mean"] is None
