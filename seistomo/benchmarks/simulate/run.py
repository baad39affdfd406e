"""The command ``benchmark simulate``: measure, and write page and numbers."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seistomo.benchmarks.machine import describe_machine, machine_line
from seistomo.benchmarks.simulate.bench import Bench
from seistomo.benchmarks.simulate.choices import all_choices, best_settings
from seistomo.benchmarks.simulate.throughput import measure_throughput
from seistomo.benchmarks.simulate.turns import Choice
from seistomo.config import load_config
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.progress import say
from seistomo.simulation import check_simulation

NOTE = """
Times are medians over the repeats (lowest to highest); ratios are taken within each repeat, in
which all variants take turns. A choice's own times are of the simulator alone, without drawing
and storing, unless its table says otherwise.
"""


@dataclass(frozen=True)
class SimulateOptions:
    """Options of the command ``benchmark simulate``.

    Attributes
    ----------
    out
        Folder that receives ``simulate-CONFIG.md`` and ``simulate-CONFIG.json``, and for the time
        being the data sets that are made: its disk is the one that counts.
    config
        Path of a TOML file, or the name of a preset.
    settings
        ``section.key=value`` strings.
    samples
        Models a run of the throughput; None: as many as take 18 s.
    repeats
        Turns of each variant.
    device
        auto, cpu, cuda or cuda:N.
    threads
        CPU threads; 0: as many as torch takes.
    overwrite
        Whether results that are there may be replaced.
    command
        What the user typed, for the page.
    """

    out: Path
    config: str = "tomography"
    settings: tuple[str, ...] = ()
    samples: int | None = None
    repeats: int = 3
    device: str = "auto"
    threads: int = 0
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        for name, least in (("repeats", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least {least}")
        if self.samples is not None and self.samples < 1:
            raise InputError(f"--samples {self.samples}: must be at least 1")

    @property
    def name(self) -> str:
        """What the results are called."""
        return f"simulate-{Path(self.config).stem}"


def run_simulate_benchmark(options: SimulateOptions) -> str:
    """Measure, write page and numbers, and return the page.

    Raises
    ------
    InputError
        For options that cannot be, a configuration that does not pass the checks, and if there
        are results already, unless ``overwrite``.
    """
    numbers = options.out / f"{options.name}.json"
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out {options.out}: is no folder")
    if numbers.exists() and not options.overwrite:
        raise InputError(f"--out {options.out}: holds {numbers.name} already; give --overwrite")
    config = load_config(options.config, options.settings)
    device = choose_device(options.device)
    checks = check_simulation(config)
    for line in checks:
        say(line)
    with _threads(options.threads), _scratch(options.out) as folder:
        machine = describe_machine(device)
        bench = Bench(config, options.device, options.repeats, folder)
        throughput = measure_throughput(bench, options.samples)
        choices = all_choices(bench, throughput.settings)
    best = best_settings(choices)
    page = (
        f"# Making data sets: {Path(options.config).stem}\n\n{checks[0]}\n\n## Throughput\n\n"
        f"{throughput.tables()}{_choice_tables(choices)}{NOTE}"
        f"Repeats: {options.repeats}; {machine_line(machine)}\n\n{best_line(best)}\n\n"
        f"`{options.command}`\n"
    )
    content = {
        "machine": machine,
        "command": options.command,
        "repeats": options.repeats,
        "config": config.model_dump(mode="json"),
        "throughput": throughput.record(),
        "choices": {name: choice.record() for name, choice in choices.items()},
        "best": best,
    }
    for path, text in (
        (numbers, json.dumps(content, indent=1) + "\n"),
        (options.out / f"{options.name}.md", page),
    ):
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return page


def best_line(best: dict[str, Any]) -> str:
    """Return the settings that the measurements speak for, as options of ``simulate``."""
    return "Best settings here: " + " ".join(f"--set {key}={best[key]}" for key in best)


def _choice_tables(choices: dict[str, Choice]) -> str:
    page = ""
    for choice in choices.values():
        note = f"\n{choice.note}\n" if choice.note else ""
        page += f"\n## {choice.title}\n\n{choice.table()}{note}"
    return page


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads inside a ``with`` block; 0: as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Give a folder on the disk of ``out`` that is removed afterwards."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="simulate-", dir=out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}") from None
    with folder:
        yield Path(folder.name)
