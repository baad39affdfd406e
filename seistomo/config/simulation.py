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
    free_surface: bool = Field(
        False,
        description="The models' top reflects as the sea's or land's surface does (no pressure);"
        " else it absorbs. Sources and receivers must then be a cell of the modelling grid deep.",
    )
    density: Literal["constant", "gardner"] = Field(
        "constant",
        description="Density of the models: constant, or by Gardner's relation from the speed"
        " (acoustic equation of variable density).",
    )
    water_speed: float = Field(
        1540.0,
        gt=0,
        allow_inf_nan=False,
        description='What is slower is water, m/s (density = "gardner").',
    )
    water_density: float = Field(
        1025.0,
        gt=0,
        allow_inf_nan=False,
        description='Density of water, kg/m³ (density = "gardner").',
    )
    salt_density: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Density of what is faster than evaluation.salt_threshold, kg/m³"
        ' (density = "gardner"; rock salt: 2160); left out: by Gardner\'s relation.',
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
