"""The folder that a benchmark writes: finished runs, runs in hand, and what is made of them."""

import fcntl
import json
import math
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from seistomo.benchmarks.history import EpochEntry, Milestone, RunResult
from seistomo.benchmarks.settings import RunSettings
from seistomo.errors import InputError
from seistomo.files import remove_quietly, written_whole

RUNS = "runs"
FORMAT, VERSION = "seistomo-benchmark-run", 1
# Settings under which more of the same is added to what is there.
GROWING = ("epochs", "repeats", "seeds", "trials")


class BenchmarkFolder:
    """A folder of runs, each in ``runs/KEY.json`` once finished and ``runs/KEY.pt`` before.

    Parameters
    ----------
    path
        The folder; made when first written to.

    Raises
    ------
    InputError
        If something else is there.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {path}: is no folder")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / RUNS).is_dir():
            raise InputError(f"--out {path}: exists and holds no benchmark; choose another name")

    def check_summary(self, name: str, settings: Mapping[str, Any], overwrite: bool) -> None:
        """Refuse to replace the summary of a command with other settings.

        Raises
        ------
        InputError
            Naming the first setting that differs, unless ``overwrite``.
        """
        path = self.path / f"{name}.json"
        if overwrite or not path.exists():
            return
        before = _read_json(path).get("settings", {})
        for key, value in json.loads(_to_json(settings)).items():
            if key not in GROWING and before.get(key) != value:
                raise InputError(
                    f"--out {self.path}: {path.name} was made with {key} = {before.get(key)!r}, not"
                    f" {value!r}; choose another folder, or --overwrite"
                )

    def result(self, key: str, settings: RunSettings) -> RunResult | None:
        """Return a finished run, cut to the epochs asked for; None if there is none."""
        path = self._result_path(key)
        if not path.is_file():
            return None
        content = _read_json(path)
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            raise InputError(f"{path}: is no run of this seistomo's benchmark; remove it")
        result = RunResult(
            tuple(EpochEntry(**_restored(entry)) for entry in content["history"]),
            content["restarts"],
            content["lost_seconds"],
            content["diverged"],
            tuple(Milestone(**_restored(seen)) for seen in content.get("milestones", ())),
        )
        if content["settings"]["epochs"] < settings.epochs and not content["ended_early"]:
            return None
        return result.first_epochs(settings.epochs)

    def save_result(
        self, key: str, settings: RunSettings, result: RunResult, about: Mapping[str, Any]
    ) -> None:
        """Write a finished run.

        Parameters
        ----------
        key, settings, result
            The run.
        about
            Data and machine.
        """
        content = {
            "format": FORMAT,
            "version": VERSION,
            "settings": asdict(settings),
            **about,
            "ended_early": result.last.epoch < settings.epochs,
            "stuck": result.stuck,
            "restarts": result.restarts,
            "lost_seconds": result.lost_seconds,
            "diverged": result.diverged,
            "seconds_per_iteration": result.seconds_per_iteration(),
            "history": [asdict(entry) for entry in result.history],
        }
        if result.milestones:
            content["milestones"] = [asdict(seen) for seen in result.milestones]
        self.write_json(f"{RUNS}/{key}", content)

    def state(self, key: str) -> dict[str, Any] | None:
        """Return the state of a run in hand (`MnistRun.state`); None if there is none.

        Nothing in the file is executed.
        """
        path = self._state_path(key)
        if not path.is_file():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
            raise InputError(f"{path}: damaged, cannot be read; remove it") from None

    def save_state(self, key: str, state: Mapping[str, Any]) -> None:
        """Write the state of a run in hand."""
        with written_whole(self._state_path(key)) as temporary:
            torch.save(dict(state), temporary)

    def forget(self, key: str) -> None:
        """Remove a run."""
        remove_quietly(self._result_path(key))
        remove_quietly(self._state_path(key))

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write ``NAME.json``; numbers that are not finite become null."""
        return self.write_text(f"{name}.json", _to_json(content))

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file, whole or not at all."""
        path = self.path / name
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return path

    @contextmanager
    def locked(self, key: str) -> Iterator[bool]:
        """Hold a run; gives False if another process does.

        The lock goes with the process and leaves an empty file.
        """
        path = self.path / RUNS / f".{key}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"--out {self.path}: cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
            remove_quietly(path)
        finally:
            os.close(handle)

    def _result_path(self, key: str) -> Path:
        return self.path / RUNS / f"{key}.json"

    def _state_path(self, key: str) -> Path:
        return self.path / RUNS / f"{key}.pt"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it") from None


def _to_json(content: Mapping[str, Any]) -> str:
    return json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return the value with numbers that JSON has no word for replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


def _restored(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in entry.items()}
