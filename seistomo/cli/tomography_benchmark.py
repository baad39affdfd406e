"""The command that compares optimizers on the tomography problem."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, SetOption
from seistomo.cli.benchmark import benchmark
from seistomo.cli.tomography_studies import check_study, defaults, run_study
from seistomo.config.document import field_help
from seistomo.progress import set_quiet

EPILOG = """The same command goes on where it was interrupted (at most an epoch of a run and a shard
of the data are lost). More epochs, repeats or optimizers add to what is there; two processes with
the same OUT share the runs. Runs are ordinary ones, OUT/runs/ROW-sSEED, for seistomo evaluate,
predict and info. --overwrite makes all runs anew, and keeps the data set. A study may have the
table's folder: data and equal runs are shared."""


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
            " Left out: the first four and sgn; ablation: adam-1e-3; race, of adam, sqgn, sgn,"
            " svrg, sgd: the first three."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="In place of the table: ablation (what makes predictions better) or race (time to"
            " the loss of the best-tuned Adam)."
        ),
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option(help="The ablation's, as baseline,gain,unet; left out: all there are."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Settings that the race tries for each; 8.")
    ] = None,
    trial_seconds: Annotated[
        float | None,
        typer.Option(help="Optimizer time of each run of the race; small 120, paper 600."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Runs of each row; left out: 5, ablation 3.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of a run; left out: the size's own.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set; left out: one is made in OUT.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop after so many; the next call goes on. The table's rows are then at the same"
            " epoch."
        ),
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
    from seistomo.benchmarks.tomography.command import TomographyOptions

    set_quiet(quiet)
    given = {
        "--epochs": epochs,
        "--variants": variants,
        "--trials": trials,
        "--trial-seconds": trial_seconds,
    }
    given = {name: value for name, value in given.items() if value is not None}
    check_study(study, given)
    usual_optimizers, usual_repeats = defaults(study)
    options = TomographyOptions(
        out=out,
        size=size,
        optimizers=usual_optimizers if optimizers is None else optimizers,
        repeats=usual_repeats if repeats is None else repeats,
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
    typer.echo(run_study(study, options, given))
