import json
from dataclasses import replace

import pytest

from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import ADAM_BASELINE, SQGN_BASELINE
from seistomo.benchmarks.studies import sensitivity
from seistomo.benchmarks.studies.sensitivity import SWEEPS, Sweep, run_sensitivity

BASES = {
    "adam": ADAM_BASELINE.settings(5, "raw"),
    "sqgn": SQGN_BASELINE.settings(5, "raw"),
}


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: f"{sweep.optimizer}-{sweep.option}")
def test_a_sweep_varies_one_thing_and_passes_through_the_baseline(sweep):
    base = BASES[sweep.optimizer]
    settings = [sweep.settings(base, value) for value in sweep.values]
    assert base in settings
    assert sweep.baseline(base) == sweep.values[settings.index(base)]
    for changed in settings:
        differing = {k for k in changed.options if changed.options[k] != base.options.get(k)}
        if sweep.option == "learning_rate":
            assert replace(changed, learning_rate=base.learning_rate) == base
        else:
            assert differing <= {sweep.option}
    assert len({setting.key("d", "cpu") for setting in settings}) == len(sweep.values)


def test_all_options_of_the_issue_are_swept_over_decades():
    swept = {sweep.symbol for sweep in SWEEPS if sweep.optimizer == "sqgn"}
    assert swept == {"α", "λ", "L", "M", "K", "|T|"}
    for sweep in SWEEPS:
        assert max(sweep.values) / min(sweep.values) >= 10


def test_writes_table_summary_and_figure(tmp_path, mnist_folder, monkeypatch):
    options = {**SQGN_BASELINE.options, "full_gradient_interval": 3}
    monkeypatch.setattr(
        sensitivity, "SQGN_BASELINE", replace(SQGN_BASELINE, batch_size=40, options=options)
    )
    monkeypatch.setattr(sensitivity, "ADAM_BASELINE", replace(ADAM_BASELINE, batch_size=40))
    sweeps = (
        Sweep("adam", "learning_rate", "α", (1e-3, 1e-2)),
        Sweep("sqgn", "curvature_samples", "|T|", (4, 40)),
    )
    monkeypatch.setattr(sensitivity, "SWEEPS", sweeps)
    given = BenchmarkOptions(
        tmp_path / "out", str(mnist_folder), epochs=1, repeats=2, device="cpu", threads=1
    )
    assert run_sensitivity(given).endswith("study-sensitivity.png: 4 settings, 1 epochs each")
    summary = json.loads((given.out / "study-sensitivity.json").read_text())
    assert [sweep["option"] for sweep in summary["sweeps"]] == [
        "learning_rate",
        "curvature_samples",
    ]
    assert [len(found) for found in summary["sweeps"][1]["test_accuracy"]] == [2, 2]
    page = (given.out / "study-sensitivity.md").read_text()
    assert "| SQGN: |T|" not in page, "a bar would end the cell"
    assert "(baseline)" in page
    assert (given.out / "study-sensitivity.png").stat().st_size > 10_000
