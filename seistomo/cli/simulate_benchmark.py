"""The command that times the simulation."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, SetOption
from seistomo.cli.benchmark import benchmark
from seistomo.config.document import field_help
from seistomo.progress import set_quiet


@benchmark.command(name="simulate")
def simulate_benchmark(
    config: Annotated[str, typer.Option(help="TOML file, or the name of a preset.")] = "tomography",
    samples: Annotated[
        int | None,
        typer.Option(help="Models a run of pipeline and bare loop; left out: 18 s of them."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often each variant takes its turn.")] = 3,
    device: Annotated[str, typer.Option(help=field_help("training.device"))] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as many as torch takes.")] = 0,
    set_: SetOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables and numbers.")] = Path(
        "benchmark-simulate"
    ),
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Time how fast data sets are made, beside deepwave alone, and what each choice costs.

    Example: seistomo benchmark simulate --config tomography --out cost
    """
    from seistomo.benchmarks.simulate.run import SimulateOptions, run_simulate_benchmark

    set_quiet(quiet)
    options = SimulateOptions(
        out=out,
        config=config,
        settings=tuple(set_ or ()),
        samples=samples,
        repeats=repeats,
        device=device,
        threads=threads,
        overwrite=overwrite,
        command=shlex.join(["seistomo", *sys.argv[1:]]),
    )
    typer.echo(run_simulate_benchmark(options))
