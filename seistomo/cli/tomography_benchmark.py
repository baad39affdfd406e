"""The command that compares optimizers on the tomography problem."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, SetOption
from seistomo.cli.benchmark import benchmark
from seistomo.config.document import field_help
from seistomo.progress import set_quiet

EPILOG = """The same command goes on where it was interrupted (at most an epoch of a run and a shard
of the data are lost). More epochs, repeats or optimizers add to what is there; two processes with
the same OUT share the runs. Runs are ordinary ones, OUT/runs/ROW-sSEED, for seistomo evaluate,
predict and info. --overwrite makes all runs anew, and keeps the data set."""


@benchmark.command(epilog=EPILOG)
def tomography(
    size: Annotated[
        str, typer.Option(help="small, paper (for a GPU), or tiny (to try the machinery).")
    ] = "small",
    optimizers: Annotated[
        str | None,
        typer.Option(
            help="Rows, as adam,sqgn: adam-1e-2, adam-1e-3, sqgn, sqgn-t10, sqgn-scaled, sgn,"
            " sgn-10, svrg, sgd; package.module.Class; NAME@RATE for another learning rate."
            " Left out: the first four and sgn."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Runs of each row.")] = 5,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of a run; left out: the size's own.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set; left out: one is made in OUT.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Stop after so many, all rows at the same epoch; the next call goes on."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first repeat.")] = 0,
    device: Annotated[str, typer.Option(help=field_help("training.device"))] = "auto",
    threads: Annotated[int, typer.Option(help=field_help("training.threads"))] = 0,
    memory_limit: Annotated[
        float | None, typer.Option(metavar="GIB", help=field_help("training.memory_limit"))
    ] = None,
    set_: SetOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path(
        "benchmark-tomography"
    ),
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train optimizers on the tomography problem as the SQGN paper did (section 6.2), and compare.

    Example: seistomo benchmark tomography --optimizers adam,sqgn --repeats 3 --out tomography
    """
    from seistomo.benchmarks.tomography.command import TomographyOptions, run_tomography
    from seistomo.benchmarks.tomography.rows import DEFAULT

    set_quiet(quiet)
    options = TomographyOptions(
        out=out,
        size=size,
        optimizers=DEFAULT if optimizers is None else optimizers,
        repeats=repeats,
        seed=seed,
        epochs=epochs,
        data=data,
        device=device,
        threads=threads,
        memory_limit=memory_limit,
        settings=tuple(set_ or ()),
        minutes=minutes,
        overwrite=overwrite,
        command=shlex.join(["seistomo", *sys.argv[1:]]),
    )
    typer.echo(run_tomography(options))
