"""``[velocity]``: the grid and the random earth models drawn on it."""

import difflib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from seistomo.config.base import Section
from seistomo.config.families import FAMILIES, GEOLOGICAL_FAMILIES, OPENFWI_FAMILIES
from seistomo.config.transit import slowest_transit

SALT_SHAPES = ("dome", "diapir", "teardrop", "sheet", "canopy")
LOWEST, HIGHEST = 1400.0, 6500.0
# Imported models may hold gas sands: 1028 m/s in Marmousi2.
LOWEST_IMPORTED = 1000.0


def _in_order(ends: tuple) -> tuple:
    if ends[0] > ends[1]:
        raise ValueError("must be a range [low, high] with low not above high")
    return ends


def _range(kind: type, **limits: float) -> Any:
    """Type of a range [low, high] whose ends keep to ``limits``."""
    end = Annotated[
        kind, Field(allow_inf_nan=False, **limits) if kind is float else Field(**limits)
    ]
    return Annotated[tuple[end, end], AfterValidator(_in_order)]


def _weights(value: Any) -> Any:
    """Give a name, or each of a list of names, the weight 1."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return dict.fromkeys(names, 1.0)
    return value


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Speed = Annotated[float, Field(ge=LOWEST, le=HIGHEST)]

FractionRange = _range(float, ge=0, le=1)
LengthRange = _range(float, ge=0, le=1e6)
PositiveLengthRange = _range(float, gt=0, le=1e6)
SpeedRange = _range(float, ge=LOWEST, le=HIGHEST)


class VelocityConfig(Section):
    """Random velocity models: P-wave speed in m/s on a regular grid [depth, x].

    Ranges are ``[low, high]``, both ends included; each model draws its own value.
    """

    shape: tuple[Annotated[int, Field(ge=11)], Annotated[int, Field(ge=11)]] = Field(
        (100, 100), description="Number of grid nodes [depth, x]."
    )
    spacing: float = Field(15.0, gt=0, le=1e4, description="Distance between nodes, m, both ways.")
    minimum: float = Field(
        1450.0,
        ge=LOWEST_IMPORTED,
        description="Lowest speed a model may hold, m/s; also the SSIM range.",
    )
    maximum: float = Field(
        4650.0, le=HIGHEST, description="Highest speed a model may hold, m/s; also the SSIM range."
    )
    imported: str | None = Field(
        None,
        description="Identity of the velocity file that the models came from; set by --velocity.",
    )
    families: Annotated[dict[str, Weight], BeforeValidator(_weights)] = Field(
        {"layers": 1.0, "folds": 1.0, "faults": 1.0, "salt": 2.0, "mixture": 1.0},
        description="Relative frequency of each family, 0 where left out; a name or a list of names"
        f" stands for equal frequencies. Names: {', '.join(FAMILIES)}.",
    )

    water_probability: Fraction = Field(
        0.5, description="Share of models under water; the others begin at the land surface."
    )
    water_depth: _range(float, ge=0, le=0.9) = Field(
        (0.02, 0.30), description="Mean water depth, as a fraction of the model's depth."
    )
    water_velocity: SpeedRange = Field((1480.0, 1530.0), description="Speed of water, m/s.")
    sea_floor_relief: LengthRange = Field(
        (0.0, 40.0),
        description="Greatest height of the sea floor above or below its mean, m; at most half the"
        " water depth.",
    )

    layers: _range(int, ge=1, le=100) = Field(
        (5, 12),
        description="Number of layers between the sea floor and the model's bottom, before"
        " deformation; layer_thickness wins where both cannot hold.",
    )
    layer_thickness: _range(float, ge=1, le=1e5) = Field(
        (50.0, 300.0), description="Mean thickness of a layer, m."
    )
    layer_waviness: _range(float, ge=0, le=0.8) = Field(
        (0.05, 0.4), description="Lateral change of a layer's thickness, as a fraction of it."
    )
    layer_wavelength: PositiveLengthRange = Field(
        (500.0, 3000.0), description="Wavelengths at which thickness changes, m."
    )
    layer_dip: _range(float, ge=0, le=30) = Field(
        (0.0, 6.0),
        description="Regional dip at the model's bottom, degrees, to either side; it grows from"
        " none at the sea floor.",
    )
    layer_speeds: Literal["trend", "rising"] = Field(
        "trend",
        description="Speeds of the layers: trend (surface_velocity, velocity_gradient,"
        " velocity_jitter, layer_gradient), or rising: constant in each layer, drawn uniformly from"
        " the lowest surface_velocity to velocity_cap and sorted, faster with every layer down.",
    )
    surface_velocity: SpeedRange = Field(
        (1600.0, 2000.0), description="Trend of sediment speed at the sea floor (v0), m/s."
    )
    velocity_gradient: _range(float, ge=0, le=10) = Field(
        (0.4, 1.2), description="Growth of the trend with depth below the sea floor (k), 1/s."
    )
    velocity_jitter: _range(float, ge=0, le=2000) = Field(
        (100.0, 400.0),
        description="Greatest departure of a layer from the trend (drawn once a model), m/s.",
    )
    layer_gradient: FractionRange = Field(
        (0.0, 1.0),
        description="Gradient inside a layer, as a fraction of the trend's; 0: constant layers.",
    )
    velocity_cap: Speed = Field(4000.0, description="Highest speed of sediment, m/s.")

    folds: _range(int, ge=0, le=12) = Field(
        (1, 4), description="Number of folds (sinusoids and Gaussians)."
    )
    fold_amplitude: LengthRange = Field(
        (30.0, 150.0), description="Greatest vertical displacement of all folds together, m."
    )
    fold_wavelength: PositiveLengthRange = Field(
        (500.0, 2000.0),
        description="Wavelength of a fold (six standard deviations of a Gaussian), m.",
    )
    unconformity_probability: Fraction = Field(
        0.3,
        description="Share of folds and mixture models with older, tilted and eroded beds below"
        " an unconformity.",
    )

    faults: _range(int, ge=0, le=12) = Field(
        (0, 4), description="Number of faults; the faults family has at least one."
    )
    fault_dip: _range(float, ge=20, le=85) = Field(
        (50.0, 80.0), description="Dip of faults (of listric ones at the surface), degrees."
    )
    fault_throw: PositiveLengthRange = Field(
        (30.0, 250.0), description="Vertical displacement across a fault where fully grown, m."
    )
    reverse_probability: Fraction = Field(
        0.3, description="Share of faulted models in compression: all their faults are reverse."
    )
    listric_probability: Fraction = Field(
        0.4, description="Share of faults that flatten with depth and roll the hanging wall over."
    )
    growth_probability: Fraction = Field(
        0.6,
        description="Share of faults whose throw grows from none at a buried tip; the others cut"
        " to the surface.",
    )

    salt_free_probability: Fraction = Field(
        0.05, description="Share of the salt family without salt."
    )
    salt_in_mixture: Fraction = Field(0.5, description="Share of the mixture family with salt.")
    salt_shapes: dict[str, Weight] = Field(
        {"dome": 1.0, "diapir": 1.5, "teardrop": 0.75, "sheet": 1.0, "canopy": 0.75},
        description="Relative frequency of each salt body, 0 where left out; names:"
        f" {', '.join(SALT_SHAPES)}.",
    )
    salt_bodies: _range(int, ge=1, le=2) = Field(
        (1, 2), description="Number of salt bodies (a canopy stands alone)."
    )
    salt_velocity: SpeedRange = Field((4450.0, 4600.0), description="Speed of salt, m/s.")
    salt_area: _range(float, gt=0, le=0.5) = Field(
        (0.04, 0.20), description="Area of salt, as a fraction of the model's."
    )
    salt_cover: LengthRange = Field(
        (60.0, 500.0),
        description="Depth below the sea floor that salt may rise to, but for its bumps, m; at most"
        " half of the sediments' depth. Small bodies stay deeper.",
    )
    salt_rugosity: LengthRange = Field(
        (10.0, 60.0),
        description="Greatest height of bumps on the tops of salt, m; less on flanks and bases.",
    )
    salt_drag: LengthRange = Field(
        (100.0, 320.0), description="Upturn of the beds against the flanks of salt, m."
    )
    salt_drag_width: PositiveLengthRange = Field(
        (70.0, 260.0), description="Distance from salt over which the upturn dies away, m."
    )

    openfwi_velocity: SpeedRange = Field(
        (1500.0, 4500.0),
        description="Speeds of the families named after OpenFWI's, m/s; those of their layers are"
        " drawn uniformly.",
    )
    openfwi_layers: _range(int, ge=2, le=50) = Field(
        (3, 8), description="Number of layers of flatvel and curvevel models."
    )
    openfwi_fault_layers_a: _range(int, ge=2, le=50) = Field(
        (2, 4), description="Number of layers of flatfault_a and curvefault_a models."
    )
    openfwi_fault_layers_b: _range(int, ge=2, le=50) = Field(
        (6, 8), description="Number of layers of flatfault_b and curvefault_b models."
    )
    openfwi_relief: PositiveLengthRange = Field(
        (80.0, 370.0),
        description="Height from trough to crest of the curved horizons of curvevel and curvefault"
        " models, m.",
    )
    openfwi_wavelength: PositiveLengthRange = Field(
        (150.0, 750.0), description="Wavelengths of curved horizons, m."
    )
    openfwi_faults_a: _range(int, ge=1, le=12) = Field(
        (1, 1),
        description="Number of faults of flatfault_a and curvefault_a models; fault_dip and"
        " reverse_probability hold for them too.",
    )
    openfwi_faults_b: _range(int, ge=1, le=12) = Field(
        (1, 3), description="Number of faults of flatfault_b and curvefault_b models."
    )
    openfwi_throw_a: PositiveLengthRange = Field(
        (30.0, 100.0),
        description="Vertical displacement across the faults of flatfault_a and curvefault_a"
        " models, m.",
    )
    openfwi_throw_b: PositiveLengthRange = Field(
        (60.0, 250.0),
        description="Vertical displacement across the faults of flatfault_b and curvefault_b"
        " models, m.",
    )
    openfwi_style_contrast: _range(float, ge=0, le=10) = Field(
        (0.5, 0.9),
        description="Change of speed between the structures of a style model, over the rise of"
        " speed with depth.",
    )
    openfwi_smoothing_a: LengthRange = Field(
        (20.0, 45.0),
        description="Standard deviation of the smoothing of style_a models, m; at most a tenth of"
        " the model's smaller side.",
    )
    openfwi_smoothing_b: LengthRange = Field(
        (4.0, 10.0), description="The same of style_b models, m."
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "VelocityConfig":
        if not self.minimum < self.maximum:
            raise ValueError(
                f"velocity.minimum = {self.minimum:g}: must be below velocity.maximum"
                f" = {self.maximum:g}"
            )
        return self

    @model_validator(mode="after")
    def _names_known(self) -> "VelocityConfig":
        _check_weights("velocity.families", self.families, FAMILIES, "family")
        _check_weights("velocity.salt_shapes", self.salt_shapes, SALT_SHAPES, "salt shape")
        return self

    @model_validator(mode="after")
    def _speeds_within_bounds(self) -> "VelocityConfig":
        speeds = {}
        if self.draws(*GEOLOGICAL_FAMILIES):
            speeds["surface_velocity"] = self.surface_velocity
            if self.water_probability > 0:
                speeds["water_velocity"] = self.water_velocity
        if self.draws_salt:
            speeds["salt_velocity"] = self.salt_velocity
        if self.draws(*OPENFWI_FAMILIES):
            speeds["openfwi_velocity"] = self.openfwi_velocity
        for name, (low, high) in speeds.items():
            if low < self.minimum or high > self.maximum:
                raise ValueError(
                    f"velocity.{name} = [{low:g}, {high:g}]: must lie within velocity.minimum and"
                    f" velocity.maximum, {self.minimum:g} to {self.maximum:g} m/s"
                )
        return self

    @model_validator(mode="after")
    def _speeds_in_order(self) -> "VelocityConfig":
        geological = self.draws(*GEOLOGICAL_FAMILIES)
        if geological and self.velocity_cap < self.surface_velocity[1]:
            raise ValueError(
                f"velocity.velocity_cap = {self.velocity_cap:g}: must be at least the highest"
                f" velocity.surface_velocity, {self.surface_velocity[1]:g} m/s"
            )
        if self.draws_salt and self.velocity_cap >= self.salt_velocity[0]:
            raise ValueError(
                f"velocity.velocity_cap = {self.velocity_cap:g}: must be below"
                f" velocity.salt_velocity, {self.salt_velocity[0]:g} m/s"
            )
        return self

    def draws(self, *families: str) -> bool:
        """Whether any of these families may be drawn; imported models are not."""
        return self.imported is None and any(self.families.get(name, 0) > 0 for name in families)

    @property
    def draws_salt(self) -> bool:
        """Whether any model drawn may hold salt."""
        alone = self.draws("salt") and self.salt_free_probability < 1
        mixed = self.draws("mixture") and self.salt_in_mixture > 0
        return alone or mixed

    @property
    def slowest_transit(self) -> float:
        """Time straight down to the deepest node in the slowest model that can be drawn, s."""
        return slowest_transit(self)

    @property
    def depth_extent(self) -> float:
        """Depth of the deepest node, m."""
        return (self.shape[0] - 1) * self.spacing

    @property
    def x_extent(self) -> float:
        """Position of the last node in x, m."""
        return (self.shape[1] - 1) * self.spacing


def _check_weights(key: str, weights: dict[str, float], known: tuple[str, ...], kind: str) -> None:
    for name in weights:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise ValueError(f"{key} = {weights}: unknown {kind} {name}; {hint}")
    if not any(weights.values()):
        raise ValueError(f"{key} = {weights}: give at least one {kind} a weight above 0")
