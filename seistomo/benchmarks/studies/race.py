"""Seconds of optimizer time to an accuracy, all optimizers tuned with the same number of trials."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.studies.race_trials import JUDGE_ITERATIONS, RaceSettings, draw_trials
from seistomo.benchmarks.tables import format_table
from seistomo.evaluation import figures
from seistomo.progress import say

NAME = "study-race"


@dataclass(frozen=True)
class Finish:
    """What became of one optimizer.

    Attributes
    ----------
    settings
        The best of its trials.
    trials, trial_settings
        All its trials' results and settings.
    results
        Of the final runs, on the test split.
    """

    settings: RunSettings
    trials: Sequence[RunResult]
    trial_settings: Sequence[RunSettings]
    results: Sequence[RunResult]

    def trial_cost(self) -> float:
        """Return the optimizer time of all trials, s."""
        return sum(run.lost_seconds + run.last.seconds for run in self.trials)

    def times(self, target: float) -> list[float]:
        """Return the final runs' seconds to the target; infinity where it was not reached."""
        return [run.seconds_to(target) for run in self.results]


def run_race(options: BenchmarkOptions, race: RaceSettings) -> str:
    """Tune, run and compare; return a line that says who was fastest.

    A trial's merit is its time to the target on the validation split; of those that did not get
    there the accuracy they reached counts.
    """
    identity = {"seed": options.seed, **asdict(race)}
    runner = options.runner(NAME, identity)
    finishes = {name: _finish(name, options, race, runner) for name in race.optimizers}
    return _write(finishes, options, race, runner, identity)


def _finish(name: str, options: BenchmarkOptions, race: RaceSettings, runner: Runner) -> Finish:
    samples = len(runner.data.held_out().train_labels)
    drawn = draw_trials(name, race, options.seed, samples)
    jobs = [
        Job(settings, f"{name}, trial {number}/{race.trials}", "validation")
        for number, settings in enumerate(drawn, start=1)
    ]
    trials = runner.run_all(jobs)
    best = min(range(len(trials)), key=lambda number: _merit(trials[number], race.target))
    say(f"{name}: best is {_in_words(drawn[best])}")
    # The trials had the first seed.
    finals = [
        Job(replace(drawn[best], seed=seed + 1), f"{name}, final {number}/{options.repeats}")
        for number, seed in enumerate(options.seeds(), start=1)
    ]
    return Finish(drawn[best], trials, drawn, runner.run_all(finals))


def _merit(run: RunResult, target: float) -> tuple[float, float]:
    accuracy = 0.0 if run.diverged else max(seen.test_accuracy for seen in run.looks())
    return run.seconds_to(target), -accuracy


def _in_words(settings: RunSettings) -> str:
    schedule = settings.schedule
    if schedule == "cosine":
        schedule += f" over {settings.epochs} epochs"
    options = "".join(f", {key} = {value}" for key, value in settings.options.items())
    return (
        f"α = {settings.learning_rate:g}, batch {settings.batch_size}, {settings.pixels} pixels,"
        f" {schedule}{options}"
    )


def _write(
    finishes: Mapping[str, Finish],
    options: BenchmarkOptions,
    race: RaceSettings,
    runner: Runner,
    identity: Mapping[str, Any],
) -> str:
    headings = ("optimizer", "s to target", "s, each", "accuracy, %", "trials, s", "settings")
    lines, machine = [headings], runner.machine()
    for name, finish in finishes.items():
        times = finish.times(race.target)
        last = statistics.fmean(run.last.test_accuracy for run in finish.results)
        each = " ".join(f"{time:.2f}" if math.isfinite(time) else "never" for time in times)
        cost = f"{finish.trial_cost():.0f}"
        lines.append(
            (name, time_spread(times), each, f"{100 * last:.2f}", cost, _in_words(finish.settings))
        )
    page = (
        f"## Seconds of optimizer time to {race.target:.1%} accuracy\n\n{format_table(lines)}\n"
        f"{race.trials} trials each, judged on the validation split; final runs with new seeds,"
        f" judged after every {JUDGE_ITERATIONS} iterations on the test split.\n"
        f"{runner.data.name}; {machine_line(machine)}\n\n`{options.command}`\n"
    )
    runner.folder.write_text(f"{NAME}.md", page)
    content = {
        "settings": {**identity, "data": runner.data.identity},
        "repeats": options.repeats,
        "machine": machine,
        "command": options.command,
        "optimizers": {name: _summary(finish, race.target) for name, finish in finishes.items()},
    }
    runner.folder.write_json(NAME, content)
    histories = {name: [run.curve() for run in f.results] for name, f in finishes.items()}
    figures.save(figures.race_figure(histories, race.target), runner.folder.path / f"{NAME}.png")
    say(page)
    times = {name: _median(finish.times(race.target)) for name, finish in finishes.items()}
    told = ", ".join(f"{name} {time:.2f} s" for name, time in times.items())
    return f"{runner.folder.path / NAME}.md: median time to {race.target:.1%}: {told}"


def _summary(finish: Finish, target: float) -> dict[str, Any]:
    return {
        "best": asdict(finish.settings),
        "seconds_to_target": finish.times(target),
        "trial_seconds": finish.trial_cost(),
        "trials": [
            {
                "settings": asdict(settings),
                "seconds_to_target": run.seconds_to(target),
                "best_accuracy": -_merit(run, target)[1],
                "seconds": run.last.seconds,
            }
            for settings, run in zip(finish.trial_settings, finish.trials, strict=True)
        ],
    }


def time_spread(times: Sequence[float]) -> str:
    """Return mean ± standard deviation of the runs that arrived, and how many did not."""
    arrived = [time for time in times if math.isfinite(time)]
    if not arrived:
        return "never"
    text = f"{statistics.fmean(arrived):.2f}"
    if len(arrived) > 1:
        text += f" ± {statistics.stdev(arrived):.2f}"
    missing = len(times) - len(arrived)
    return f"{text} ({missing} never)" if missing else text


def _median(times: Sequence[float]) -> float:
    return statistics.median(times)
