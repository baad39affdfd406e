"""The commands that learn and look: train, evaluate, predict, plot, info."""

from pathlib import Path
from typing import Annotated

import typer

from seistomo.cli.app import (
    CheckpointOption,
    ConfigArgument,
    DataOption,
    DeviceOption,
    NoiseOption,
    OptionalDataOption,
    OverwriteFlag,
    QuietFlag,
    ResumeFlag,
    RunArgument,
    SeedOption,
    SegyArgument,
    SegyOption,
    SetOption,
    SplitOption,
    app,
    overrides,
    own_gathers,
    rank,
    require_one_of,
    shard_option,
)
from seistomo.config.keys import field_help, keys_text
from seistomo.config.survey import NEAR_OFFSET
from seistomo.errors import InputError
from seistomo.progress import counted, set_quiet


@app.command(epilog="Keys for --set: seistomo config network training optimizer")
def train(
    config: ConfigArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Run directory to write.")],
    optimizer: Annotated[str | None, typer.Option(help=field_help("optimizer.name"))] = None,
    epochs: Annotated[int | None, typer.Option(help=field_help("training.epochs"))] = None,
    seed: SeedOption = None,
    members: Annotated[
        int | None,
        typer.Option(min=2, help="Train an ensemble of so many runs that differ in their seed."),
    ] = None,
    shard: shard_option("Train every N-th member only, from the I-th on, for a job array.") = None,
    stream: Annotated[
        int | None, typer.Option(metavar="USES", help=field_help("training.stream_uses"))
    ] = None,
    device: DeviceOption = None,
    memory_limit: Annotated[
        float | None, typer.Option(metavar="GIB", help=field_help("training.memory_limit"))
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only check, and estimate time, memory and disk by the first steps."
        ),
    ] = False,
    set_: SetOption = None,
    resume: ResumeFlag = False,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train the network that predicts velocity from gathers.

    Under torchrun the processes share each batch. RUN of the other commands may be an ensemble.

    Example: seistomo train quickstart --data data.h5 --out run --epochs 20
    """
    from seistomo.config import load_config
    from seistomo.evaluation import plot as draw
    from seistomo.ranks import Processes
    from seistomo.training import train as run
    from seistomo.training import train_ensemble
    from seistomo.training.ensemble import in_words

    set_quiet(quiet)
    named = {
        "optimizer__name": optimizer,
        "training__epochs": epochs,
        "training__seed": seed,
        "training__device": device,
        "training__memory_limit": memory_limit,
        "training__stream_uses": stream,
    }
    if dry_run:
        from seistomo.training.rehearsal import dry_run as look

        require_one_of(resume, dry_run, "--dry-run")
        if rank() == 0:
            settings = load_config(config, overrides(set_, **named))
            each = f"\nensemble: {members} such runs, one after another" if members else ""
            typer.echo(look(settings, data, out, overwrite=overwrite) + each)
        return
    with Processes.from_environment().together() as processes:
        require_one_of(resume, overwrite)
        share = (1, 1)
        if shard is not None:
            from seistomo.dataset.generate import shard_numbers

            if members is None:
                raise InputError(f"--shard {shard}: shares the members of --members, not one run")
            share = shard_numbers(shard)
        settings = load_config(config, overrides(set_, **named), warns=processes.leads)
        options = {"resume": resume, "overwrite": overwrite, "processes": processes}
        if members is None:
            outcome = str(run(settings, data, out, **options))
        else:
            results = train_ensemble(settings, data, out, members, shard=share, **options)
            outcome = f"{out}: {in_words(results)}"
        if processes.leads:
            draw([out], out / "figures" / "convergence.png", overwrite=True)
            typer.echo(outcome)


@app.command()
def evaluate(
    run: RunArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Directory for scores, figures, report.")],
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    noise_snr: NoiseOption = None,
    dead_traces: Annotated[
        float | None, typer.Option(help="Silence this share of the traces, 0 to 1.")
    ] = None,
    resimulate: Annotated[
        bool,
        typer.Option(
            "--resimulate", help="Shoot over the predictions: how well do they explain the data?"
        ),
    ] = False,
    near_offset: Annotated[
        float,
        typer.Option(
            metavar="M", help="With --resimulate: leave traces nearer than this out of the misfit."
        ),
    ] = NEAR_OFFSET,
    device: DeviceOption = None,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Score a run's predictions, draw figures and write a report.

    Example: seistomo evaluate run --data data.h5 --out evaluation
    """
    from seistomo.evaluation import evaluate as score

    set_quiet(quiet)
    metrics = score(
        run,
        data,
        out,
        split=split,
        checkpoint=checkpoint,
        noise_snr=noise_snr,
        dead_traces=dead_traces,
        device=device or "auto",
        overwrite=overwrite,
        resimulate=resimulate,
        near_offset=near_offset,
    )
    baseline, notes = metrics["baseline"], ""
    if metrics.get("data_misfit_far") is not None:
        ours, theirs = (scores["data_misfit_far"] for scores in (metrics, baseline))
        notes = f", misfit beyond {near_offset:g} m {ours:.3g} (mean model {theirs:.3g})"
    if "ensemble" in metrics:
        notes += f", truth within 1 σ in {metrics['ensemble']['within_1_std']:.0%} of the pixels"
    typer.echo(
        f"{out}: {counted(metrics['samples'], 'sample')}, RMSE {metrics['rmse']:.0f} m/s"
        f" (mean model {baseline['rmse']:.0f}), SSIM {metrics['ssim']:.3f}"
        f" (mean model {baseline['ssim']:.3f}){notes}; report: {out / 'report.html'}"
    )


