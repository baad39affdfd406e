"""Settings tried by Optuna for the methods of a study; what was tried is not tried again."""

import itertools
import json
import math
import random
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from seistomo.errors import InputError
from seistomo.experiments import records
from seistomo.experiments.records import TUNING, Record, run_key, seconds_to, trial_name
from seistomo.experiments.study import (
    HIGHER_IS_BETTER,
    History,
    MethodEntry,
    Range,
    in_words,
    judged,
    reaches,
)
from seistomo.experiments.work import Work
from seistomo.progress import say

VALUES = "values"
# A trial is cut short that is worse than the median of the others, from its third tenth on.
TENTHS, STARTUP_TRIALS, WARMUP_TENTHS = 10, 4, 3


def tune(work: Work, entry: MethodEntry) -> MethodEntry | None:
    """Return a method with the best settings of its trials, named after the best; None: none is.

    Each trial is a run with the study's first seed, judged by the validation split; the test
    split is left alone. What Optuna draws depends on the seed and the trials before.
    """
    target = _target(work, entry)
    trials = work.study.tuning.trials
    journal = _opened(work, entry)
    while not work.time_is_up:
        trial = _next_trial(work, entry, journal, trials)
        if trial is None:
            break
        _try(work, entry, journal, trial, target)
        _write(work, entry, journal)
    found = records.read_trials(work.out, entry.name)
    if found.get("best") is None:
        say(f"{entry.name}: no trial was done to its end")
        return None
    best = entry.with_values(found[VALUES])
    return best.model_copy(update={"name": trial_name(entry.name, found["best"])})


def _opened(work: Work, entry: MethodEntry) -> optuna.Study:
    folder = work.out / TUNING
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = str(folder / f"{entry.name}.journal")
    backend = JournalFileBackend(file, lock_obj=JournalFileOpenLock(file))
    return optuna.create_study(
        storage=JournalStorage(backend),
        study_name=entry.name,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(STARTUP_TRIALS, WARMUP_TENTHS),
    )


def _next_trial(
    work: Work, entry: MethodEntry, journal: optuna.Study, trials: int
) -> optuna.trial.Trial | None:
    """Return a trial that was begun and is nobody's, or a new one; None: there are enough."""
    known = journal.get_trials(deepcopy=False)
    for one in known:
        key = run_key(trial_name(entry.name, one.number), work.study.first_seed)
        if one.state == TrialState.RUNNING and key not in work.busy:
            with work.held(key) as mine:
                if mine:
                    return optuna.trial.Trial(journal, one._trial_id)
    if len(known) >= trials:
        return None
    grid = _grid(entry, work.study.first_seed)
    if grid is not None and len(grid) <= trials:
        if len(known) >= len(grid):
            return None
        if not any(one.state == TrialState.WAITING for one in known):
            journal.enqueue_trial(grid[len(known)])
    journal.sampler = optuna.samplers.TPESampler(seed=work.study.first_seed * 1000 + len(known))
    return journal.ask()


def _grid(entry: MethodEntry, seed: int) -> list[dict[str, int]] | None:
    """Return all settings, as places in the lists, in a random order; None: any number."""
    if any(isinstance(values, Range) for values in entry.space.values()):
        return None
    places = itertools.product(*(range(len(values)) for values in entry.space.values()))
    settings = [dict(zip(entry.space, one, strict=True)) for one in places]
    random.Random(seed).shuffle(settings)
    return settings


def _draw(entry: MethodEntry, trial: optuna.trial.Trial) -> dict[str, Any]:
    """Return a trial's settings by dotted key, drawn when it is begun."""
    kept = trial.user_attrs.get(VALUES)
    if kept is not None:
        return json.loads(kept)
    values = {}
    for key, space in entry.space.items():
        if isinstance(space, Range):
            drawn = trial.suggest_float(key, space.low, space.high, log=space.log)
            values[key] = float(f"{drawn:.2g}")
        else:
            values[key] = space[trial.suggest_categorical(key, list(range(len(space))))]
    trial.set_user_attr(VALUES, json.dumps(values))
    return values


