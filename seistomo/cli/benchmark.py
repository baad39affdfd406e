"""The benchmark commands."""

import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from seistomo.cli.app import OverwriteFlag, QuietFlag, app
from seistomo.config.document import field_help
from seistomo.errors import InputError
from seistomo.progress import set_quiet

benchmark = typer.Typer(
    help="The papers' experiments, what the optimizers cost, how fast data sets are made.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(benchmark, name="benchmark")

OUT = Path("benchmark-mnist")
EPILOG = """Runs are kept in OUT/runs and used again: the same command goes on where it was
interrupted (at most an epoch is lost), and more epochs or repeats add to what is there. Two
processes with the same OUT share the runs. --overwrite makes the command's runs anew, which is
due after a change of the code."""

# What goes with what: every option that is given must count.
GOES_WITH = {
    "--optimizer": {
        *("--learning-rate", "--set", "--batch-size", "--curvature-samples", "--schedule"),
        *("--epochs", "--repeats", "--pixels"),
    },
    "--smoke": {"--optimizer", "--learning-rate", "--set", "--pixels"},
    "--table": {"--epochs", "--repeats", "--tune", "--pixels"},
    "--study stuck": {"--set", "--epochs", "--seeds", "--pixels"},
    "--study sensitivity": {"--epochs", "--repeats", "--pixels"},
    "--study pairs": {"--set", "--epochs", "--repeats", "--pixels"},
    "--study race": {
        *("--optimizer", "--set", "--repeats", "--trials", "--trial-seconds", "--target"),
    },
}


@benchmark.command(epilog=EPILOG)
def mnist(
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="Run one: adam, sgd, svrg, sqgn, sgn, package.module.Class; the race: several,"
            " as adam,sqgn."
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Run the SQGN paper's table: 1, 2, 3 or ablation.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Run a study: stuck, sensitivity, pairs or race.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Under a minute on 5,000 images; status 1 if it fails.")
    ] = False,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate α; left out: the paper's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Option of the optimizer, in the race OPTIMIZER.OPTION; may be given many times.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples a batch, |S|; left out: 1000.")
    ] = None,
    curvature_samples: Annotated[
        int | None, typer.Option(help="Samples of a Gauss-Newton product, |T|; left out: |S|.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Of the learning rate: constant (if left out), cosine.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of 60 iterations; left out: 100, stuck 2, sensitivity 5."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Runs of each kind; left out: 5, sensitivity 1.")
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose the first-order methods' learning rates from 1, 0.1, 0.01, 0.001 on a"
            " validation split.",
        ),
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="Runs of the study stuck; 200.")] = None,
    trials: Annotated[
        int | None, typer.Option(help="Settings that the race tries for each; 20.")
    ] = None,
    trial_seconds: Annotated[
        float | None, typer.Option(help="Optimizer time after which a run of the race ends; 60.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Accuracy that the race goes to; 0.97.")
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="raw: 0 to 255, as the paper's code; unit: 0 to 1. Left out: raw, smoke unit; the"
            " race tries both."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder with the IDX files, or mnist-5k; left out: SEISTOMO_DATA, or a download."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first repeat.")] = 0,
    device: Annotated[str, typer.Option(help=field_help("training.device"))] = "auto",
    threads: Annotated[int, typer.Option(help=field_help("training.threads"))] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help=f"Folder; left out: {OUT}, smoke none.")
    ] = None,
    overwrite: OverwriteFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train optimizers on MNIST as the SQGN paper did, and compare.

    Example: seistomo benchmark mnist --table 1 --epochs 25 --repeats 3 --out mnist
    """
    from seistomo.benchmarks.options import BenchmarkOptions

    set_quiet(quiet)
    given = {
        "--optimizer": optimizer,
        "--learning-rate": learning_rate,
        "--set": set_,
        "--batch-size": batch_size,
        "--curvature-samples": curvature_samples,
        "--schedule": schedule,
        "--epochs": epochs,
        "--repeats": repeats,
        "--tune": tune or None,
        "--seeds": seeds,
        "--trials": trials,
        "--trial-seconds": trial_seconds,
        "--target": target,
        "--pixels": pixels,
    }
    given = {name: value for name, value in given.items() if value is not None}
    kind = _kind(optimizer, table, study, smoke, given)
    options = BenchmarkOptions(
        out=out or OUT,
        data=data,
        seed=seed,
        pixels=pixels or ("unit" if smoke else "raw"),
        device=device,
        threads=threads,
        overwrite=overwrite,
        command=shlex.join(["seistomo", *sys.argv[1:]]),
    )
    options = replace(
        options, **{name[2:]: given[name] for name in ("--epochs", "--repeats") if name in given}
    )
    if kind == "--smoke":
        _smoke(options, given, keep=out is not None)
    elif kind == "--table":
        from seistomo.benchmarks.comparison import run_table

        typer.echo(run_table(table, options, tune))
    elif kind == "--optimizer":
        from seistomo.benchmarks.comparison import run_optimizer

        typer.echo(run_optimizer(_run_settings(options, given), options))
    else:
        typer.echo(_study(study, options, given))


def _kind(
    optimizer: str | None, table: str | None, study: str | None, smoke: bool, given: dict[str, Any]
) -> str:
    """Return which of `GOES_WITH` was asked for; refuse options that would not count."""
    asked = {"--smoke": smoke, "--table": table, f"--study {study}": study}
    kinds = [kind for kind, value in asked.items() if value] or ["--optimizer"] * bool(optimizer)
    if len(kinds) != 1:
        raise InputError("benchmark mnist: give one of --optimizer, --table, --study, --smoke")
    if kinds[0] not in GOES_WITH:
        known = [kind.removeprefix("--study ") for kind in GOES_WITH if " " in kind]
        raise InputError(f"{kinds[0]}: must be one of {', '.join(known)}")
    allowed = GOES_WITH[kinds[0]] | {kinds[0]}
    for name in given:
        if name not in allowed:
            raise InputError(f"{name}: does not go with {kinds[0]}, which takes {_list(allowed)}")
    return kinds[0]


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _run_settings(options: Any, given: dict[str, Any]) -> Any:
    from seistomo.benchmarks.options import parse_options
    from seistomo.benchmarks.paper import default_settings
    from seistomo.benchmarks.settings import RunSettings

    name = given["--optimizer"]
    rate, chosen = default_settings(name, given.get("--learning-rate"))
    chosen |= parse_options(given.get("--set", []))
    if "--curvature-samples" in given:
        chosen["curvature_samples"] = given["--curvature-samples"]
    return RunSettings(
        name,
        rate,
        chosen,
        given.get("--batch-size", 1000),
        options.epochs,
        options.seed,
        options.pixels,
        given.get("--schedule", "constant"),
    )


def _smoke(options: Any, given: dict[str, Any], keep: bool) -> None:
    from seistomo.benchmarks.smoke import BATCH_SIZE, EPOCHS, run_smoke

    chosen = {"--optimizer": "sqgn", "--batch-size": BATCH_SIZE, **given}
    options = replace(options, epochs=EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        if not keep:
            options = replace(options, out=Path(folder))
        reached, line = run_smoke(_run_settings(options, chosen), options)
    typer.echo(line)
    if not reached:
        raise typer.Exit(1)


def _study(study: str, options: Any, given: dict[str, Any]) -> str:
    from seistomo.benchmarks.options import parse_options

    if study == "stuck":
        from seistomo.benchmarks.studies.stuck import EPOCHS, SEEDS, run_stuck

        counts = {"epochs": given.get("--epochs", EPOCHS), "repeats": given.get("--seeds", SEEDS)}
        return run_stuck(replace(options, **counts), parse_options(given.get("--set", [])))
    if study == "sensitivity":
        from seistomo.benchmarks.studies.sensitivity import EPOCHS, run_sensitivity

        counts = {"epochs": given.get("--epochs", EPOCHS), "repeats": given.get("--repeats", 1)}
        return run_sensitivity(replace(options, **counts))
    if study == "pairs":
        from seistomo.benchmarks.studies.pairs import EPOCHS, REPEATS, run_pairs

        counts = {"epochs": given.get("--epochs", EPOCHS)}
        counts["repeats"] = given.get("--repeats", REPEATS)
        return run_pairs(replace(options, **counts), parse_options(given.get("--set", [])))
    from seistomo.benchmarks.studies.race import run_race
    from seistomo.benchmarks.studies.race_trials import RaceSettings

    chosen = {
        name[2:].replace("-", "_"): given[name]
        for name in ("--trials", "--trial-seconds", "--target")
        if name in given
    }
    if "--optimizer" in given:
        chosen["optimizers"] = tuple(given["--optimizer"].split(","))
    return run_race(options, RaceSettings(**chosen, options=parse_options(given.get("--set", []))))
