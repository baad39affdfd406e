"""The SQGN paper's MNIST experiments: their settings, and the numbers it reports.

Thiele, Araya-Polo & Hohl (2021), section 6.1. Losses are cross-entropies of the test split,
accuracies shares of it, both after 100 epochs of 60 iterations and averaged over five repeats.
"""

from dataclasses import dataclass, field
from typing import Any

from seistomo.benchmarks.settings import RunSettings
from seistomo.errors import InputError

PAPER_EPOCHS = 100
LEARNING_RATES = (1.0, 1e-1, 1e-2, 1e-3)
"""From this set the paper took the best learning rate of the first-order methods."""
SQGN_OPTIONS = {
    "history": 20,
    "pair_interval": 1,
    "damping": 0.1,
    "full_gradient_interval": 10,
}
"""L, M, λ and K of the baseline experiment, section 6.1.1; |T| = |S|."""
SQGN_RATE = 0.1
SGN_RATE = 1.0
"""Gargiani et al. (2020), throughout."""
SVRG_OPTIONS = {"full_gradient_interval": 10}
SQGN_RESTARTS = 5
"""The paper restarted SQGN when it got stuck, and says nothing of the others."""


@dataclass(frozen=True)
class PaperRow:
    """A row of a table: what to run, and what the paper reports.

    Attributes
    ----------
    label
        What the row is called.
    optimizer, learning_rate, options, batch_size
        Settings of the run.
    loss, accuracy, seconds
        The paper's test loss, accuracy (0 to 1) and seconds an iteration; None where it gives
        none.
    epochs
        After how many epochs.
    tuned
        Whether the learning rate is the best of `LEARNING_RATES`, and so may be chosen anew.
    restarts
        How many times a stuck run may begin anew.
    """

    label: str
    optimizer: str
    learning_rate: float
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 1000
    loss: float | None = None
    accuracy: float | None = None
    seconds: float | None = None
    epochs: int = PAPER_EPOCHS
    tuned: bool = False
    restarts: int = 0

    def settings(self, epochs: int, pixels: str) -> RunSettings:
        """Return the settings of a run of so many epochs."""
        return RunSettings(
            self.optimizer,
            self.learning_rate,
            self.options,
            self.batch_size,
            epochs,
            pixels=pixels,
            restarts=self.restarts,
        )


def _sqgn(
    label: str,
    loss: float | None,
    accuracy: float,
    seconds: float | None = None,
    *,
    learning_rate: float = SQGN_RATE,
    batch_size: int = 1000,
    epochs: int = PAPER_EPOCHS,
    **options: Any,
) -> PaperRow:
    return PaperRow(
        label,
        "sqgn",
        learning_rate,
        SQGN_OPTIONS | options,
        batch_size,
        loss,
        accuracy,
        seconds,
        epochs,
        restarts=SQGN_RESTARTS,
    )


ADAM_BASELINE = PaperRow("Adam", "adam", 1e-2, {}, 1000, 0.088, 0.973, 0.007, tuned=True)
SQGN_BASELINE = _sqgn("SQGN", 0.082, 0.978, 0.057)

TABLES = {
    "1": (
        PaperRow("SGD", "sgd", 1e-2, {}, 1000, 0.141, 0.955, 0.007, tuned=True),
        PaperRow("SVRG", "svrg", 1e-2, SVRG_OPTIONS, 1000, 0.147, 0.953, 0.039, tuned=True),
        ADAM_BASELINE,
        _sqgn("SQGN, 25 epochs", None, 0.977, 0.057, epochs=25),
        SQGN_BASELINE,
    ),
    "2": (
        PaperRow("Adam, α = 0.1", "adam", 1e-1, {}, 1000, 2.303, 0.111),
        PaperRow("Adam, α = 0.01", "adam", 1e-2, {}, 1000, 0.088, 0.973),
        PaperRow("Adam, α = 0.001", "adam", 1e-3, {}, 1000, 0.099, 0.969),
        _sqgn("SQGN, α = 0.1", 0.082, 0.978),
        _sqgn("SQGN, α = 0.01", 0.074, 0.979, learning_rate=1e-2),
        _sqgn("SQGN, α = 0.001", 0.146, 0.955, learning_rate=1e-3),
    ),
    "3": (
        PaperRow("Adam, S = 1000", "adam", 1e-2, {}, 1000, 0.088, 0.973, 0.007, tuned=True),
        PaperRow("Adam, S = 100", "adam", 1e-2, {}, 100, 0.178, 0.945, 0.003, tuned=True),
        _sqgn("SQGN, S = T = 1000, M = 1", 0.082, 0.978, 0.057),
        _sqgn("SQGN, S = T = 1000, M = 10", 0.082, 0.976, 0.049, pair_interval=10),
        _sqgn("SQGN, S = 1000, T = 100, M = 1", 0.077, 0.977, 0.054, curvature_samples=100),
        _sqgn("SQGN, S = T = 100, M = 1", 0.079, 0.975, 0.047, batch_size=100),
    ),
    "ablation": (
        ADAM_BASELINE,
        SQGN_BASELINE,
        _sqgn("SQGN without variance reduction", None, 0.95, 0.026, full_gradient_interval="never"),
    ),
}
TITLES = {
    "1": "Table 1: the baseline experiment",
    "2": "Table 2: learning rates",
    "3": "Table 3: batch sizes and the interval of curvature pairs",
    "ablation": "Section 6.1.4: SQGN without variance reduction",
}


def paper_row(settings: RunSettings) -> PaperRow | None:
    """Return the paper's experiment with these settings after 100 epochs, if there is one."""
    wanted = (settings.optimizer, settings.learning_rate, settings.options, settings.batch_size)
    if settings.schedule != "constant":
        return None
    for row in (row for table in TABLES.values() for row in table):
        own = (row.optimizer, row.learning_rate, row.options, row.batch_size)
        if own == wanted and row.epochs == PAPER_EPOCHS:
            return row
    return None


def default_settings(optimizer: str, learning_rate: float | None) -> tuple[float, dict[str, Any]]:
    """Return learning rate and options of the paper's baseline experiment, or of SGN's paper.

    Raises
    ------
    InputError
        If the paper has no learning rate for the optimizer and none is given.
    """
    baseline = next((row for row in TABLES["1"] if row.optimizer == optimizer), None)
    if baseline is None and learning_rate is None:
        if optimizer != "sgn":
            raise InputError(f"--optimizer {optimizer}: needs a --learning-rate")
        learning_rate = SGN_RATE
    rate = baseline.learning_rate if learning_rate is None else learning_rate
    return rate, dict(baseline.options) if baseline else {}
