"""The command that times the optimizers."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag
from seistomo.cli.benchmark import benchmark
from seistomo.config.document import field_help
from seistomo.progress import set_quiet


@benchmark.command()
def optimizer_cost(
    problem: Annotated[
        list[str] | None,
        typer.Option(help="mnist or tomography; may be given twice. Left out: both."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Of the tomography problem: small, or paper (8 GB, for a GPU; on a CPU with"
            " --batch-size 10)."
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Samples a batch of the tomography problem. Left out: the size's own."),
    ] = None,
    precision: Annotated[str, typer.Option(help=field_help("training.precision"))] = "float32",
    optimizer: Annotated[
        list[str] | None,
        typer.Option(
            help="adam, sgd, svrg, sqgn or sgn; may be given several times. Adam always takes part."
            " Left out: all."
        ),
    ] = None,
    memory: Annotated[
        bool, typer.Option(help="Measure peak memory of the tomography problem's optimizers too.")
    ] = True,
    repeats: Annotated[int, typer.Option(help="How often each optimizer takes its turn.")] = 5,
    device: Annotated[str, typer.Option(help=field_help("training.device"))] = "auto",
    threads: Annotated[int, typer.Option(help=field_help("training.threads"))] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder for table and numbers.")] = Path(
        "benchmark-cost"
    ),
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Time an iteration of each optimizer, in units of Adam's, and its parts.

    Of the tomography problem it also says how many operations a second are reached, beside matrix
    products on the same machine, and peak memory.

    Example: seistomo benchmark optimizer-cost --out cost --problem mnist
    """
    from seistomo.benchmarks.cost_problems import OPTIMIZERS, PROBLEMS
    from seistomo.benchmarks.optimizer_cost import CostOptions, run_optimizer_cost

    set_quiet(quiet)
    options = CostOptions(
        out=out,
        problems=tuple(problem or PROBLEMS),
        size=size,
        batch_size=batch_size,
        precision=precision,
        optimizers=tuple(optimizer or OPTIMIZERS),
        memory=memory,
        repeats=repeats,
        device=device,
        threads=threads,
        overwrite=overwrite,
        command=shlex.join(["seistomo", *sys.argv[1:]]),
    )
    typer.echo(run_optimizer_cost(options))
