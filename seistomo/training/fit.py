"""The loop: epochs, batches, scores, history, checkpoints. All training goes through `fit`."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from seistomo.config import LoopConfig
from seistomo.config.load import first_problem
from seistomo.config.schema import toml_text
from seistomo.device import (
    check_precision,
    peak_memory,
    random_state,
    restore_random_state,
    torch_settings,
)
from seistomo.errors import InputError, TrainingDivergedError
from seistomo.interrupts import interrupts_held, interrupts_noted
from seistomo.networks import parameter_count
from seistomo.optim import (
    SGN,
    SQGN,
    ObjectiveOptimizer,
    OptimizerError,
    Ranks,
    make_optimizer,
)
from seistomo.progress import bar, counted, quietly, say, warn
from seistomo.ranks import Processes, restarted
from seistomo.training.averaging import WeightAverage
from seistomo.training.batches import (
    batch_count,
    batch_size,
    check_interval,
    epoch_groups,
    samples_drawn,
)
from seistomo.training.checkpoint import Checkpoint, Progress, checkpoint_to_resume
from seistomo.training.data import SharedRanks
from seistomo.training.directory import RunDirectory
from seistomo.training.history import (
    BEST,
    CHECKPOINT,
    HISTORY,
    METRICS,
    RunResult,
    write_history,
    write_metrics,
)
from seistomo.training.objective import BatchObjective, require_convex
from seistomo.training.problem import Method, Problem

Stop = Callable[[Sequence[Mapping[str, Any]]], bool]

# A checkpoint is written where one is due and the last took no more than this share of the time
# since. Beside one of more than so many bytes, history.csv is written every epoch all the same.
WRITING_SHARE, LARGE_CHECKPOINT = 0.05, 8 * 2**20
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
        Continue the run that is there; one that has no checkpoint starts anew.
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
        options = {"resume": resume, "overwrite": overwrite, "stop": stop}
        with Processes.from_environment().together() as processes:
            return fit(problem, method, seed, run_dir, processes=processes, **options)
    # Torchrun starts a failed command again as it was, without --resume. With --overwrite nobody
    # can tell whether the run that is there is the new one, and it is replaced again.
    resume = resume or (restarted() and not overwrite)
    settings = effective_settings(problem, method, seed)
    config_text = toml_text(described(problem, method, settings))
    with nullcontext() if processes.leads else quietly():
        device = prepared_device(problem, method, settings, processes)
        directory = RunDirectory(run_dir, resume=resume, overwrite=overwrite, leads=processes.leads)
        settled = torch_settings(device, settings.threads, seed, settings.precision)
        with directory, settled, closing(problem):
            saved = None
            if resume:
                started = {"config": config_text, "data_identity": problem.identity}
                saved = checkpoint_to_resume(directory.folder, settings, processes, **started)
            run = Training(problem, method, settings, device, processes, directory, saved)
            # The optimizer has its own copy now, and may be large.
            del saved
            directory.start(config_text)
            finished = run.is_finished(stop)
            if finished:
                run.write_tables()
                say(f"run {run_dir}: is finished already")
                return run.result()
            run.load_data()
            with run.progress_bar() as shown, interrupts_noted(second_strikes=True):
                while not finished:
                    for loss in run.steps():
                        epoch = run.progress.epoch + 1
                        shown.set_postfix_str(f"epoch {epoch}, loss {loss:.3g}", False)
                        shown.update()
                    run.end_epoch()
                    finished = run.is_finished(stop)
                    run.save(at_once=finished)
                    directory.settle()
                    run.report()
            return run.result()


def prepared_device(
    problem: Problem, method: Method, settings: LoopConfig, processes: Processes
) -> torch.device:
    """Refuse settings that cannot be, before the data are looked at; return where to compute."""
    build_optimizer(method, [torch.nn.Parameter(torch.zeros(1))])
    if settings.tensorboard and find_spec("tensorboard") is None:
        raise InputError(
            "training.tensorboard = true: TensorBoard is not installed; pip install tensorboard"
        )
    limited = settings.memory_limit is not None
    if limited and type(problem).samples_at_once is Problem.samples_at_once:
        raise InputError(
            f"training.memory_limit = {settings.memory_limit:g}: the problem {problem.name}"
            " does not say what memory it takes; use training.micro_batch"
        )
    device = processes.device(settings.device, "training.device")
    check_precision(settings.precision, device, "training.precision")
    processes.connect(device)
    problem.prepare(settings, device, processes)
    return device


class Training:
    """A run that is being trained: all of it that changes from step to step."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        settings: LoopConfig,
        device: torch.device,
        processes: Processes,
        directory: RunDirectory,
        saved: Checkpoint | None,
    ):
        self.problem, self.method, self.settings = problem, method, settings
        self.device, self.processes, self.directory = device, processes, directory
        self.progress, self.history = Progress(), []
        self._best: Checkpoint | None = None  # not written yet
        self._saved: Progress | None = None  # of the last checkpoint
        self._written_at, self._write_seconds = -math.inf, 0.0
        self._events: Any = None
        self._warned = False
        if saved:
            problem.load_state(saved.problem)
        generator = torch.Generator().manual_seed(settings.seed)
        self.network = problem.network(generator).to(self.device)
        self.optimizer = build_optimizer(method, self.network.parameters())
        if isinstance(self.optimizer, torch.optim.LBFGS):  # It takes gradients as flat views.
            self.network.to(memory_format=torch.contiguous_format)
        loss = problem.loss
        if isinstance(loss, torch.nn.Module) and any(p.requires_grad for p in loss.parameters()):
            warn("loss: has parameters of its own; the optimizer has those of the network alone")
        if isinstance(self.optimizer, SGN | SQGN):
            require_convex(problem.loss, f"optimizer {method.optimizer}")
        self.schedule = make_schedule(self.optimizer, settings)
        self.average = WeightAverage(settings, self.network)
        self.train, self.validation = problem.split("train"), problem.split("validation")
        count = len(self.train)
        if settings.batch_size > count:
            raise InputError(
                f"training.batch_size = {settings.batch_size}: there are {count} training samples;"
                " use at most so many"
            )
        check_interval(settings, self.optimizer, method.options, count)
        self.micro_batch = problem.samples_at_once(
            self.network,
            self.optimizer,
            method,
            settings.micro_batch,
            batch_size(settings, settings.epochs - 1, count),
            batch_count(settings, 0, count),
        )
        if saved:
            self._restore(saved)

    def _restore(self, saved: Checkpoint) -> None:
        path = self.directory.folder / CHECKPOINT
        self.average.restore(saved.network, saved.averaging, path)
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
        self._saved = saved.progress
        if self._is_best() and self.processes.leads:
            # It may be missing where the run was killed.
            saved.trimmed().save(self.directory.folder / BEST)
        restore_random_state(saved.random, self.device)

    def load_data(self) -> None:
        """Bring the samples where they are used from, and say what is trained."""
        settings, count = self.settings, len(self.train)
        self.train, self.validation = self.train.to(self.device), self.validation.to(self.device)
        first, last = (batch_size(settings, epoch, count) for epoch in (0, settings.epochs - 1))
        number = counted(batch_count(settings, 0, count), "batch", "batches")
        batches = f"{number} an epoch of at most {first}"
        batches += f", of {last} at the end" if last > first else ""
        batches += f", {min(self.micro_batch, last)} at once" if self.micro_batch else ""
        threads = f" ({torch.get_num_threads()} threads)" if self.device.type == "cpu" else ""
        if self.processes.count > 1:
            say(f"{self.processes.count} processes share each batch")
        say(
            f"{self.problem.name}: {parameter_count(self.network):,} weights; {count} training and"
            f" {len(self.validation)} validation samples; {batches}; {self.device}{threads}"
        )
        if not len(self.validation):
            say("no validation split: the best epoch is the one with the lowest training loss")

    def progress_bar(self) -> Any:
        done, settings, count = self.progress, self.settings, len(self.train)
        epochs = range(done.epoch, settings.epochs)
        total = sum(batch_count(settings, epoch, count) for epoch in epochs)
        total += done.iteration - done.batch
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
        problem, progress, settings = self.problem, self.progress, self.settings
        count = len(self.train)
        groups = epoch_groups(settings, progress.epoch, count)
        mark, waited = time.perf_counter(), self.train.waited
        with self._kept_at_interrupt():
            epoch = self.train.epoch(progress.epoch, groups)
        ranks = Ranks() if epoch.owners is None else SharedRanks(epoch.samples, epoch.owners)
        # Batches of the first epoch's size that make one of this epoch's.
        drawn, first = (samples_drawn(settings, number, count) for number in (progress.epoch, 0))
        growth = drawn / first * batch_count(settings, 0, count) / len(groups)
        for batch in epoch.from_batch(progress.batch):
            with self._kept_at_interrupt():
                self.processes.require_all_well()
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
            self.micro_batch = objective.micro_batch
            self.average.add(progress.epoch)
            progress.loss_sum += loss * objective.batch_size
            progress.batch += 1
            progress.iteration += 1
            progress.gradient_evaluations += growth * objective.gradient_evaluations
            progress.ggn_products += growth * objective.ggn_products
            progress.seconds += time.perf_counter() - mark
            progress.data_seconds += self.train.waited - waited
            every = settings.checkpoint_iterations
            if every and progress.iteration % every == 0 and progress.batch < len(groups):
                self.save()
            yield loss * problem.unit
            mark, waited = time.perf_counter(), self.train.waited

    def _step(self, objective: BatchObjective) -> float:
        """Take one step; return the loss that history tells, of before."""
        name, reports = f"optimizer {self.method.optimizer}", self.problem.reported is not None
        try:
            with self.processes.exchange():
                # An optimizer of ours does not call the objective as a closure, which would tell.
                if reports and isinstance(self.optimizer, ObjectiveOptimizer):
                    objective.reported_loss()
                loss = self.optimizer.step(objective)
                if loss is None:
                    raise OptimizerError(
                        "its step(closure) returned no loss, as torch.optim.Optimizer asks for"
                    )
                loss = self._require_finite(float(loss))
                return self._require_finite(float(objective.reported_loss())) if reports else loss
        except OptimizerError as error:
            raise InputError(f"{name}: {error}") from None
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{name}: {self.device} has too little memory even for one sample at once"
                f" ({str(error).split('. ')[0]})"
            ) from None
        except RuntimeError as error:
            if "does not support" not in str(error):  # As SparseAdam says of dense gradients.
                raise
            raise InputError(f"{name}: {error}") from None

    @contextmanager
    def _kept_at_interrupt(self) -> Iterator[None]:
        """Write a checkpoint where Ctrl-C, here or at another rank, ends a ``with`` block."""
        try:
            yield
        except KeyboardInterrupt:
            if self.directory.settled:
                self.save(at_once=True)
            raise

    def end_epoch(self) -> None:
        progress = self.progress
        drawn = samples_drawn(self.settings, progress.epoch, len(self.train))
        train_loss = progress.loss_sum / drawn * self.problem.unit
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
                **{name: scores[name] for name in self.problem.score_names},
                "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
                "gradient_evaluations": progress.gradient_evaluations,
                "ggn_products": progress.ggn_products,
            }
        )
        plateau = isinstance(self.schedule, ReduceLROnPlateau)
        self.schedule.step(*[watched] if plateau else [])

    def _scores(self) -> dict[str, float]:
        """Score the validation split; without one, look for dead pixels at the very end."""
        problem, missing = self.problem, dict.fromkeys(self.problem.score_names, math.nan)
        missing["loss"] = math.nan
        self.network.eval()
        try:
            with self.average.applied():
                if len(self.validation):
                    return problem.scores(self.network, self.validation)
                if self.progress.epoch + 1 == self.settings.epochs:
                    return problem.scores(self.network, self.train) | missing
                return missing
        finally:
            self.network.train()

    def save(self, *, at_once: bool = False) -> None:
        """Write the checkpoint, and all that follows from it.

        Where the last one was written just now, a best epoch is only remembered.
        """
        finite = (parameter.isfinite().all() for parameter in self.network.parameters())
        self._require_finite(0.0 if all(finite) else math.nan)
        nothing_new = self._saved is not None and self._saved.iteration == self.progress.iteration
        if not self.processes.leads or nothing_new:
            return
        content, mark = self.checkpoint(), time.monotonic()
        long_ago = self._write_seconds <= WRITING_SHARE * (mark - self._written_at)
        # So that the files agree with each other.
        with interrupts_held():
            if not (at_once or long_ago):
                if self._is_best():
                    copies = {name: t.cpu().clone() for name, t in content.network.items()}
                    self._best = replace(content.trimmed(), network=copies)
                if content.bytes() > LARGE_CHECKPOINT:
                    write_history(self.directory.folder / HISTORY, self.history)
                return
            if self._best and not self._is_best():
                self._best.save(self.directory.folder / BEST)
            content.save(self.directory.folder / CHECKPOINT)
            if self._is_best():
                content.trimmed().save(self.directory.folder / BEST)
            self._best, self._saved = None, content.progress
            self.write_tables()
        self._written_at = time.monotonic()
        self._write_seconds = self._written_at - mark

    def write_tables(self) -> None:
        if self.history and self.processes.leads:
            write_history(self.directory.folder / HISTORY, self.history)
            write_metrics(self.directory.folder / METRICS, self.result())

    def result(self) -> RunResult:
        """Return how the run stands, after an epoch."""
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

    def report(self) -> None:
        """Tell of an epoch on the screen and to TensorBoard; warn of waiting for data once."""
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
                " training.cache_memory, training.gather_type and training.stream_uses)"
            )
        if self.settings.tensorboard:
            if self._events is None:
                from torch.utils.tensorboard import SummaryWriter

                # Later events of an interrupted run are hidden.
                folder = str(self.directory.folder / "tensorboard")
                self._events = SummaryWriter(folder, purge_step=row["epoch"])
            for name, value in row.items():
                if name != "epoch":
                    self._events.add_scalar(name, value, row["epoch"])
            self._events.flush()

    def checkpoint(self) -> Checkpoint:
        """Return the present state (sharing its tensors)."""
        self.progress.peak_memory = max(self.progress.peak_memory, peak_memory(self.device))
        return Checkpoint(
            config=toml_text(described(self.problem, self.method, self.settings)),
            data_identity=self.problem.identity,
            problem=self.problem.state(),
            network=self.average.network_state(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            random=random_state(self.device),
            averaging=self.average.state(),
            progress=replace(self.progress),
            history=list(self.history),
            threads=torch.get_num_threads(),
            ranks=self.processes.count,
            micro_batch=self.micro_batch,
        )

    def _is_best(self) -> bool:
        """Return whether this is the end of the epoch with the best loss so far."""
        return self.progress.batch == 0 and self.progress.best_epoch == self.progress.epoch > 0

    def _require_finite(self, value: float) -> float:
        if math.isfinite(value):
            return value
        progress, kept = self.progress, "no epoch was finished"
        if self._saved:
            kept = f"the checkpoint of epoch {self._saved.epoch} is kept"
        rate = self.optimizer.param_groups[0]["lr"]
        raise TrainingDivergedError(
            f"run {self.directory.path}: training diverged in epoch {progress.epoch + 1}, iteration"
            f" {progress.iteration + 1} (loss {value:g}); lower optimizer.learning_rate (now"
            f" {rate:g}) or check how inputs are scaled; {kept}"
        )


def effective_settings(problem: Problem, method: Method, seed: int) -> LoopConfig:
    """Return the problem's settings with what the method changes."""
    values = {**problem.settings.model_dump(), **method.training, "seed": seed}
    try:
        return type(problem.settings)(**values)
    except ValidationError as error:
        raise InputError(f"method {method.name}: {first_problem(error, 'training')}") from None


def described(problem: Problem, method: Method, settings: LoopConfig) -> dict[str, Any]:
    """Return what ``config.toml`` holds of a run."""
    optimizer = {"name": method.optimizer, "learning_rate": method.learning_rate}
    optimizer["options"] = dict(method.options)
    return {**problem.description(), "training": settings.model_dump(), "optimizer": optimizer}


def build_optimizer(method: Method, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    try:
        return make_optimizer(method.optimizer, parameters, method.learning_rate, method.options)
    except OptimizerError as error:
        raise InputError(str(error)) from None


def make_schedule(optimizer: torch.optim.Optimizer, settings: LoopConfig) -> LRScheduler:
    """Return the scheduler of the learning rate, which is stepped once an epoch."""
    if settings.schedule != "plateau":
        return LambdaLR(optimizer, lambda epoch: rate_share(settings, epoch))
    return ReduceLROnPlateau(
        optimizer,
        factor=settings.plateau_factor,
        patience=settings.plateau_patience,
        min_lr=[group["lr"] * settings.final_learning_rate for group in optimizer.param_groups],
    )


def resume_schedule(schedule: LRScheduler, state: dict[str, Any], settings: LoopConfig) -> None:
    """Take up a scheduler's state; more epochs than before stretch the schedule."""
    schedule.load_state_dict(state)
    if isinstance(schedule, LambdaLR):
        share = rate_share(settings, schedule.last_epoch)
        groups, rates = schedule.optimizer.param_groups, schedule.base_lrs
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * share


def rate_share(settings: LoopConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, from 0, as a share of the first's."""
    if settings.schedule == "constant":
        return 1.0
    done = min(1.0, epoch / max(1, settings.epochs - 1))
    if settings.schedule == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return 1 + (settings.final_learning_rate - 1) * done
