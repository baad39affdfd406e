"""The rows of the table: which optimizers, with which settings, and what the paper reports.

λ, in the paper's unit of the loss, (m/s)², means λ / (velocity.maximum − velocity.minimum)² to
an optimizer, which sees scaled velocity. Each row says which reading it takes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from seistomo.benchmarks.tomography.sizes import velocity_span
from seistomo.config import Config
from seistomo.config.optimizer import OptimizerConfig
from seistomo.errors import InputError
from seistomo.optim import OptimizerError, make_optimizer
from seistomo.optim.registry import optimizer_names

AT = "@"


@dataclass(frozen=True)
class PaperNumbers:
    """What Table 4 of Thiele et al. (2021) reports, means over five runs of 200 epochs.

    Attributes
    ----------
    loss
        Eq. 9 over the test split, (m/s)².
    ssim
        Mean structural similarity.
    seconds
        Seconds an iteration.
    """

    loss: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    name
        Name on the command line and of its files.
    label
        What the row is called.
    optimizer, learning_rate, options
        As for `seistomo.optim.make_optimizer`.
    damping
        λ in (m/s)², turned into the option ``damping`` in scaled units; None: left to the options.
    curvature_share
        |T| / |S|, turned into the option ``curvature_samples``; 1: all of the batch.
    paper
        What the paper reports, if it has the row.
    """

    name: str
    label: str
    optimizer: str
    learning_rate: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    damping: float | None = None
    curvature_share: float = 1.0
    paper: PaperNumbers | None = None

    @property
    def heading(self) -> str:
        """The row's label without its settings, for figures."""
        return self.label.partition(",")[0]

    def config(self, base: Config) -> Config:
        """Return the row's configuration: ``base`` with its optimizer.

        Raises
        ------
        InputError
            For an optimizer or option that cannot be.
        """
        options = dict(self.options)
        if self.damping is not None:
            options["damping"] = self.damping / velocity_span(base) ** 2
        if self.curvature_share < 1:
            samples = round(self.curvature_share * base.training.batch_size)
            options["curvature_samples"] = max(1, samples)
        try:
            make_optimizer(
                self.optimizer, [torch.zeros(1).requires_grad_()], self.learning_rate, options
            )
        except OptimizerError as error:
            raise InputError(f"--optimizers {self.name}: {error}") from None
        section = OptimizerConfig(
            name=self.optimizer, learning_rate=self.learning_rate, options=options
        )
        return base.model_copy(update={"optimizer": section})


# L, M and K of the paper's section 6.2; K is one epoch of 8 batches.
SQGN_OPTIONS = {"history": 20, "pair_interval": 1, "full_gradient_interval": "epoch"}
ONCE_AN_EPOCH = {"full_gradient_interval": "epoch"}
ROWS = (
    Row(
        "adam-1e-2",
        "Adam, α = 10⁻²",
        "adam",
        1e-2,
        paper=PaperNumbers(8.7e8, 0.75, 1.3),
    ),
    Row(
        "adam-1e-3",
        "Adam, α = 10⁻³",
        "adam",
        1e-3,
        paper=PaperNumbers(10.0e8, 0.73, 1.3),
    ),
    Row(
        "sqgn",
        "SQGN, λ = 0.1 (m/s)²",
        "sqgn",
        0.1,
        SQGN_OPTIONS,
        damping=0.1,
        paper=PaperNumbers(8.5e8, 0.68, 4.5),
    ),
    Row(
        "sqgn-t10",
        "SQGN, |T| = |S|/10, λ = 0.1 scaled",
        "sqgn",
        0.1,
        {**SQGN_OPTIONS, "damping": 0.1},
        curvature_share=0.1,
    ),
    Row(
        "sqgn-scaled",
        "SQGN, λ = 0.1 scaled",
        "sqgn",
        0.1,
        {**SQGN_OPTIONS, "damping": 0.1},
    ),
    Row(
        "sqgn-published",
        "SQGN, every step as published",
        "sqgn",
        0.1,
        {**SQGN_OPTIONS, "first_step": "code", "undo_above": 0},
        damping=0.1,
    ),
    Row("sgn", "SGN, 3 CG iterations", "sgn", 1.0, {"cg_iterations": 3}),
    Row("sgn-10", "SGN, 10 CG iterations", "sgn", 1.0, {"cg_iterations": 10}),
    Row("svrg", "SVRG, α = 10⁻³", "svrg", 1e-3, ONCE_AN_EPOCH),
    Row("sgd", "SGD, α = 10⁻³", "sgd", 1e-3),
)
DEFAULT = "adam-1e-2,adam-1e-3,sqgn,sqgn-t10,sgn"
_BY_NAME = {row.name: row for row in ROWS}


def rows_for(text: str) -> list[Row]:
    """Return the rows that a list names, in the table's order, others behind.

    Parameters
    ----------
    text
        Names with commas between them. A name is a row's; an optimizer's that is no row's
        (``adam``: all its rows); ``package.module.Class`` with that optimizer's own defaults; or
        one of them with another learning rate, ``sqgn@0.3``.

    Raises
    ------
    InputError
        For a name that leads nowhere.
    """
    found = [row for name in text.split(",") for row in _rows(name.strip())]
    unique = {row.name: row for row in found}
    listed = [row for row in ROWS if row.name in unique]
    return listed + [row for name, row in unique.items() if name not in _BY_NAME]


def _rows(name: str) -> list[Row]:
    start, at, rate = name.partition(AT)
    if at:
        return [_with_rate(start, rate)]
    if name in _BY_NAME:
        return [_BY_NAME[name]]
    own = [row for row in ROWS if row.optimizer == name]
    if not own and ("." in name or name in optimizer_names()):
        own = [Row(name, name.rpartition(".")[2], name)]
    if own:
        return own
    known = ", ".join([*_BY_NAME, "adam", "package.module.Class", "NAME@LEARNING_RATE"])
    raise InputError(f"--optimizers {name}: must be of {known}")


def _with_rate(name: str, text: str) -> Row:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise InputError(f"--optimizers {name}{AT}{text}: the learning rate must be positive")
    row = _rows(name)[0]
    label = f"{row.label.partition(', α')[0]}, α = {rate:g}"
    return replace(row, name=f"{name}{AT}{text}", label=label, learning_rate=rate, paper=None)
