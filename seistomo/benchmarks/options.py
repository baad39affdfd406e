"""What the benchmark commands share, and how their options are read."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seistomo.benchmarks.mnist_data import PIXELS, load_mnist
from seistomo.benchmarks.runner import Runner
from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.errors import InputError


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of every benchmark command.

    Attributes
    ----------
    out
        Folder of the results; runs in it are used again.
    data
        Source of MNIST, as for `load_mnist`.
    epochs, repeats
        Length of a run in epochs, and how many runs with seeds from ``seed`` on.
    seed
        Seed of the first repeat.
    pixels
        ``raw`` or ``unit``.
    device, threads
        Where to run; see `Runner`.
    overwrite
        Whether runs that are there are made anew.
    command
        The command line, for the record.
    """

    out: Path
    data: str | None = None
    epochs: int = 100
    repeats: int = 5
    seed: int = 0
    pixels: str = "raw"
    device: str = "auto"
    threads: int = 0
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        for name in ("epochs", "repeats"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least 1")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} {getattr(self, name)}: must not be negative")
        if self.pixels not in PIXELS:
            raise InputError(f"--pixels {self.pixels}: must be one of {', '.join(PIXELS)}")

    def seeds(self) -> range:
        """Return the repeats' seeds."""
        return range(self.seed, self.seed + self.repeats)

    def runner(self, name: str, settings: Mapping[str, Any]) -> Runner:
        """Open the folder for results under ``name`` and load the data.

        Raises
        ------
        InputError
            If there are results of that name with other settings.
        """
        folder = BenchmarkFolder(self.out)
        data = load_mnist(self.data)
        folder.check_summary(name, {**settings, "data": data.identity}, self.overwrite)
        return Runner(folder, data, self.device, self.threads, self.overwrite)


def parse_options(assignments: Iterable[str]) -> dict[str, Any]:
    """Return an optimizer's options from ``key=value`` strings, the values read as TOML.

    Raises
    ------
    InputError
        For a string without a key or an equals sign.
    """
    options = {}
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not key or not equals:
            raise InputError(f"--set {assignment}: must look like option=value, history=20 say")
        options[key] = _value(text)
    return options


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
