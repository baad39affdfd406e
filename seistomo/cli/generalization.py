"""The command that scores a run on what it was not trained for."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, RunArgument
from seistomo.cli.benchmark import benchmark
from seistomo.cli.exchange import pair
from seistomo.config.document import field_help
from seistomo.progress import set_quiet

EPILOG = """Data sets and scores are kept in OUT and used again: the same command goes on where it
was interrupted."""


@benchmark.command(epilog=EPILOG)
def generalization(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for results and data sets.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set that the run was trained on, for its test split; left out: new models"
            " of the same kind."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Samples of each condition.")] = 100,
    marmousi: Annotated[
        Path | None,
        typer.Option(
            help="Section that crops are cut from: SEG-Y, .npy, .npz, raw or a velocity file; left"
            " out: none."
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of the section: openfwi (.npy), segy, npz or raw; left out: by the ending of its"
            " name.",
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(metavar="DEPTHxX", help="Nodes of the section in a raw file: 221x601."),
    ] = None,
    units: Annotated[
        str, typer.Option(help="Unit of the section's speeds: m/s, km/s, ft/s.")
    ] = "m/s",
    file_spacing: Annotated[
        str | None,
        typer.Option(
            metavar="M|DEPTHxX",
            help="Distance between the section's nodes, m; left out: what the file says.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of new models, surveys and places of crops.")] = 0,
    device: Annotated[str, typer.Option(help=field_help("training.device"))] = "auto",
    threads: Annotated[int, typer.Option(help=field_help("training.threads"))] = 0,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Score a run on noise, dead traces, other physics, other families and crops of a section.

    Example: seistomo benchmark generalization run --data data.h5 --out generalization
    """
    from seistomo.benchmarks.generalization.run import GeneralizationOptions, run_generalization
    from seistomo.dataset.exchange.source import FileOptions

    set_quiet(quiet)
    file = FileOptions(
        format=format_,
        units=units,
        spacing=pair(file_spacing, "--file-spacing", float, alone=True),
        shape=pair(shape, "--shape", int),
    )
    options = GeneralizationOptions(
        run=run,
        out=out,
        data=data,
        samples=samples,
        marmousi=marmousi,
        marmousi_file=file,
        seed=seed,
        device=device,
        threads=threads,
        overwrite=overwrite,
        command=shlex.join(["seistomo", *sys.argv[1:]]),
    )
    typer.echo(run_generalization(options))
