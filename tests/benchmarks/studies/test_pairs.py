import json
from dataclasses import replace

from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import SQGN_BASELINE
from seistomo.benchmarks.studies import pairs
from seistomo.benchmarks.studies.pairs import SOURCES, run_pairs


def test_every_source_is_run_with_the_same_seeds(tmp_path, mnist_folder, monkeypatch):
    monkeypatch.setattr(pairs, "SQGN_BASELINE", replace(SQGN_BASELINE, batch_size=40))
    options = BenchmarkOptions(
        tmp_path / "out", str(mnist_folder), epochs=2, repeats=2, device="cpu", threads=1
    )
    line = run_pairs(options, {"full_gradient_interval": 3})
    assert "best " in line
    summary = json.loads((options.out / "study-pairs.json").read_text())
    assert summary["histories"].keys() == SOURCES.keys()
    for runs in summary["histories"].values():
        assert [len(run) for run in runs] == [2, 2]
    # Hessian and Gauss-Newton pairs are counted as products, differences of gradients are not.
    work = {name: runs[0][-1] for name, runs in summary["histories"].items()}
    assert work["Gauss-Newton products"]["ggn_products"] > 0
    assert work["gradient differences"]["ggn_products"] == 0
    assert (options.out / "study-pairs.png").stat().st_size > 10_000
    assert "Hessian products, M = 10" in (options.out / "study-pairs.md").read_text()
