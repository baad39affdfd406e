import json
from pathlib import Path

import numpy as np
import pytest

from seistomo.benchmarks.generalization import run as benchmark
from seistomo.benchmarks.generalization.pictures import draw_results
from seistomo.benchmarks.generalization.run import GeneralizationOptions, run_generalization
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

FEW = ("finer-grid", "family-layers", "family-style_b")


@pytest.fixture(autouse=True)
def few_conditions(monkeypatch):
    """Leave out most of what is simulated."""
    for name in ("physics_conditions", "family_conditions"):
        whole = getattr(benchmark, name)
        monkeypatch.setattr(
            benchmark, name, lambda *a, whole=whole: [c for c in whole(*a) if c.name in FEW]
        )


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Leave out the slow part."""
    monkeypatch.setattr(benchmark, "draw_results", lambda *arguments: None)


@pytest.fixture(scope="session")
def section(tmp_path_factory):
    path = tmp_path_factory.mktemp("section") / "marmousi.npy"
    depth, x = np.mgrid[:24, :40]
    np.save(path, (1.6 + 0.1 * depth + 0.2 * np.sin(x / 4)).astype(np.float32))
    return path


@pytest.fixture
def options(run_dir, data_path, section, tmp_path):
    return GeneralizationOptions(
        run=run_dir,
        out=tmp_path / "out",
        data=data_path,
        samples=3,
        marmousi=section,
        marmousi_file=FileOptions(units="km/s", spacing=(25.0, 25.0)),
        device="cpu",
        threads=1,
    )


def numbers(options):
    return json.loads((options.out / "generalization.json").read_text())


def test_what_is_killed_goes_on_to_the_same_end(options, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "draw_results", draw_results)
        whole = run_generalization(options)
    assert {path.name for path in options.out.iterdir()} == {
        *("settings.json", "data", "scores", "generalization.md", "generalization.json"),
        *("generalization-scores.png", "generalization-models.png"),
    }
    rows = {row["name"]: row for row in numbers(options)["conditions"]}
    assert next(iter(rows)) == "reference"
    assert list(rows)[-1] == "marmousi"
    assert {*FEW, "snr-0", "dead-30"} <= set(rows)
    assert all(row["samples"] == 3 for row in rows.values())
    same = [row for row in rows.values() if row["same_models"]]
    assert len(same) == 7
    assert len({row["baseline"]["mse"] for row in same}) == 1
    assert "3 overlapping pieces of marmousi.npy" in rows["marmousi"]["note"]

    again = GeneralizationOptions(**{**vars(options), "out": tmp_path / "again"})
    scored = []

    def stop(run, sources, condition, path, score=benchmark._score):
        if len(scored) == 7:
            raise KeyboardInterrupt
        scored.append(condition.name)
        score(run, sources, condition, path)

    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "_score", stop)
        with pytest.raises(KeyboardInterrupt):
            run_generalization(again)
    assert not (again.out / "generalization.md").exists()
    assert run_generalization(again) == whole
    assert numbers(again) == numbers(options)

    with pytest.raises(InputError, match="--samples = 3, now it is 4"):
        run_generalization(GeneralizationOptions(**{**vars(options), "samples": 4}))


def test_without_a_section_the_row_is_left_out_and_said_so(options):
    plain = {**vars(options), "marmousi": None, "marmousi_file": FileOptions(), "data": None}
    page = run_generalization(GeneralizationOptions(**plain))
    assert "Marmousi crops: left out, no file of a section was given (--marmousi)" in page
    assert "its data set was not given" in page
    assert "| new models, own settings " in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "nowhere"}, "run nowhere: no such directory"),
        ({"marmousi": "nowhere.npy"}, "--marmousi nowhere.npy: no such file"),
        ({"data": "nowhere.h5"}, "nowhere.h5: no such file"),
        ({"samples": 1}, "--samples 1: must be at least 2"),
        ({"threads": -1}, "--threads -1: must not be negative"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
        ({"marmousi": None}, "--file-spacing: are for --marmousi"),
    ],
)
def test_bad_input_ends_in_one_line(options, change, message):
    change = {k: Path(v) if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(InputError, match=message) as caught:
        run_generalization(GeneralizationOptions(**{**vars(options), **change}))
    assert "\n" not in str(caught.value)
    assert not options.out.exists()


def test_a_seed_that_the_run_was_trained_with_is_refused(options, monkeypatch):
    monkeypatch.setattr(benchmark, "FIRST_SEED", 0)
    with pytest.raises(InputError, match="--seed 0: draws the models that the run was trained on"):
        run_generalization(options)


def test_refused_sections_leave_the_folder_free(options, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    small = GeneralizationOptions(
        **{**vars(options), "marmousi_file": FileOptions(units="km/s", spacing=(5.0, 5.0))}
    )
    with pytest.raises(InputError, match="survey does not fit"):
        run_generalization(small)
    monkeypatch.setattr(benchmark, "_score", stop)
    with pytest.raises(KeyboardInterrupt):
        run_generalization(options)
