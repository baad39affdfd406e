"""Variants that take turns, so that whatever else the machine does hits all alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seistomo.benchmarks.tables import NOTHING, format_table
from seistomo.progress import bar


@dataclass(frozen=True)
class Variant:
    """Something to be timed.

    Attributes
    ----------
    label
        What it is called.
    models
        Models that one run makes.
    run
        Makes them and returns the seconds that it took.
    """

    label: str
    models: int
    run: Callable[[], float]


@dataclass
class Timing:
    """What a variant took.

    Attributes
    ----------
    label
        As in `Variant`.
    seconds
        Seconds a model, one number a repeat.
    facts
        What else is known of it, for further columns.
    """

    label: str
    seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Seconds a model: the median over the repeats."""
        return statistics.median(self.seconds)

    def ratios(self, reference: "Timing") -> list[float]:
        """Return the seconds in units of the reference's in the same repeat."""
        return [own / other for own, other in zip(self.seconds, reference.seconds, strict=True)]


def seconds_of(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def take_turns(
    variants: Sequence[Variant], repeats: int, description: str, warm_up: bool
) -> list[Timing]:
    """Time all variants in each repeat, in every other repeat the other way round.

    Parameters
    ----------
    variants
        What to time.
    repeats
        Turns of each.
    description
        What the progress bar says.
    warm_up
        Whether each takes one more turn before, which does not count.
    """
    timings = [Timing(variant.label) for variant in variants]
    pairs = list(zip(variants, timings, strict=True))
    total = len(variants) * (repeats + warm_up)
    with bar(total=total, description=description, unit="run", leave=False) as shown:
        for variant in variants if warm_up else ():
            variant.run()
            shown.update()
        for repeat in range(repeats):
            for variant, timing in pairs if repeat % 2 == 0 else reversed(pairs):
                timing.seconds.append(variant.run() / variant.models)
                shown.update()
    return timings


@dataclass(frozen=True)
class Choice:
    """Variants of one setting and what they cost.

    Attributes
    ----------
    name, title
        Its key among the numbers, and a heading.
    timings
        One a variant.
    reference
        Which of them the others' times are divided by.
    columns
        Facts that are shown, and how each is written.
    note
        What to say below the table.
    """

    name: str
    title: str
    timings: Sequence[Timing]
    reference: Timing
    columns: dict[str, Callable[[Any], str]]
    note: str = ""

    def table(self) -> str:
        """Return the variants as a Markdown table."""
        beside = f"/ {self.reference.label}"
        lines = [["", "s/model", beside, *self.columns]]
        for timing in self.timings:
            facts = (
                write(timing.facts[name]) if name in timing.facts else NOTHING
                for name, write in self.columns.items()
            )
            ratios = spread_of(timing.ratios(self.reference))
            lines.append([timing.label, f"{timing.median:.3g}", ratios, *facts])
        return format_table(lines)

    def record(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        rows = [
            {
                "label": timing.label,
                "seconds_a_model": timing.seconds,
                "ratios": timing.ratios(self.reference),
                **timing.facts,
            }
            for timing in self.timings
        ]
        return {"title": self.title, "reference": self.reference.label, "rows": rows}


def spread_of(values: Sequence[float], digits: int = 2) -> str:
    """Return the median of several values and, in brackets, the lowest and highest."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"
