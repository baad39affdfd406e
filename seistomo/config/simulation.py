"""``[simulation]``: how the wave equation is solved."""

from typing import Literal

from pydantic import Field

from seistomo.config.base import Section


class SimulationConfig(Section):
    """Finite-difference modelling."""

    accuracy: Literal[2, 4, 6, 8] = Field(
        4, description="Order of the finite differences in space."
    )
    grid_spacing: float | None = Field(
        None,
        gt=0,
        description="Spacing of the modelling grid, m; left out: the spacing of the models.",
    )
    pml_width: int = Field(10, ge=4, description="Width of the absorbing edges, cells.")
    models_per_call: int = Field(
        4, ge=1, description="Models whose shots are propagated together (memory against speed)."
    )
    noise_snr: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Signal-to-noise ratio of added white noise, dB; left out: no noise.",
    )
