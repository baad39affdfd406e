"""The command that makes predictions explain the gathers: refine."""

from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import (
    CheckpointOption,
    DeviceOption,
    NoiseOption,
    OptionalDataOption,
    OverwriteFlag,
    QuietFlag,
    ResumeFlag,
    RunArgument,
    SegyArgument,
    SegyOption,
    SetOption,
    app,
    overrides,
    own_gathers,
    require_one_of,
    shard_option,
)
from seistomo.config.keys import field_help
from seistomo.errors import InputError
from seistomo.progress import counted, set_quiet


@app.command(epilog="Keys for --set: seistomo config refinement")
def refine(
    run: RunArgument,
    more: SegyArgument = None,
    *,
    data: OptionalDataOption = None,
    segy: SegyOption = None,
    out: Annotated[Path, typer.Option("--out", help="Directory for models, scores, report.")],
    start: Annotated[str | None, typer.Option(help=field_help("refinement.start"))] = None,
    method: Annotated[str | None, typer.Option(help=field_help("refinement.method"))] = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation, test or all; left out: test.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Only the first so many samples of the split.")
    ] = None,
    indices: Annotated[
        str | None,
        typer.Option(help="Only these samples of the split: 0,3,7 or 0:36 (Python's slice)."),
    ] = None,
    checkpoint: CheckpointOption = "best",
    noise_snr: NoiseOption = None,
    shard: shard_option(
        "Only part I of N of the samples, for a job array, with one --out for all; the last to end"
        " writes it."
    ) = None,
    device: DeviceOption = None,
    set_: SetOption = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Waveform inversion, starting from a run's predictions.

    Under torchrun the processes share the samples.

    Examples: seistomo refine run --data data.h5 --out refined --samples 8

    seistomo refine run --segy shots/*.segy --out refined
    """
    set_quiet(quiet)
    require_one_of(resume, overwrite)
    settings = overrides(set_, refinement__start=start, refinement__method=method)
    shots = own_gathers(segy, more, data)
    if shots and split is not None:
        raise InputError(f"--split {split}: gathers of your own have no splits; leave it out")
    from seistomo.refinement import refine as run_refine

    metrics = run_refine(
        run,
        data,
        out,
        segy=shots,
        overrides=settings,
        split=split or ("all" if shots else "test"),
        samples=samples,
        indices=indices,
        checkpoint=checkpoint,
        noise_snr=noise_snr,
        device=device or "auto",
        resume=resume,
        overwrite=overwrite,
        shard=shard,
        distributed=True,
    )
    if metrics is None:
        # Other shards have samples left, or another rank speaks.
        return
    before, scores = metrics["start"], ""
    if not shots:
        scores = (
            f" RMSE {before['rmse']:.0f} to {metrics['rmse']:.0f} m/s, SSIM {before['ssim']:.3f} to"
            f" {metrics['ssim']:.3f},"
        )
    typer.echo(
        f"{out}: {counted(metrics['samples'], 'sample')},{scores}"
        f" misfit {before['data_misfit_far']:.3g} to {metrics['data_misfit_far']:.3g};"
        f" {metrics['solves']:.0f} solves and {metrics['seconds']:.1f} s a sample"
    )
