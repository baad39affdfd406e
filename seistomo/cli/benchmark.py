"""The command that runs studies."""

import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, app, shard_option
from seistomo.config.keys import field_help
from seistomo.config.load import toml_value
from seistomo.errors import InputError
from seistomo.progress import set_quiet

EPILOG = """Runs are kept in OUT/runs: the same command goes on where it was interrupted, and more
epochs, repeats or methods add to what is there. Processes with the same OUT share the runs. The
page OUT/index.md is made from the runs alone. docs/studies.md shows a study of one's own."""
# What each kind of study takes beside --out, --device, --threads, --set, --smoke, --quiet.
TAKES = {
    "training": {
        *("--repeats", "--epochs", "--seed", "--methods", "--shard", "--data", "--minutes"),
        "--overwrite",
    },
    "optimizer-cost": {"--repeats", "--methods", "--overwrite"},
    "simulation-speed": {"--repeats", "--overwrite"},
    "generalization": {"RUN", "--data", "--seed", "--overwrite"},
    "refinement": {"RUN", "--data", "--seed", "--methods", "--overwrite"},
}


@app.command(epilog=EPILOG)
def benchmark(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="Name of a study, a TOML file of one's own, or `list`."
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Run directory (generalization, refinement)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; left out: benchmark-STUDY.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Runs of each method; timings: turns of each.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first repeat.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="Some of the methods, as adam,sqgn; left out: the usual.")
    ] = None,
    device: Annotated[str | None, typer.Option(help=field_help("training.device"))] = None,
    threads: Annotated[int | None, typer.Option(help=field_help("training.threads"))] = None,
    shard: shard_option("Make the I-th of N parts of the runs.") = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the images' files (or mnist-5k), or tomography's data set."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Key of the study's file; may be given many times."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so many; the next call goes on.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="As small as it goes: does it run?")
    ] = False,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Run a study: papers' experiments, races, or one's own.

    Example: seistomo benchmark sqgn-table-1 --epochs 25 --repeats 3 --out table-1
    """
    from seistomo.dataset.generate import shard_numbers
    from seistomo.experiments import engine, page
    from seistomo.experiments.study import chosen, load_study, study_names

    set_quiet(quiet)
    if study == "list":
        for name in study_names():
            typer.echo(f"{name:20} {load_study(name).about}")
        return
    given = {
        "RUN": run,
        "--repeats": repeats,
        "--epochs": epochs,
        "--seed": seed,
        "--methods": methods,
        "--shard": shard,
        "--data": data,
        "--minutes": minutes,
        "--overwrite": overwrite or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    changes = _changes(given, device, threads, set_ or [])
    found = load_study(study, changes, smoke)
    for name in given:
        if name not in TAKES[found.kind]:
            allowed = ", ".join(sorted(TAKES[found.kind]))
            raise InputError(f"{name}: has no effect on {found.name}, which takes {allowed}")
    found = chosen(found, methods.split(",") if methods else [])
    command = shlex.join(["seistomo", *sys.argv[1:]])
    if found.kind != "training":
        typer.echo(_measure(found, given, out or Path(f"benchmark-{found.name}"), command))
        return
    if minutes is not None and not minutes > 0:
        raise InputError(f"--minutes {minutes:g}: must be a positive number")
    with tempfile.TemporaryDirectory() as folder:
        # What is expected of a study is a test: nothing is kept of it unless it is asked for.
        usual = Path(folder) / "study" if found.expect else Path(f"benchmark-{found.name}")
        out = out or usual
        line = engine.run_study(
            found,
            out,
            shard=(1, 1) if shard is None else shard_numbers(shard),
            minutes=minutes,
            overwrite=overwrite,
            command=command,
        )
        failures = page.failures(found, out)
    typer.echo(line)
    for failure in failures:
        typer.echo(f"FAILED: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def _changes(
    given: dict[str, Any], device: str | None, threads: int | None, settings: list[str]
) -> dict[str, Any]:
    """Return what the options change of the study, by its keys."""
    keys = {
        "seeds": given.get("--repeats"),
        "epochs": given.get("--epochs"),
        "first_seed": given.get("--seed"),
        "problem.data": str(given["--data"]) if "--data" in given else None,
        "training.device": device,
        "training.threads": threads,
    }
    changes = {key: value for key, value in keys.items() if value is not None}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not key or not equals:
            raise InputError(f"--set {setting}: must look like key=value, tuning.trials=4 say")
        if key in changes:
            raise InputError(f"--set {setting}: is an option of its own")
        changes[key] = toml_value(text)
    return changes


def _measure(study: Any, given: dict[str, Any], out: Path, command: str) -> str:
    overwrite = "--overwrite" in given
    if study.kind == "optimizer-cost":
        from seistomo.experiments.optimizer_cost import measure_cost

        return measure_cost(study, out, overwrite, command)
    if study.kind == "simulation-speed":
        from seistomo.experiments.simulation_speed import measure_speed

        return measure_speed(study, out, overwrite, command)
    if "RUN" not in given:
        raise InputError(f"{study.name}: give a run directory, as: {study.name} RUN --out DIR")
    if study.kind == "refinement":
        from seistomo.experiments.refinement import compare_inversions

        return compare_inversions(study, given["RUN"], out, overwrite, command)
    from seistomo.experiments.generalization import score_conditions

    return score_conditions(study, given["RUN"], out, overwrite, command)
