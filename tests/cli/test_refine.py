"""`seistomo refine`: what it writes, how it goes on, what it refuses."""

import json
import signal

import numpy as np
import pandas as pd
import pytest

from seistomo import refinement
from seistomo.dataset import open_dataset, open_velocity, read_predictions

SETTINGS = [
    *("refinement.method=lbfgs", "refinement.iterations=1", "refinement.frequencies=[8.0]"),
    *("refinement.grid_spacing=15.0", "refinement.near_offset=30.0"),
]
QUICK = "".join(f" --set {setting}" for setting in SETTINGS)


@pytest.fixture
def refine(run, made, tmp_path):
    """Return a function that runs `refine` on the data and run of `made` in an empty folder."""
    (tmp_path / "run").symlink_to(made / "run")
    (tmp_path / "data.h5").symlink_to(made / "data.h5")
    return lambda line, status=0: run(f"refine run --data data.h5{QUICK} {line} -q", status)


@pytest.fixture(scope="module")
def expected(made, tmp_path_factory):
    """Return what one process makes of three samples."""
    out = tmp_path_factory.mktemp("whole") / "refined"
    refinement.refine(made / "run", made / "data.h5", out, overrides=SETTINGS, samples=3)
    return read_predictions(out / "refined.h5")[0]


def test_what_it_writes(refine, run, tmp_path):
    said = refine("--out refined --samples 2")
    assert said.out.startswith("refined: 2 samples, RMSE ")
    metrics = json.loads((tmp_path / "refined/metrics.json").read_text())
    assert metrics["data_misfit_far"] < metrics["start"]["data_misfit_far"]
    assert metrics["samples"] == 2
    models, rows, attributes = read_predictions(tmp_path / "refined/refined.h5")
    with open_dataset(tmp_path / "data.h5") as data:
        assert rows.tolist() == data.indices("test")[:2].tolist()
        assert attributes["data_identity"] == data.identity
        error = np.sqrt(np.mean((models - data.read_velocity(rows)) ** 2))
    assert error == pytest.approx(metrics["rmse"], rel=1e-5)
    history = pd.read_csv(tmp_path / "refined/iterations.csv")
    assert set(history["sample"]) == set(rows)
    assert {"stage", "frequency", "iteration", "misfit", "solves", "seconds"} <= {*history}
    assert len(pd.read_csv(tmp_path / "refined/samples.csv")) == 2
    assert not (tmp_path / "refined.unfinished").exists()
    assert "refined" in run("info refined").out
    run("plot refined --out models.png -q")
    # From what it wrote, it starts again, now on another grid than the data's.
    assert "inverse crime" in said.err
    line = "--out again --indices 1,0 --start refined/refined.h5"
    assert "inverse crime" not in refine(f"{line} --set refinement.grid_spacing=12.0").err
    assert (tmp_path / "again/refined.h5").is_file()


def test_interrupted_and_in_shards_it_gives_the_same(refine, expected, tmp_path, monkeypatch):
    assert refine("--out parts --samples 3 --shard 1/2").out == ""
    refine("--out parts --samples 3 --shard 2/2")
    assert np.array_equal(read_predictions(tmp_path / "parts/refined.h5")[0], expected)

    calls, invert = [], refinement.Inverter.__call__

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return invert(*arguments)

    monkeypatch.setattr(refinement.Inverter, "__call__", interrupted)
    refine("--out broken --samples 3", status=130)
    assert not (tmp_path / "broken").exists()
    assert "--resume" in refine("--out broken --samples 3", status=2).err
    assert (
        "iterations"
        in refine("--out broken --samples 3 --resume --set refinement.iterations=2", status=2).err
    )
    refine("--out broken --samples 3 --resume")
    assert len(calls) == 4
    assert np.array_equal(read_predictions(tmp_path / "broken/refined.h5")[0], expected)
    refine("--out broken --samples 3 --resume")
    assert len(calls) == 4
    assert "exists already" in refine("--out broken --samples 3", status=2).err


def test_killed_ranks_leave_what_others_finish(made, expected, start_ranks, wait_until, tmp_path):
    paths = [made / "run", "--data", made / "data.h5", "--out", tmp_path / "out"]
    words = [*paths, "--samples", 3, "-q", "--resume"]
    runs = start_ranks(2, "refine", *words, *QUICK.split())
    wait_until(lambda: list(tmp_path.glob("out.unfinished/*.npz")), *runs)
    for run in runs:
        run.send(signal.SIGKILL)
        run.wait()
    runs = start_ranks(2, "refine", *words, *QUICK.split())
    assert [run.wait() for run in runs] == [0, 0], [run.words for run in runs]
    assert [run.words.count("3 samples") for run in runs] == [1, 0]
    assert np.array_equal(read_predictions(tmp_path / "out/refined.h5")[0], expected)


def test_members_are_refined_each_by_itself(refine, run, tmp_path):
    run("train tiny.toml --data data.h5 --out many --members 2 --epochs 1 -q")
    for name, start in (("many", "members"), ("many/member-1", "prediction")):
        line = f"refine {name} --data data.h5{QUICK} --out {start} --samples 1 --start {start} -q"
        run(line)
    alone = read_predictions(tmp_path / "prediction/refined.h5")[0]
    with open_velocity(tmp_path / "members/refined.h5") as refined:
        difference = np.abs(alone - refined.read_velocity([0]))
        # The other of two is as far from their mean.
        np.testing.assert_allclose(
            refined.read_velocity_std([0]), 2**0.5 * difference, rtol=1e-4, atol=1e-2
        )
    assert difference.max() > 1
    metrics = json.loads((tmp_path / "members/metrics.json").read_text())
    for found in (metrics, metrics["start"]):
        assert len(found["ensemble"]["members"]) == 2
        assert found["ensemble"]["rmse"] == pytest.approx(found["rmse"], rel=1e-3)
    assert {0, 1} == {*pd.read_csv(tmp_path / "members/iterations.csv")["member"]}
    said = refine("--out single --start members", status=2).err
    assert "refinement.start = members" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--samples 99", ("--samples 99", "test")),
        ("--indices 99", ("--indices", "99")),
        ("--start nowhere.h5", ("nowhere.h5", "prediction, members, mean, smooth")),
        ("--set training.epochs=3", ("training.epochs", "[refinement]")),
        ("--set refinement.shots=2", ("refinement.shots = 2", "adam")),
        ("--set refinement.frequencies=[400.0]", ("refinement.frequencies = 400", "83.3")),
        ("--shard 3/2", ("--shard 3/2",)),
    ],
)  # fmt: skip
def test_refusals(refine, tmp_path, options, words):
    said = refine(f"--out refined {options}", status=2).err
    assert said.count("\n") == 1
    assert all(word in said for word in words)
    assert not list(tmp_path.glob("refined*"))
