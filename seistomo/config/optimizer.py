"""``[optimizer]``: which optimizer, with which options."""

from typing import Any

from pydantic import Field

from seistomo.config.base import Section


class OptimizerConfig(Section):
    """An optimizer by registered name or import path."""

    name: str = Field(
        "adam",
        description="Registered name (adam, sgd, sgn, sqgn, svrg), or package.module.Class.",
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Learning rate (α); left out: the optimizer's own default."
    )
    options: dict[str, Any] = Field(
        {}, description="Further arguments of the optimizer's constructor."
    )
