"""Runs one after another: those that are done are read, those begun are gone on with."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.machine import describe_machine
from seistomo.benchmarks.mnist import MnistRun
from seistomo.benchmarks.mnist_data import MnistData, Samples
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.store import RUNS, BenchmarkFolder
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.optim import OptimizerError
from seistomo.progress import bar, say, warn
from seistomo.training.device import torch_settings


class Job(NamedTuple):
    """A run to be made.

    Attributes
    ----------
    settings
        What to run.
    label
        What the progress bar and messages call it.
    split
        What it is judged by: ``test``, or ``validation`` (a part of the training images that is
        not trained with).
    """

    settings: RunSettings
    label: str
    split: str = "test"


class Runner:
    """Makes runs, or finds them in the folder.

    Parameters
    ----------
    folder
        Where runs are kept.
    data
        MNIST.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads
        CPU threads of torch; 0: its choice.
    overwrite
        Whether runs that are there are made anew.
    """

    def __init__(
        self,
        folder: BenchmarkFolder,
        data: MnistData,
        device: str = "auto",
        threads: int = 0,
        overwrite: bool = False,
    ):
        self.folder, self.threads, self.overwrite = folder, threads, overwrite
        self.device = choose_device(device)
        self._splits = {"test": data, "validation": data.held_out()}
        self._identities = {name: split.identity for name, split in self._splits.items()}
        self._samples: dict[tuple[str, str], tuple[Samples, Samples]] = {}
        self._made_here: set[str] = set()

    @property
    def data(self) -> MnistData:
        """The data with their test split."""
        return self._splits["test"]

    def machine(self) -> dict[str, Any]:
        """Describe what the runs are made on."""
        with torch_settings(self.device, self.threads, 0):
            return describe_machine(self.device)

    def run_all(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Return the results of several runs, in their order.

        Two processes that are given the same runs share them: each takes what the other has
        not.

        Raises
        ------
        InputError
            As `run`; and at the end, if other processes are still at some of them.
        """
        results = [self.run(job) for job in jobs]
        busy = sum(result is None for result in results)
        if busy:
            raise InputError(
                f"--out {self.folder.path}: another process is at {busy} of the {len(jobs)} runs;"
                " once it is done, the same command puts all of them together"
            )
        return results

    def run(self, job: Job) -> RunResult | None:
        """Return a run's result, training what is missing of it; None if another process is at it.

        A run that was interrupted goes on after its last whole epoch; on a CPU, with as many
        threads, it ends with the same bits as one that was never interrupted.

        Parameters
        ----------
        job
            The run.

        Raises
        ------
        InputError
            For settings that cannot be used.
        """
        settings = job.settings
        key = settings.key(self._identities[job.split], self.device.type)
        with self.folder.locked(key) as mine:
            if not mine:
                return None
            if self.overwrite and key not in self._made_here:
                self.folder.forget(key)
            self._made_here.add(key)
            result = self.folder.result(key, settings)
            if result is None:
                with torch_settings(self.device, self.threads, settings.seed):
                    result = self._train(job, key)
                say(f"{job.label}: {outcome(result)}")
        return result

    def _take_up(self, run: MnistRun, state: Mapping[str, Any], key: str) -> None:
        try:
            run.load_state(state)
        except (OptimizerError, KeyError, TypeError, ValueError, RuntimeError):
            raise InputError(
                f"{self.folder.path / RUNS / key}.pt: was begun by another version of the program;"
                " remove it, or --overwrite"
            ) from None

    def _train(self, job: Job, key: str) -> RunResult:
        settings, label, split = job.settings, job.label, job.split
        run = MnistRun(settings, *self._tensors(split, settings.pixels))
        state = self.folder.state(key)
        if state is not None:
            if state["threads"] != torch.get_num_threads():
                warn(
                    f"{label}: was begun with {state['threads']} threads, now"
                    f" {torch.get_num_threads()}; results will differ in rounding"
                )
            self._take_up(run, state, key)
        with bar(
            total=settings.epochs,
            initial=len(run.history),
            description=label,
            unit="epoch",
            leave=False,
        ) as shown:
            while not run.finished:
                run.run_epoch()
                self.folder.save_state(key, run.state())
                if run.history:
                    shown.set_postfix_str(f"accuracy {run.history[-1].test_accuracy:.2%}", False)
                shown.update(len(run.history) - shown.n)
        result = run.result()
        about = {
            "data": {
                "name": self.data.name,
                "identity": self._identities[split],
                "judged_by": split,
            },
            "machine": describe_machine(self.device),
        }
        self.folder.save_result(key, settings, result, about)
        return result

    def _tensors(self, split: str, pixels: str) -> tuple[Samples, Samples]:
        wanted = (split, pixels)
        if wanted not in self._samples:
            # One at a time: in float32 the full set takes 220 MB.
            data = self._splits[split]
            self._samples = {
                wanted: (data.train(pixels, self.device), data.test(pixels, self.device))
            }
        return self._samples[wanted]


def outcome(result: RunResult) -> str:
    """Return in words what a run came to."""
    last = result.last
    text = (
        f"accuracy {last.test_accuracy:.2%}, loss {last.test_loss:.4f} after epoch {last.epoch},"
        f" {1000 * result.seconds_per_iteration()['median']:.1f} ms an iteration"
    )
    if result.restarts:
        text += f", after {result.restarts} restarts"
    if result.diverged:
        text += f", diverged: {result.diverged}"
    elif result.stuck:
        text += ", stuck"
    return text
