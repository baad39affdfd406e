"""What ``seistomo benchmark tomography --study`` chooses between."""

from typing import Any

from seistomo.errors import InputError

# What goes with what: every option that is given must count.
STUDIES = {
    "": {"--epochs"},
    "ablation": {"--epochs", "--variants"},
    "race": {"--trials", "--trial-seconds"},
}


def check_study(study: str | None, given: dict[str, Any]) -> None:
    """Refuse studies that are unknown, and options that would not count."""
    known = [name for name in STUDIES if name]
    if study is not None and study not in known:
        raise InputError(f"--study {study}: must be one of {', '.join(known)}")
    for name in given:
        if name not in STUDIES[study or ""]:
            places = [
                f"--study {other}" if other else "the table"
                for other, options in STUDIES.items()
                if name in options
            ]
            raise InputError(f"{name}: goes with {' and '.join(places)} alone")


def defaults(study: str | None) -> tuple[str, int]:
    """Return the optimizers and the repeats where nothing is said."""
    if study == "ablation":
        from seistomo.benchmarks.tomography.studies.ablation import OPTIMIZER, REPEATS

        return OPTIMIZER, REPEATS
    if study == "race":
        from seistomo.benchmarks.tomography.studies.race import REPEATS
        from seistomo.benchmarks.tomography.studies.race_trials import OPTIMIZERS

        return ",".join(OPTIMIZERS), REPEATS
    from seistomo.benchmarks.tomography.rows import DEFAULT

    return DEFAULT, 5


def run_study(study: str | None, options: Any, given: dict[str, Any]) -> str:
    """Run a study, or the table; return a line that says what came out."""
    if study == "ablation":
        from seistomo.benchmarks.tomography.studies.ablation import run_ablation

        names = given.get("--variants")
        return run_ablation(options, names and [name.strip() for name in names.split(",")])
    if study == "race":
        from seistomo.benchmarks.tomography.studies.race import RaceOptions, run_race
        from seistomo.benchmarks.tomography.studies.race_trials import TRIALS

        trials = given.get("--trials", TRIALS)
        return run_race(options, RaceOptions(trials, given.get("--trial-seconds")))
    from seistomo.benchmarks.tomography.command import run_tomography

    return run_tomography(options)