@app.command()
def predict(
    run: RunArgument,
    more: SegyArgument = None,
    *,
    data: OptionalDataOption = None,
    segy: SegyOption = None,
    out: Annotated[
        Path, typer.Option("--out", help="Predictions to write: .h5, or .segy for one model.")
    ],
    split: SplitOption = "all",
    checkpoint: CheckpointOption = "best",
    device: DeviceOption = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Keep speeds outside the run's bounds; else clipped.")
    ] = False,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Predict velocity models from a data set or gathers of your own.

    Examples: seistomo predict run --data data.h5 --out predictions.h5

    seistomo predict run --segy shots/*.segy --out velocity.segy
    """
    from seistomo.evaluation import predict as run_predict

    set_quiet(quiet)
    shots = own_gathers(segy, more, data)
    count = run_predict(
        run,
        data,
        out,
        segy=shots,
        split=split,
        checkpoint=checkpoint,
        device=device or "auto",
        overwrite=overwrite,
        raw=raw,
    )
    typer.echo(f"{out}: {counted(count, 'predicted model')}")


@app.command()
def plot(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Data set, velocity file, run ...")
    ],
    out: Annotated[Path, typer.Option("--out", help="Figure to write (.png, .pdf, .svg).")],
    kind: Annotated[
        str,
        typer.Option(
            help="auto, overview, models, profiles (speeds against depth of configurations and"
            " files), crops, gathers, convergence or predictions."
        ),
    ] = "auto",
    samples: Annotated[
        str | None, typer.Option(help="Rows to show: 0,3,7 or 0:36 (Python's slice).")
    ] = None,
    shots: Annotated[str | None, typer.Option(help="Sources to show, as for --samples.")] = None,
    clip: Annotated[float, typer.Option(help="Percentile at which gathers are clipped.")] = 95.0,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Draw a data set, the convergence of runs, or predictions.

    Of a configuration, the models that it would draw.

    Example: seistomo plot data.h5 --out models.png --kind models --samples 0:36
    """
    from seistomo.evaluation import plot as draw

    set_quiet(quiet)
    draw(paths, out, kind=kind, samples=samples, shots=shots, clip=clip, overwrite=overwrite)
    typer.echo(str(out))


@app.command()
def info(
    path: Annotated[
        Path, typer.Argument(metavar="FILE|RUN", help="Data set, velocity file, run ...")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read everything and compare checksums.")
    ] = False,
    config: Annotated[
        bool, typer.Option("--config", help="Print the stored configuration as TOML.")
    ] = False,
    quiet: QuietFlag = False,
) -> None:
    """Summarize a data set or a run.

    Example: seistomo info data.h5
    """
    from seistomo.evaluation.info import describe

    set_quiet(quiet)
    typer.echo(describe(path, check=check, config=config))


@app.command("config")
def config_keys(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SECTION|WORD...]", help="Only these sections, or keys that say this."
        ),
    ] = None,
    quiet: QuietFlag = False,
) -> None:
    """Print the keys of a configuration and what they mean.

    A configuration is a TOML file; every key may be left out. CONFIG of the other commands is its
    path or a preset's name, and `--set section.key=value` overrides a key: `--set
    training.epochs=3`, `--set survey.source_x='[100.0, 900.0]'`, `--set velocity.families.salt=2`.

    Example: seistomo config survey wavelet
    """
    from seistomo.config import preset_names

    set_quiet(quiet)
    if not words:
        typer.echo(f"Presets: {', '.join(preset_names())}\n")
    typer.echo(keys_text(words or ()))
