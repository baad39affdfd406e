"""The loop: epochs, batches, scores, history, checkpoints. All training goes through `fit`."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from seistomo.config import LoopConfig
from seistomo.config.schema import toml_text
from seistomo.errors import InputError, TrainingDivergedError
from seistomo.interrupts import interrupts_held
from seistomo.networks import parameter_count
from seistomo.optim import SGN, SQGN, ObjectiveOptimizer, OptimizerError, make_optimizer
from seistomo.progress import bar, quietly, say, warn
from seistomo.ranks import Processes, restarted
from seistomo.training.averaging import WeightAverage
from seistomo.training.batches import (
    batch_count,
    batch_counts,
    batch_size,
    check_interval,
    epoch_groups,
)
from seistomo.training.checkpoint import Checkpoint, Progress, load_checkpoint
from seistomo.training.data import SharedRanks
from seistomo.training.device import (
    check_precision,
    random_state,
    restore_random_state,
    torch_settings,
)
from seistomo.training.directory import RunDirectory
from seistomo.training.history import RunResult, columns, write_history, write_metrics
from seistomo.training.memory import peak_memory
from seistomo.training.objective import BatchObjective, require_convex
from seistomo.training.problem import Method, Problem

Stop = Callable[[Sequence[Mapping[str, Any]]], bool]

# A checkpoint of up to so many bytes is written whenever one is due; a larger one where the last
# took no more than this share of the time since.
SMALL_CHECKPOINT, WRITING_SHARE = 8 * 2**20, 0.05
# So large a share of the optimizer's time, and so many seconds in all, may go into waiting for data
# before a warning is due.
WAIT_SHARE, WAIT_SECONDS = 0.05, 5.0


def fit(
    problem: Problem,
    method: Method,
    seed: int,
    run_dir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    stop: Stop | None = None,
    processes: Processes | None = None,
) -> RunResult:
    """Train a problem's network by a method.

    The run directory receives ``config.toml``, ``history.csv`` (a row an epoch),
    ``checkpoint.pt``, ``best.pt`` (lowest validation loss; without a validation split lowest
    training loss) and ``metrics.json``. On the CPU a run that was interrupted at any moment and
    resumed ends with the same bits as one that never stopped, given as many threads.

    Parameters
    ----------
    problem
        What is learnt.
    method
        How.
    seed
        Draws start weights and batches.
    run_dir
        The run directory.
    resume
        Continue the run that is there; one that has finished no epoch starts anew.
    overwrite
        Replace the run that is there, once the new one has finished its first epoch.
    stop
        Whether to leave the run where it is, asked of the rows of ``history.csv`` after each epoch
        and before a resumed run goes on; of several processes, rank 0 is asked. What is left can
        be resumed, and ends as if it had not been.
    processes
        The processes that share the work, for a caller that is inside their `together`; left
        out: those that torchrun has started, if it has.

    Raises
    ------
    InputError
        For settings that cannot be, an existing run, or a resumed run that was started otherwise.
    TrainingDivergedError
        If the loss becomes NaN or infinite; the last good checkpoint is kept.
    """
    if processes is None:
        with Processes.from_environment().together() as processes:
            return fit(
                problem, method, seed, run_dir, resume=resume, overwrite=overwrite, stop=stop,
                processes=processes,
            )  # fmt: skip
    # Torchrun starts a failed command again as it was, without --resume. With --overwrite nobody
    # can tell whether the run that is there is the new one, and it is replaced again.
    resume = resume or (restarted() and not overwrite)
    settings = effective_settings(problem, method, seed)
    config_text = toml_text(described(problem, method, settings))
    with nullcontext() if processes.leads else quietly():
        check_method(method)
        if settings.tensorboard:
            check_tensorboard()
        device = processes.device(settings.device, "training.device")
        check_precision(settings.precision, device, "training.precision")
        processes.connect(device)
        problem.prepare(settings, device, processes)
        directory = RunDirectory(run_dir, resume=resume, overwrite=overwrite, leads=processes.leads)
        with directory, torch_settings(device, settings.threads, seed, settings.precision):
            saved = None
            if resume and processes.shared(directory.checkpoint.is_file):
                saved = checkpoint_to_resume(
                    directory.checkpoint, config_text, problem, settings, processes
                )
            elif resume:
                say(f"run {run_dir}: nothing to resume yet; starting from the beginning")
            run = _Training(problem, method, settings, config_text, device, processes, directory)
            run.begin(saved)
            # The optimizer has its own copy now, and may be large.
            del saved
            directory.start(config_text)
            finished = run.is_finished(stop)
            if finished:
                run.write_tables()
                say(f"run {run_dir}: is finished already")
            else:
                run.load_data()
                with run.progress_bar() as shown:
                    while not finished:
                        for loss in run.steps():
                            shown.set_postfix_str(
                                f"epoch {run.progress.epoch + 1}, loss {loss:.3g}", False
                            )
                            shown.update()
                        run.end_epoch()
                        finished = run.is_finished(stop)
                        run.save(at_once=finished)
                        directory.settle()
                        run.tell()
            return run.result()


class _Training:
    """A run that is being trained: all of it that changes from step to step."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        settings: LoopConfig,
        config_text: str,
        device: torch.device,
        processes: Processes,
        directory: RunDirectory,
    ):
        self.problem, self.method, self.settings = problem, method, settings
        self.config_text, self.device, self.directory = config_text, device, directory
        self.processes = processes
        self.progress, self.history = Progress(), []
        self._saved_epoch: int | None = None
        self._best: Checkpoint | None = None
        self._written_at, self._write_seconds = -math.inf, 0.0
        self._events: Any = None
        self._warned = False

    def begin(self, saved: Checkpoint | None) -> None:
        """Build everything anew, or as it was saved."""
        problem, settings = self.problem, self.settings
        if saved:
            problem.load_state(saved.problem)
        generator = torch.Generator().manual_seed(settings.seed)
        self.network = problem.network(generator).to(self.device)
        self.optimizer = build_optimizer(self.method, self.network.parameters())
        if isinstance(self.optimizer, SGN | SQGN):
            require_convex(problem.loss, self.method.optimizer)
        self.schedule = make_schedule(self.optimizer, settings)
        self.average = WeightAverage(settings, self.network)
        self.train, self.validation = problem.split("train"), problem.split("validation")
        count = len(self.train)
        if settings.batch_size > count:
            raise InputError(
                f"training.batch_size = {settings.batch_size}: there are {count} training samples;"
                " use at most so many"
            )
        check_interval(settings, self.optimizer, self.method.options, count)
        self.micro_batch = problem.samples_at_once(
            self.network,
            self.optimizer,
            batch_size(settings, settings.epochs - 1, count),
            batch_count(settings, 0, count),
        )
        if saved:
            self._restore(saved)

    def _restore(self, saved: Checkpoint) -> None:
        self.average.restore(saved.network, saved.averaging)
        try:
            self.optimizer.load_state_dict(saved.optimizer)
            resume_schedule(self.schedule, saved.schedule, self.settings)
        except (OptimizerError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"optimizer.name = {self.method.optimizer}: the checkpoint's state cannot be taken"
                f" up ({error}); it may be of another version: train anew in another folder"
            ) from None
        if saved.micro_batch != self.micro_batch and self.processes.leads:
            warn(
                f"{saved.micro_batch} samples were forwarded at once before, now"
                f" {self.micro_batch}; results will differ in rounding"
            )
        self.progress, self.history = replace(saved.progress), list(saved.history)
        self._saved_epoch = saved.progress.epoch
        if saved.progress.batch == 0 and self._is_best() and self.processes.leads:
            # It may be missing where the run was killed.
            saved.trimmed().save(self.directory.best)
        restore_random_state(saved.random, self.device)

    def load_data(self) -> None:
        """Bring the samples where they are used from, and say what is trained."""
        self.train, self.validation = (
            samples.to(self.device) for samples in (self.train, self.validation)
        )
        count, settings = len(self.train), self.settings
        first, last = (batch_size(settings, epoch, count) for epoch in (0, settings.epochs - 1))
        batches = f"{batch_count(settings, 0, count)} batches an epoch of at most {first}"
        if last > first:
            batches += f", of {last} at the end"
        if self.processes.count > 1:
            say(f"{self.processes.count} processes share each batch")
        threads = f" ({torch.get_num_threads()} threads)" if self.device.type == "cpu" else ""
        at_once = f", {self.micro_batch} samples at once" if self.micro_batch else ""
        say(
            f"{self.problem.name}: {parameter_count(self.network):,} weights, {count} training and"
            f" {len(self.validation)} validation samples; {batches}{at_once};"
            f" {self.device}{threads}"
        )
        if not len(self.validation):
            say("no validation split: the best epoch is the one with the lowest training loss")

    def progress_bar(self) -> Any:
        """Return a bar over all batches."""
        done = self.progress
        left = sum(batch_counts(self.settings, len(self.train), done.epoch))
        total = done.iteration - done.batch + left
        return bar(total=total, initial=done.iteration, description="training", unit="batch")

    def is_finished(self, stop: Stop | None) -> bool:
        """Return whether there is nothing left to train, or nothing better to be expected."""
        progress, patience = self.progress, self.settings.patience
        if progress.epoch >= self.settings.epochs:
            return True
        if 0 < patience <= progress.epoch - progress.best_epoch:
            say(
                f"stopped early: no better epoch than {progress.best_epoch} for training.patience"
                f" = {patience} epochs"
            )
            return True
        if stop is None or not self.history:
            return False
        return self.processes.shared(lambda: bool(stop(self.history)))

    def steps(self) -> Iterator[float]:
        """Take the remaining steps of the epoch in hand; yield each batch's loss."""
        problem, progress, count = self.problem, self.progress, len(self.train)
        groups = epoch_groups(self.settings, progress.epoch, count)
        epoch = self.train.epoch(progress.epoch, groups)
        ranks = SharedRanks(epoch.samples, self._owners(epoch))
        # Batches of the first epoch's size that make one of this epoch's.
        growth = self._drawn() / self._drawn(0) * batch_count(self.settings, 0, count) / len(groups)
        mark, waited = time.perf_counter(), self.train.waited
        for batch in epoch.from_batch(progress.batch):
            objective = BatchObjective(
                self.network,
                problem.loss,
                epoch,
                progress.batch,
                batch,
                self.micro_batch,
                ranks,
                problem.reported,
            )
            loss = self._step(objective)
            self.average.add(progress.epoch)
            progress.loss_sum += loss * objective.batch_size
            progress.batch += 1
            progress.iteration += 1
            progress.gradient_evaluations += growth * objective.gradient_evaluations
            progress.ggn_products += growth * objective.ggn_products
            progress.seconds += time.perf_counter() - mark
            progress.data_seconds += self.train.waited - waited
            every = self.settings.checkpoint_iterations
            if every and progress.iteration % every == 0 and progress.batch < len(groups):
                self.save()
            yield loss * problem.unit
            mark, waited = time.perf_counter(), self.train.waited

    def _step(self, objective: BatchObjective) -> float:
        """Take one step; return the loss that history tells, of before."""
        try:
            # An optimizer of ours does not call the objective as a closure, which would tell.
            if self.problem.reported and isinstance(self.optimizer, ObjectiveOptimizer):
                objective.reported_loss()
            self.processes.require_all_well()
            with self.processes.exchange():
                loss = self.optimizer.step(objective)
        except OptimizerError as error:
            raise InputError(f"optimizer {self.method.optimizer}: {error}") from None
        if loss is None:
            raise InputError(
                f"optimizer {self.method.optimizer}: its step(closure) returned no loss, as"
                " torch.optim.Optimizer asks for"
            )
        loss = self._require_finite(float(loss))
        if self.problem.reported:
            loss = self._require_finite(float(objective.reported_loss()))
        return loss

    def end_epoch(self) -> None:
        """Score the epoch and add its row."""
        problem, progress = self.problem, self.progress
        train_loss = progress.loss_sum / self._drawn() * problem.unit
        with self.average.applied():
            scores = self._scores()
        watched = scores["loss"] if len(self.validation) else train_loss
        self._require_finite(watched)
        progress.epoch, progress.batch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        progress.dead_pixels = scores.get("dead_pixels", math.nan)
        if watched < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, watched
        self.history.append(
            {
                "epoch": progress.epoch,
                "iteration": progress.iteration,
                "seconds": progress.seconds,
                "train_loss": train_loss,
                "validation_loss": scores["loss"],
                **{name: scores[name] for name in problem.score_names},
                "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
                "gradient_evaluations": progress.gradient_evaluations,
                "ggn_products": progress.ggn_products,
            }
        )
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(watched)
        else:
            self.schedule.step()

    def _scores(self) -> dict[str, float]:
        """Score the validation split; without one, look for dead pixels at the very end."""
        if len(self.validation):
            return self.problem.scores(self.network, self.validation)
        scores = dict.fromkeys(["loss", *self.problem.score_names], math.nan)
        if self.progress.epoch + 1 == self.settings.epochs:
            last = self.problem.scores(self.network, self.train)
            scores["dead_pixels"] = last.get("dead_pixels", math.nan)
        return scores

    def save(self, *, at_once: bool = False) -> None:
        """Write the checkpoint, if it is small or has been long in coming, and all that follows.

        Not in between come an interrupt, so that the files agree with each other.
        """
        finite = (parameter.isfinite().all() for parameter in self.network.parameters())
        self._require_finite(0.0 if all(finite) else math.nan)
        content = self._checkpoint()
        is_best = self.progress.batch == 0 and self._is_best()
        if not self.processes.leads:
            return
        since = time.monotonic() - self._written_at
        with interrupts_held():
            small = content.bytes() <= SMALL_CHECKPOINT
            if not (at_once or small or self._write_seconds <= WRITING_SHARE * since):
                if is_best:
                    copies = {name: t.detach().cpu().clone() for name, t in content.network.items()}
                    self._best = replace(content.trimmed(), network=copies)
                write_history(self.directory.history, self._columns(), self.history)
                return
            mark = time.monotonic()
            if self._best and not is_best:
                self._best.save(self.directory.best)
            content.save(self.directory.checkpoint)
            if is_best:
                content.trimmed().save(self.directory.best)
            self._best, self._saved_epoch = None, self.progress.epoch
            self.write_tables()
            self._written_at = time.monotonic()
            self._write_seconds = self._written_at - mark

    def write_tables(self) -> None:
        """Write ``history.csv`` and ``metrics.json``."""
        if self.processes.leads:
            write_history(self.directory.history, self._columns(), self.history)
            if self.history:
                write_metrics(self.directory.metrics, self.result())

    def result(self) -> RunResult:
        """Return how the run stands."""
        problem, progress = self.problem, self.progress
        best = self.history[progress.best_epoch - 1]
        outcome = f"training loss {best['train_loss']:.3g} {problem.unit_name}".rstrip()
        if not math.isnan(best["validation_loss"]):
            outcome = f"validation {problem.scores_in_words(best)}"
        return RunResult(
            run_dir=self.directory.path,
            parameters=parameter_count(self.network),
            history=self.history,
            last=self.history[-1],
            best=best,
            dead_pixels=progress.dead_pixels,
            waiting=progress.data_seconds / progress.seconds,
            peak_memory=progress.peak_memory,
            outcome=outcome,
        )

    def tell(self) -> None:
        """Report an epoch on the screen and to TensorBoard; warn of waiting for data once."""
        row, progress, problem = self.history[-1], self.progress, self.problem
        text = f"epoch {row['epoch']}/{self.settings.epochs}: training loss {row['train_loss']:.3g}"
        if not math.isnan(row["validation_loss"]):
            loss = f"{row['validation_loss']:.3g} {problem.unit_name}".rstrip()
            text += f", validation loss {loss}, {problem.scores_in_words(row)}"
        say(text + (", best so far" if self._is_best() else ""))
        if not self.processes.leads:
            return
        share = progress.data_seconds / progress.seconds
        if share > WAIT_SHARE and progress.data_seconds > WAIT_SECONDS and not self._warned:
            self._warned = True
            warn(
                f"{share:.0%} of the optimizer's time is spent waiting for data (see"
                " training.cache_memory and training.gather_type)"
            )
        if self.settings.tensorboard:
            self._log_events(row)

    def _log_events(self, row: Mapping[str, Any]) -> None:
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            # Later events of an interrupted run are hidden.
            folder = str(self.directory.folder / "tensorboard")
            self._events = SummaryWriter(folder, purge_step=row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                self._events.add_scalar(name, value, row["epoch"])
        self._events.flush()

    def _checkpoint(self) -> Checkpoint:
        """Return the present state (sharing its tensors)."""
        self.progress.peak_memory = max(self.progress.peak_memory, peak_memory(self.device))
        return Checkpoint(
            config=self.config_text,
            data_identity=self.problem.identity,
            problem=self.problem.state(),
            network=self.average.network_state(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            random=random_state(self.device),
            averaging=self.average.state(),
            progress=replace(self.progress),
            history=self.history,
            threads=torch.get_num_threads(),
            ranks=self.processes.count,
            micro_batch=self.micro_batch,
        )

    def _is_best(self) -> bool:
        return self.progress.best_epoch == self.progress.epoch

    def _columns(self) -> list[str]:
        return columns(self.problem.score_names)

    def _drawn(self, epoch: int | None = None) -> int:
        """Return how many samples an epoch, left out: the one in hand, draws."""
        epoch = self.progress.epoch if epoch is None else epoch
        return sum(map(len, epoch_groups(self.settings, epoch, len(self.train))))

    def _owners(self, epoch: Any) -> Any:
        if epoch.owners is not None:
            return epoch.owners
        return torch.arange(len(epoch.samples)) % self.processes.count

    def _require_finite(self, value: float) -> float:
        if math.isfinite(value):
            return value
        progress, kept = self.progress, "no epoch was finished"
        if self._saved_epoch is not None:
            kept = f"the checkpoint of epoch {self._saved_epoch} is kept"
        rate = self.optimizer.param_groups[0]["lr"]
        raise TrainingDivergedError(
            f"run {self.directory.path}: training diverged in epoch {progress.epoch + 1}, iteration"
            f" {progress.iteration + 1} (loss {value:g}); lower optimizer.learning_rate (now"
            f" {rate:g}) or check how inputs are scaled; {kept}"
        )


def effective_settings(problem: Problem, method: Method, seed: int) -> LoopConfig:
    """Return the problem's settings with what the method changes.

    Raises
    ------
    InputError
        Naming the method's key that cannot be.
    """
    kind = type(problem.settings)
    try:
        return kind.model_validate(
            {**problem.settings.model_dump(), **method.training, "seed": seed}
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(
            f"method {method.name}: training.{key} = {method.training.get(key)!r}: {first['msg']}"
        ) from None


def described(problem: Problem, method: Method, settings: LoopConfig) -> dict[str, Any]:
    """Return what ``config.toml`` holds of a run."""
    optimizer = {"name": method.optimizer, "learning_rate": method.learning_rate}
    return {
        **problem.description(),
        "training": settings.model_dump(),
        "optimizer": {**optimizer, "options": dict(method.options)},
    }


def check_method(method: Method) -> None:
    """Refuse an optimizer or options that do not exist, before the data are looked at."""
    build_optimizer(method, [torch.nn.Parameter(torch.zeros(1))])


def build_optimizer(method: Method, parameters: Any) -> torch.optim.Optimizer:
    """Return the method's optimizer; see `make_optimizer`."""
    try:
        return make_optimizer(method.optimizer, parameters, method.learning_rate, method.options)
    except OptimizerError as error:
        raise InputError(str(error)) from None


def check_tensorboard() -> None:
    """Refuse to start without the package."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise InputError(
            "training.tensorboard = true: TensorBoard is not installed; pip install tensorboard"
        ) from None


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: LoopConfig
) -> LRScheduler | ReduceLROnPlateau:
    """Return the scheduler of the learning rate, which is stepped once an epoch."""
    if settings.schedule != "plateau":
        return LambdaLR(optimizer, lambda epoch: rate_share(settings, epoch))
    return ReduceLROnPlateau(
        optimizer,
        factor=settings.plateau_factor,
        patience=settings.plateau_patience,
        min_lr=[group["lr"] * settings.final_learning_rate for group in optimizer.param_groups],
    )


def resume_schedule(schedule: Any, state: dict[str, Any], settings: LoopConfig) -> None:
    """Take up a scheduler's state; more epochs than before stretch the schedule."""
    schedule.load_state_dict(state)
    if isinstance(schedule, LambdaLR):
        share = rate_share(settings, schedule.last_epoch)
        groups, rates = schedule.optimizer.param_groups, schedule.base_lrs
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * share


def rate_share(settings: LoopConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, from 0, as a share of the first's."""
    if settings.schedule in ("constant", "plateau"):
        return 1.0
    done = min(1.0, epoch / max(1, settings.epochs - 1))
    if settings.schedule == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return 1 + (settings.final_learning_rate - 1) * done


def checkpoint_to_resume(
    path: Path, config_text: str, problem: Problem, settings: LoopConfig, processes: Processes
) -> Checkpoint:
    """Return the checkpoint that a run goes on from, the same on all processes.

    Raises
    ------
    InputError
        If the run was started otherwise, or the file is damaged or not the one that rank 0 sees.
    """
    saved = load_checkpoint(path)
    saved.require_same(config_text, problem.identity, settings, path)
    if processes.shared(lambda: saved.progress.iteration) != saved.progress.iteration:
        raise InputError(f"{path}: is not the file that rank 0 sees")
    for before, now, unit in (
        (saved.threads, torch.get_num_threads(), "threads"),
        (saved.ranks, processes.count, "processes"),
    ):
        if before != now and processes.leads:
            warn(
                f"run {path.parent}: was started with {before} {unit}, now {now};"
                " results will differ in rounding"
            )
    return saved
