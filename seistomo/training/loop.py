"""Training from start or checkpoint to the last epoch."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from seistomo.config import Config
from seistomo.dataset import open_dataset
from seistomo.errors import InputError, TrainingDivergedError
from seistomo.networks import parameter_count
from seistomo.optim import ObjectiveOptimizer, OptimizerError
from seistomo.progress import bar, quietly, say
from seistomo.ranks import LostRankError, Processes, restarted
from seistomo.training.augmentation import Corruption
from seistomo.training.batches import batch_count, batch_counts, batch_groups, batch_size
from seistomo.training.checkpoint import (
    CONTINUING,
    Checkpoint,
    checkpoint_to_resume,
    load_checkpoint,
)
from seistomo.training.data import EpochData
from seistomo.training.device import check_precision, torch_settings
from seistomo.training.directory import BEST, HISTORY, FollowedDirectory, RunDirectory
from seistomo.training.events import EventLog, check_tensorboard
from seistomo.training.fit import check_fit, config_for
from seistomo.training.history import EpochRow, write_history
from seistomo.training.mirror import check_symmetric, mirrored_rows
from seistomo.training.objective import BatchObjective
from seistomo.training.result import TrainingResult
from seistomo.training.session import Session
from seistomo.training.validation import Scores, score_split
from seistomo.training.watch import Watch

Stop = Callable[[Sequence[EpochRow]], bool]


def train(
    config: Config,
    data_path: str | Path,
    run_dir: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    processes: Processes | None = None,
    stop: Stop | None = None,
) -> TrainingResult:
    """Train a network on a data set.

    The run directory receives ``config.toml``, ``history.csv`` (a row an epoch),
    ``checkpoint.pt``, ``best.pt`` (lowest validation loss; without a validation split lowest
    training loss) and ``metrics.json``. On the CPU a run that was interrupted at any moment and
    resumed ends with the same bits as one that never stopped, given as many threads.

    Parameters
    ----------
    config
        The configuration; what describes the data is taken from the data set.
    data_path
        The data set.
    run_dir
        The run directory.
    resume
        Continue the run that is there; one that has finished no epoch starts anew.
    overwrite
        Replace the run that is there, once the new one has finished its first epoch.
    processes
        The processes that share the work, for a caller that is inside their `together`; left
        out: those that torchrun has started, if it has.
    stop
        Whether to leave the run where it is, asked of the rows of ``history.csv`` after each epoch
        and before a resumed run goes on; of several processes, rank 0 is asked. What is left can
        be resumed, and ends as if it had not been.

    Raises
    ------
    InputError
        For a configuration that does not fit the data set, an existing run, or a resumed run
        that was started otherwise.
    TrainingDivergedError
        If the loss becomes NaN or infinite; the last good checkpoint is kept.
    """
    if processes is None:
        with Processes.from_environment().together() as processes:
            return train(config, data_path, run_dir, resume, overwrite, processes, stop)
    # Torchrun's command is the first one, without --resume. With --overwrite nobody can tell
    # whether the run that is there is the new one, and it is replaced again.
    resume = resume or (restarted() and not overwrite)
    with open_dataset(data_path) as data, nullcontext() if processes.leads else quietly():
        config = config_for(config, data)
        check_fit(config, data)
        for section in ("training", "evaluation"):
            if getattr(config, section).mirror:
                check_symmetric(data, f"{section}.mirror")
        if config.training.tensorboard:
            check_tensorboard()
        device = processes.device(config.training.device, "training.device")
        check_precision(config.training.precision, device, "training.precision")
        processes.connect(device)
        directory: RunDirectory | FollowedDirectory = FollowedDirectory(run_dir)
        if processes.leads:
            directory = RunDirectory(run_dir, resume=resume, overwrite=overwrite)
        settings = config.training
        with torch_settings(device, settings.threads, settings.seed, settings.precision):
            checkpoint = None
            if resume:
                checkpoint = checkpoint_to_resume(directory.checkpoint, config, data, processes)
            session = Session(config, data, device, checkpoint, processes)
            # The optimizer has its own copy now, and may be large.
            checkpoint = checkpoint.trimmed() if checkpoint else None
            return _Loop(session, directory, checkpoint, stop).run()


class _Loop:
    """The loop over epochs and batches, with its files.

    Parameters
    ----------
    session
        Network, optimizer, data and progress.
    directory
        Where the run is kept.
    saved
        The checkpoint that the directory holds, if any.
    stop
        Whether to leave the run where it is; see `train`.
    """

    def __init__(
        self,
        session: Session,
        directory: RunDirectory | FollowedDirectory,
        saved: Checkpoint | None,
        stop: Stop | None = None,
    ):
        self.session, self.directory, self._stop = session, directory, stop
        self.leads = session.processes.leads
        self.settings = session.config.training
        self._saved = saved
        self._events: EventLog | None = None
        self._watch = Watch()

    def run(self) -> TrainingResult:
        """Train to the end; leave the directory consistent whatever happens."""
        failed = True
        try:
            self.directory.start(self.session.config.to_toml())
            self._write_tables()
            if self._is_finished():
                say(f"run {self.directory.path}: is finished already")
            else:
                self.session.load_data()
                self.session.describe()
                self._epochs()
            failed = False
        except (KeyboardInterrupt, LostRankError):
            failed = False
            self._tidy_up()
            raise
        finally:
            if self._events:
                self._events.close()
            self.directory.close(abandon=failed)
        return self._result(self._saved)

    def _is_finished(self) -> bool:
        done = self.session.progress.epoch >= self.settings.epochs
        return done or self._lost_patience() or self._is_told_to_stop()

    def _lost_patience(self) -> bool:
        progress, patience = self.session.progress, self.settings.patience
        return 0 < patience <= progress.epoch - progress.best_epoch

    def _is_told_to_stop(self) -> bool:
        history = self.session.history
        if self._stop is None or not history:
            return False
        return self.session.processes.shared(lambda: bool(self._stop(history)))

    def _epochs(self) -> None:
        session, progress = self.session, self.session.progress
        left = sum(batch_counts(self.settings, len(session.train_split), progress.epoch))
        with bar(
            total=progress.iteration - progress.batch + left,
            initial=progress.iteration,
            description="training",
            unit="batch",
        ) as shown:
            while not self._is_finished():
                for loss in self._steps():
                    shown.set_postfix_str(f"epoch {progress.epoch + 1}, loss {loss:.3g}", False)
                    shown.update()
                self._end_epoch()
        if progress.epoch < self.settings.epochs and self._lost_patience():
            say(
                f"stopped early: no better epoch than {progress.best_epoch} for"
                f" training.patience = {self.settings.patience} epochs"
            )

    def _steps(self) -> Iterator[float]:
        """Take the remaining steps of the epoch in hand; yield each batch's loss, (m/s)²."""
        session, progress = self.session, self.session.progress
        unit = session.normalization.velocity.span**2
        every = self.settings.checkpoint_iterations
        epoch = self._epoch_data()
        # Batches of the first epoch's size that make one of this epoch's.
        growth = batch_count(self.settings, 0, len(session.train_split)) / len(epoch)
        ranks, clock = session.ranks(epoch), session.train_split.clock
        mark, waited = time.perf_counter(), clock.seconds
        for batch in epoch.from_batch(progress.batch):
            objective = BatchObjective(
                session.network,
                batch,
                session.micro_batch,
                epoch,
                progress.batch,
                ranks,
                structural=session.structural,
            )
            loss = self._published(objective, self._checked_loss(self._step(objective)))
            session.processes.require_all_well()
            session.average.add(progress.epoch)
            progress.batch += 1
            progress.iteration += 1
            progress.loss_sum += loss * len(batch)
            progress.gradient_evaluations += growth * objective.gradient_evaluations
            progress.ggn_products += growth * objective.ggn_products
            progress.seconds += time.perf_counter() - mark
            progress.data_seconds += clock.seconds - waited
            if every and progress.iteration % every == 0 and progress.batch < len(epoch):
                self._save()
            yield loss * unit
            mark, waited = time.perf_counter(), clock.seconds

    def _epoch_data(self) -> EpochData:
        """Return the batches of the epoch in hand, as (seed, epoch) has them."""
        settings, split = self.settings, self.session.train_split
        epoch = self.session.progress.epoch
        size = batch_size(settings, epoch, len(split))
        groups = batch_groups(settings.seed, epoch, len(split), size)
        mirrored = mirrored_rows(settings.seed, epoch, len(split)) if settings.mirror else None
        return EpochData(split, groups, mirrored, Corruption.of(settings, epoch))

    def _step(self, objective: BatchObjective) -> torch.Tensor | float | None:
        # An optimizer of ours does not call the objective as a closure, which would tell.
        if self.session.structural and isinstance(self.session.optimizer, ObjectiveOptimizer):
            objective.measure()
        try:
            with self.session.processes.exchange():
                return self.session.optimizer.step(objective)
        except OptimizerError as error:
            name = self.session.config.optimizer.name
            raise InputError(f"optimizer {name}: {error}") from None

    def _published(self, objective: BatchObjective, minimized: float) -> float:
        """Return the batch's published loss, scaled units, whatever was minimized."""
        if self.session.structural is None:
            return minimized
        return self._require_finite(float(objective.published_loss))

    def _end_epoch(self) -> None:
        session, progress = self.session, self.session.progress
        unit = session.normalization.velocity.span**2
        train_loss = progress.loss_sum / len(session.train_split) * unit
        with session.average.applied():
            scores = self._scores()
        watched = scores.loss if len(session.validation_split) else train_loss
        self._require_finite(watched)
        progress.epoch, progress.batch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        progress.dead_pixels = scores.dead_pixels
        if watched < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, watched
        row = EpochRow(
            epoch=progress.epoch,
            iteration=progress.iteration,
            seconds=progress.seconds,
            train_loss=train_loss,
            validation_loss=scores.loss,
            mse=scores.mse,
            ssim=scores.ssim,
            learning_rate=float(session.optimizer.param_groups[0]["lr"]),
            gradient_evaluations=progress.gradient_evaluations,
            ggn_products=progress.ggn_products,
        )
        session.history.append(row)
        session.schedule.end_epoch(watched)
        self._save()
        self.directory.settle()
        self._tell(row)

    def _scores(self) -> Scores:
        """Score the validation split; without one, look for dead pixels at the very end."""
        session = self.session
        arguments = (session.data, session.normalization, session.micro_batch)
        if len(session.validation_split):
            return score_split(session.network, session.validation_split, *arguments)
        dead = math.nan
        if session.progress.epoch + 1 == self.settings.epochs:
            dead = score_split(session.network, session.train_split, *arguments).dead_pixels
        return Scores(math.nan, math.nan, math.nan, dead)

    def _save(self) -> None:
        """Write the checkpoint, then what follows from it."""
        finite = (parameter.isfinite().all() for parameter in self.session.network.parameters())
        self._require_finite(0.0 if all(finite) else math.nan)
        content = self.session.checkpoint()
        if self.leads:
            content.save(self.directory.checkpoint)
        self._saved = content.trimmed()
        self._write_tables()

    def _write_tables(self) -> None:
        """Bring the other files in line with the last checkpoint."""
        content, folder = self._saved, self.directory.folder
        if content is None or not self.leads:
            return
        if content.is_best:
            content.save(folder / BEST, without=CONTINUING)
        write_history(folder / HISTORY, [EpochRow(*row) for row in content.history])
        if content.history:
            self.directory.write_metrics(self._result(content).metrics())

    def _tidy_up(self) -> None:
        """After an interruption, bring the files in line with the checkpoint on disk."""
        if not self.leads:
            return
        if not self.directory.settled:
            say(f"run {self.directory.path}: the run that was there is as it was")
        elif self.directory.checkpoint.is_file():
            # What is in memory has moved on.
            self._saved = load_checkpoint(self.directory.checkpoint)
            self._write_tables()

    def _result(self, content: Checkpoint) -> TrainingResult:
        parameters = parameter_count(self.session.network)
        return TrainingResult.of(self.directory.path, parameters, content)

    def _checked_loss(self, loss: torch.Tensor | float | None) -> float:
        if loss is None:
            raise InputError(
                f"optimizer {self.session.config.optimizer.name}: its step(closure) returned no"
                " loss, as torch.optim.Optimizer asks for"
            )
        return self._require_finite(float(loss))

    def _require_finite(self, value: float) -> float:
        if math.isfinite(value):
            return value
        progress = self.session.progress
        kept = "no epoch was finished"
        if self._saved:
            kept = f"the checkpoint of epoch {self._saved.progress.epoch} is kept"
        rate = self.session.optimizer.param_groups[0]["lr"]
        raise TrainingDivergedError(
            f"run {self.directory.path}: training diverged in epoch {progress.epoch + 1}, iteration"
            f" {progress.iteration + 1} (loss {value:g}); lower optimizer.learning_rate (now"
            f" {rate:g}) or check training.gather_scaling; {kept}"
        )

    def _tell(self, row: EpochRow) -> None:
        """Report an epoch on the screen and to TensorBoard; warn of dead pixels once."""
        progress = self.session.progress
        text = f"epoch {row.epoch}/{self.settings.epochs}: training loss {row.train_loss:.3g}"
        if not math.isnan(row.validation_loss):
            text += (
                f", validation loss {row.validation_loss:.3g} (m/s)²,"
                f" RMSE {math.sqrt(row.mse):.0f} m/s, SSIM {row.ssim:.3f}"
            )
        say(text + (", best so far" if progress.best_epoch == row.epoch else ""))
        if self.leads:
            self._watch.after_epoch(progress, self.session.train_split)
        if self.settings.tensorboard and self.leads:
            self._events = self._events or EventLog(
                self.directory.folder / "tensorboard", row.epoch - 1
            )
            self._events.add(row)
