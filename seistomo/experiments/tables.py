"""Numbers of several runs in words, and tables of them."""

import math
import statistics
from collections.abc import Sequence

NOTHING = "–"


def mean_deviation(values: Sequence[float], digits: int | None = None) -> str:
    """Return mean ± standard deviation (of the sample); without ``digits`` as they deserve."""
    if not values:
        return NOTHING
    if not all(map(math.isfinite, values)):
        return "not finite"
    mean, deviation = statistics.fmean(values), spread(values)
    digits = decimals(mean, deviation) if digits is None else digits
    text = f"{mean:.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {deviation:.{digits}f}"


def mean_change(changes: Sequence[float], digits: int | None = None) -> str:
    """Return the mean of changes with its sign ± its standard error."""
    if not changes:
        return NOTHING
    mean, error = statistics.fmean(changes), spread(changes) / math.sqrt(len(changes))
    digits = decimals(mean, error) if digits is None else digits
    return f"{mean:+.{digits}f}" + (f" ± {error:.{digits}f}" if error > 0 else "")


def median_range(values: Sequence[float], digits: int = 2) -> str:
    """Return the median and, in brackets, the lowest and highest."""
    if not values:
        return NOTHING
    middle = statistics.median(values)
    text = f"{middle:.{digits}f}" if math.isfinite(middle) else "never"
    if len(values) < 2:
        return text
    low, high = (
        f"{v:.{digits}f}" if math.isfinite(v) else "never" for v in (min(values), max(values))
    )
    return f"{text} ({low} to {high})"


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of the sample; 0 of a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def number(value: float | None, digits: int | None = None) -> str:
    """Return a number, or a dash for none."""
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:.{decimals(value) if digits is None else digits}f}"


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells, headings first, as a Markdown table of even columns."""
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    # The first column is text, the others are numbers.
    padded = [
        [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in cells
    ]
    rule = [
        ("-" * width) if place == 0 else ("-" * (width - 1) + ":")
        for place, width in enumerate(widths)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in [padded[0], rule, *padded[1:]])


def decimals(value: float, deviation: float = 0.0) -> int:
    """Return decimals that show two digits of the deviation, or three of the value."""
    size, shown = (deviation, 1) if deviation > 0 else (abs(value), 2)
    # A hair below a power of ten is one.
    return 0 if size <= 0 else min(6, max(0, shown - math.floor(math.log10(size) + 1e-9)))
