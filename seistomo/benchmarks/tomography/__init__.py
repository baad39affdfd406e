"""The tomography benchmark: the SQGN paper's section 6.2 as one command, and what it is built on.

Other studies of the same problem stand on three modules::

    from seistomo.benchmarks.store import BenchmarkFolder
    from seistomo.benchmarks.tomography.rows import rows_for
    from seistomo.benchmarks.tomography.runs import Workplace, run_variants
    from seistomo.benchmarks.tomography.sizes import size_config

    place = Workplace(BenchmarkFolder("out"), data="out/data.h5")
    base = size_config("small")
    variants = {row.name: row.config(base) for row in rows_for("adam,sqgn")}
    found = run_variants(place, variants, seeds=range(3))
    found["sqgn"][0].history[-1].validation_loss, found["sqgn"][0].scores["best"]["ssim"]

`run_variants` trains each configuration with each seed (``training.seed``: start weights and
order of batches, alike for all) in an ordinary run directory, goes on with what is there, skips
what is done, shares runs with other processes, and returns an `Outcome` a run: history, scores of
the test split by the last and the best checkpoint, peak memory, whether it diverged. With ``stop``
it leaves runs once their history tells it to, as races do. ``scored=False`` leaves the test split
alone, as choosing settings must.
"""