def _try(
    work: Work,
    entry: MethodEntry,
    journal: optuna.Study,
    trial: optuna.trial.Trial,
    target: float | None,
) -> None:
    values, study = _draw(entry, trial), work.study
    name = trial_name(entry.name, trial.number)
    label = f"{entry.label}, trial {trial.number + 1}/{study.tuning.trials}: {in_words(values)}"
    tried = entry.with_values(values).model_copy(update={"name": name, "label": label})
    score = study.target.score if study.target else study.tuning.score
    told = {*journal.get_trials(deepcopy=False)[trial.number].intermediate_values}
    pruned = False

    def stop(history: History) -> bool:
        nonlocal pruned
        if target is not None and reaches(judged(history[-1], score), score, target):
            # With the target of another method the run goes on to its end.
            return study.target.value is not None
        step = _tenth(work, tried, history)
        if step not in told:
            told.add(step)
            trial.report(_signed(judged(history[-1], score), score), step)
            pruned = trial.should_prune()
        return pruned

    key = run_key(name, study.first_seed)
    record = work.train(tried, key, study.first_seed, stop, tuning=True)
    if key in work.busy or (work.time_is_up and not record.diverged):
        return
    if record.diverged or not record.history:
        journal.tell(trial, state=TrialState.FAIL)
    elif pruned:
        journal.tell(trial, state=TrialState.PRUNED)
    else:
        journal.tell(trial, _merit(record, score, target, work.seconds(tuning=True)))


def _tenth(work: Work, entry: MethodEntry, history: History) -> int:
    seconds = work.seconds(tuning=True)
    part = history[-1]["seconds"] / seconds if seconds else len(history) / work.epochs(entry)
    return math.floor(TENTHS * part)


def _merit(record: Record, score: str, target: float | None, seconds: float | None) -> float:
    """Return a number that is less where a trial is better.

    The share of its seconds in which it reached the target; 1 and more where it did not.
    """
    best = min(_signed(judged(row, score), score) for row in record.history)
    if target is None:
        return _signed(judged(record.history[-1], score), score)
    reached = seconds_to(record.history, score, target)
    if math.isfinite(reached):
        return reached / (seconds or record.history[-1]["seconds"])
    return 1 + abs(best - _signed(target, score)) / abs(target)


def _signed(value: float, score: str) -> float:
    return -value if score in HIGHER_IS_BETTER else value


def _target(work: Work, entry: MethodEntry) -> float | None:
    """Return the score that trials race for: given, or that of the target method's best trial."""
    target = work.study.target
    if target is None or target.value is not None or target.method == entry.name:
        return target.value if target else None
    found = records.read_trials(work.out, target.method)
    if found.get("best") is None:
        raise InputError(f"target.method = {target.method}: must be tuned before {entry.name}")
    return found["trials"][str(found["best"])]["score"]


def _write(work: Work, entry: MethodEntry, journal: optuna.Study) -> None:
    """Keep what a page shows of the trials: settings, score, seconds; the best one's number."""
    score = work.study.target.score if work.study.target else work.study.tuning.score
    trials: dict[str, Any] = {}
    for one in journal.get_trials(deepcopy=False):
        path = (
            work.out
            / records.RUNS
            / run_key(trial_name(entry.name, one.number), work.study.first_seed)
        )
        history = records.read_run(path).history
        trials[str(one.number)] = {
            VALUES: json.loads(one.user_attrs.get(VALUES, "{}")),
            "state": one.state.name.lower(),
            "merit": one.value,
            "score": judged(history[-1], score) if history else None,
            "seconds": history[-1]["seconds"] if history else None,
        }
    done = {key: one for key, one in trials.items() if one["state"] == "complete"}
    best = min(done, key=lambda key: done[key]["merit"], default=None)
    content: dict[str, Any] = {"best": None, "trials": trials}
    if best is not None:
        content |= {"best": int(best), VALUES: done[best][VALUES]}
    records.write_json(work.out / TUNING / f"{entry.name}.json", content)
