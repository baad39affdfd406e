"""What gradients and Gauss-Newton products reach of the speed of plain matrix products.

Matrix products take turns with the optimizers, on the same threads: a share of them says more
than operations a second, which differ from one machine to the next, and on a shared one from
minute to minute.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from seistomo.benchmarks.operations import Operations
from seistomo.benchmarks.timed_objective import StopWatch

# Rows of the square matrices: large enough for the full speed, and done in a tenth of a second.
MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}
# Products a turn: the first also waits for memory that others have used.
PRODUCTS_A_TURN = 3
GIGA = 1e9


class MatrixProducts:
    """Square matrix products that take their turn.

    Parameters
    ----------
    device
        Where.
    dtype
        Type of the factors.

    Attributes
    ----------
    size
        Rows of the matrices.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32):
        self.size = MATRIX_SIZE[device.type]
        shape = (self.size, self.size)
        generator = torch.Generator().manual_seed(0)
        self._factors = [
            torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2)
        ]
        self._result = torch.empty(shape, dtype=dtype, device=device)
        self._watch = StopWatch(device)
        self.reset()
        self.turn()
        self.reset()

    def reset(self) -> None:
        """Forget the turns so far."""
        self._seconds, self._products = 0.0, 0

    def turn(self) -> None:
        """Multiply a few times."""
        started = self._watch.now()
        for _ in range(PRODUCTS_A_TURN):
            torch.mm(*self._factors, out=self._result)
        self._seconds += self._watch.now() - started
        self._products += PRODUCTS_A_TURN

    def rate(self) -> float:
        """Return GFLOP/s over all turns since the last reset."""
        return 2 * self.size**3 * self._products / self._seconds / GIGA


@dataclass(frozen=True)
class ReachedSpeed:
    """Speeds in GFLOP/s, one number a repeat.

    Attributes
    ----------
    operations
        Operations of one sample.
    matrix_size
        Rows of the matrices that were multiplied.
    matrix
        Of matrix products.
    gradient
        Of Adam's gradients.
    product
        Of SQGN's Gauss–Newton products on whole batches; empty where it was not timed.
    """

    operations: Operations
    matrix_size: int
    matrix: list[float]
    gradient: list[float]
    product: list[float]

    def record(self) -> dict[str, object]:
        """Return the numbers for JSON."""
        return {
            "gflop_a_sample": {
                "forward": self.operations.forward / GIGA,
                "gradient": self.operations.gradient / GIGA,
                "product": self.operations.product / GIGA,
            },
            "gflop_per_second": {
                "matrix": self.matrix,
                "gradient": self.gradient,
                "product": self.product,
            },
            "matrix_size": self.matrix_size,
        }

    def __str__(self) -> str:
        """Return a paragraph of Markdown."""
        lines = [
            f"Of a sample a gradient takes {_gflop(self.operations.gradient)} GFLOP by count of the"
            f" layers, a Gauss–Newton product {_gflop(self.operations.product)}. GFLOP/s reached,"
            f" median (lowest to highest): matrix products of {self.matrix_size:,} rows that took"
            f" turns {_spread(self.matrix)}; gradients {self._reached(self.gradient)}"
        ]
        if self.product:
            lines.append(f"; Gauss–Newton products {self._reached(self.product)}")
        return "".join([*lines, "."])

    def _reached(self, rates: Sequence[float]) -> str:
        shares = [rate / matrix for rate, matrix in zip(rates, self.matrix, strict=True)]
        return f"{_spread(rates)}, {statistics.median(shares):.0%} of matrix products'"


def _gflop(operations: int) -> str:
    return f"{operations / GIGA:.3g}"


def _spread(rates: Sequence[float]) -> str:
    low, middle, high = min(rates), statistics.median(rates), max(rates)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"
