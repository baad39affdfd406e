"""``[velocity]``: the grid and the random earth models drawn on it."""

from typing import Annotated

from pydantic import Field, model_validator

from seistomo.config.base import Section

FAMILIES = ("layers", "folds", "faults", "salt", "mixture")
LOWEST, HIGHEST = 1400.0, 6500.0

Fraction = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]
CountRange = tuple[int, int]


class VelocityConfig(Section):
    """Random velocity models: P-wave speed in m/s on a regular grid [depth, x]."""

    shape: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        (100, 100), description="Number of grid nodes [depth, x]."
    )
    spacing: float = Field(15.0, gt=0, description="Distance between nodes, m, both ways.")
    minimum: float = Field(
        1450.0, ge=LOWEST, description="Lowest speed a model may hold, m/s; also the SSIM range."
    )
    maximum: float = Field(
        4650.0, le=HIGHEST, description="Highest speed a model may hold, m/s; also the SSIM range."
    )
    families: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {"layers": 1.0, "folds": 1.0, "faults": 1.0, "salt": 2.0, "mixture": 1.0},
        description=f"Relative frequency of each family; names: {', '.join(FAMILIES)}.",
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "VelocityConfig":
        if not self.minimum < self.maximum:
            raise ValueError(
                f"velocity.minimum = {self.minimum:g}: must be below velocity.maximum"
                f" = {self.maximum:g}"
            )
        return self

    @property
    def depth_extent(self) -> float:
        """Depth of the deepest node, m."""
        return (self.shape[0] - 1) * self.spacing

    @property
    def x_extent(self) -> float:
        """Position of the last node in x, m."""
        return (self.shape[1] - 1) * self.spacing
