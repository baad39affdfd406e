"""The commands that make data sets: simulate and merge."""

from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import (
    ConfigArgument,
    DeviceOption,
    OverwriteFlag,
    QuietFlag,
    ResumeFlag,
    SeedOption,
    SetOption,
    app,
    overrides,
    rank,
    require_one_of,
    shard_option,
)
from seistomo.config.keys import field_help
from seistomo.progress import counted, set_quiet


@app.command(epilog="Keys for --set: seistomo config velocity survey simulation dataset")
def simulate(
    config: ConfigArgument,
    out: Annotated[Path, typer.Option("--out", help="Data set to write (HDF5).")],
    samples: Annotated[int | None, typer.Option(help=field_help("dataset.samples"))] = None,
    seed: SeedOption = None,
    velocity: Annotated[
        Path | None,
        typer.Option(
            "--velocity",
            metavar="FILE.h5",
            help="Shoot over the models of this velocity file or data set instead of drawn ones.",
        ),
    ] = None,
    shard: shard_option(
        "Make part I of N only, for a job array; `seistomo merge` joins the parts."
    ) = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only check, estimate time, memory and disk, and draw a sheet of the models with"
            " the survey and a gather beside --out.",
        ),
    ] = False,
    device: DeviceOption = None,
    set_: SetOption = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Draw models, simulate surveys over them, write a data set.

    Under torchrun the processes share the work.

    Example: seistomo simulate quickstart --out data.h5 --samples 200
    """
    from seistomo.config import load_config
    from seistomo.dataset.generate import simulate as run

    set_quiet(quiet or rank() > 0)
    require_one_of(resume, overwrite)
    settings = overrides(set_, dataset__samples=samples, dataset__seed=seed)
    if velocity is not None:
        from seistomo.dataset.models import overrides_for

        settings = overrides_for(velocity, config, settings)
    options = {"device": device or "auto", "velocity": velocity, "shard": shard}
    options["overwrite"] = overwrite
    if dry_run:
        require_one_of(resume, dry_run, "--dry-run")
        if rank() == 0:
            from seistomo.evaluation.dry_run import dry_run as look

            typer.echo(look(load_config(config, settings), out, **options))
        return
    settings = load_config(config, settings, warns=rank() == 0)
    done = run(settings, out, resume=resume, distributed=True, **options)
    if done.rank == 0:
        typer.echo(str(done))


@app.command()
def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="PARTS...", help="Parts (simulate --shard), or folders of them."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Data set to write (HDF5).")],
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Refer to the parts instead of copying them.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept that the last samples are missing.")
    ] = False,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Join parts of one data set into one file.

    What is missing is said.

    Example: seistomo merge part-*.h5 --out data.h5
    """
    from seistomo.dataset import merge as run
    from seistomo.dataset import open_dataset

    set_quiet(quiet)
    run(parts, out, virtual=virtual, overwrite=overwrite, partial=partial)
    with open_dataset(out) as data:
        typer.echo(
            f"{out}: {counted(data.samples, 'sample')},"
            f" {'refers to' if virtual else 'joined from'} parts"
        )
