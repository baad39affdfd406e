"""``[velocity]``: the grid and the random earth models drawn on it."""

import difflib
import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from seistomo.config.section import Needs, Section, range_of, setting

GEOLOGICAL_FAMILIES = ("layers", "folds", "faults", "salt", "mixture")
# Named after those of Deng et al. (2022): flat or curved layers, with or without faults, and
# structures with the look of images, each at the difficulties a and b.
OPENFWI_FAMILIES = tuple(
    f"{kind}_{difficulty}"
    for kind in ("flatvel", "curvevel", "flatfault", "curvefault", "style")
    for difficulty in "ab"
)
FAMILIES = GEOLOGICAL_FAMILIES + OPENFWI_FAMILIES
SALT_SHAPES = ("dome", "diapir", "teardrop", "sheet", "canopy")
LOWEST, HIGHEST = 1400.0, 6500.0
# Imported models may hold gas sands: 1028 m/s in Marmousi2.
LOWEST_IMPORTED = 1000.0


def _weights(value: Any) -> Any:
    """Give a name, or each of a list of names, the weight 1."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return dict.fromkeys(names, 1.0)
    return value


Nodes = Annotated[int, Field(ge=11, le=100_000)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Speed = Annotated[float, Field(ge=LOWEST, le=HIGHEST)]
FractionRange = range_of(float, ge=0, le=1)
LengthRange = range_of(float, ge=0, le=1e6)
PositiveLengthRange = range_of(float, gt=0, le=1e6)
SpeedRange = range_of(float, ge=LOWEST, le=HIGHEST)


def _drawn(*families: str) -> Needs:
    words = f"{' or '.join(families)} in velocity.families"
    return Needs(lambda velocity: velocity.draws(*families), words)


_DEPOSITED = _drawn(*GEOLOGICAL_FAMILIES)
_UNDER_WATER = Needs(
    lambda velocity: _DEPOSITED.holds(velocity) and velocity.water_probability > 0,
    "velocity.water_probability above 0 and a family that may lie under water",
)
_TREND = Needs(
    lambda velocity: _DEPOSITED.holds(velocity) and velocity.layer_speeds == "trend",
    'velocity.layer_speeds = "trend" and a family of layers that follow it',
)
_FOLDABLE = _drawn("folds", "faults", "salt", "mixture")
_FOLDED = Needs(
    lambda velocity: _FOLDABLE.holds(velocity) and velocity.folds[1] > 0,
    f"velocity.folds above 0 and {_FOLDABLE.words}",
)
_FAULTED = Needs(
    lambda velocity: (
        velocity.draws("faults") or (velocity.draws("mixture") and velocity.faults[1] > 0)
    ),
    "faults in velocity.families, or mixture with velocity.faults above 0",
)
_FAULTED_BLOCKS = tuple(name for name in OPENFWI_FAMILIES if "fault" in name)
_CURVED = _drawn(*(name for name in OPENFWI_FAMILIES if name.startswith("curve")))
_SALT = Needs(
    lambda velocity: velocity.draws_salt, "models with salt: salt or mixture in velocity.families"
)


class VelocityConfig(Section):
    """Random velocity models: P-wave speed in m/s on a regular grid [depth, x].

    Ranges are ``[low, high]``, both ends included; each model draws its own value.
    """

    shape: tuple[Nodes, Nodes] = setting((100, 100), "Number of grid nodes [depth, x] (nz, nx).")
    spacing: float = setting(15.0, "Distance between nodes (dx, dz), m, both ways.", gt=0, le=1e4)
    minimum: float = setting(
        1450.0,
        "Lowest speed (vmin) a model may hold, m/s; also the SSIM range.",
        ge=LOWEST_IMPORTED,
    )
    maximum: float = setting(
        4650.0, "Highest speed (vmax) a model may hold, m/s; also the SSIM range.", le=HIGHEST
    )
    imported: str | None = setting(
        None, "Identity of the velocity file that the models came from; set by --velocity."
    )
    families: Annotated[dict[str, Weight], BeforeValidator(_weights)] = setting(
        {"layers": 1.0, "folds": 1.0, "faults": 1.0, "salt": 2.0, "mixture": 1.0},
        "Relative frequency of each family, 0 where left out; a name or a list of names"
        f" stands for equal frequencies. Names: {', '.join(FAMILIES)}.",
        needs=Needs(
            lambda velocity: velocity.imported is None, "models that are drawn, not imported"
        ),
    )

    water_probability: Fraction = setting(
        0.5, "Share of models under water; the others begin at the land surface.", needs=_DEPOSITED
    )
    water_depth: range_of(float, ge=0, le=0.9) = setting(
        (0.02, 0.30), "Mean water depth, as a fraction of the model's depth.", needs=_UNDER_WATER
    )
    water_velocity: SpeedRange = setting((1480.0, 1530.0), "Speed of water, m/s.", needs=_DEPOSITED)
    sea_floor_relief: LengthRange = setting(
        (0.0, 40.0),
        "Greatest height of the sea floor above or below its mean, m; at most half the water"
        " depth.",
        needs=_UNDER_WATER,
    )

    layers: range_of(int, ge=1, le=100) = setting(
        (5, 12),
        "Number of layers between the sea floor and the model's bottom, before deformation;"
        " layer_thickness wins where both cannot hold.",
        needs=_DEPOSITED,
    )
    layer_thickness: range_of(float, ge=1, le=1e5) = setting(
        (50.0, 300.0), "Mean thickness of a layer, m.", needs=_DEPOSITED
    )
    layer_waviness: range_of(float, ge=0, le=0.8) = setting(
        (0.05, 0.4), "Lateral change of a layer's thickness, as a fraction of it.", needs=_DEPOSITED
    )
    layer_wavelength: PositiveLengthRange = setting(
        (500.0, 3000.0), "Wavelengths at which thickness changes, m.", needs=_DEPOSITED
    )
    layer_dip: range_of(float, ge=0, le=30) = setting(
        (0.0, 6.0),
        "Regional dip at the model's bottom, degrees, to either side; it grows from none at the"
        " sea floor.",
        needs=_DEPOSITED,
    )
    layer_speeds: Literal["trend", "rising"] = setting(
        "trend",
        "Speeds of the layers: trend (surface_velocity, velocity_gradient, velocity_jitter,"
        " layer_gradient), or rising: constant in each layer, drawn uniformly from the lowest"
        " surface_velocity to velocity_cap and sorted, faster with every layer down.",
        needs=_DEPOSITED,
    )
    surface_velocity: SpeedRange = setting(
        (1600.0, 2000.0), "Trend of sediment speed at the sea floor (v0), m/s.", needs=_DEPOSITED
    )
    velocity_gradient: range_of(float, ge=0, le=10) = setting(
        (0.4, 1.2), "Growth of the trend with depth below the sea floor (k), 1/s.", needs=_TREND
    )
    velocity_jitter: range_of(float, ge=0, le=2000) = setting(
        (100.0, 400.0),
        "Greatest departure of a layer from the trend (drawn once a model), m/s.",
        needs=_TREND,
    )
    layer_gradient: FractionRange = setting(
        (0.0, 1.0),
        "Gradient inside a layer, as a fraction of the trend's; 0: constant layers.",
        needs=_TREND,
    )
    velocity_cap: Speed = setting(4000.0, "Highest speed of sediment, m/s.", needs=_DEPOSITED)

    folds: range_of(int, ge=0, le=12) = setting(
        (1, 4), "Number of folds (sinusoids and Gaussians).", needs=_FOLDABLE
    )
    fold_amplitude: LengthRange = setting(
        (30.0, 150.0), "Greatest vertical displacement of all folds together, m.", needs=_FOLDED
    )
    fold_wavelength: PositiveLengthRange = setting(
        (500.0, 2000.0),
        "Wavelength of a fold (six standard deviations of a Gaussian), m.",
        needs=_FOLDED,
    )
    unconformity_probability: Fraction = setting(
        0.3,
        "Share of folds and mixture models with older, tilted and eroded beds below an"
        " unconformity.",
        needs=_drawn("folds", "mixture"),
    )

    faults: range_of(int, ge=0, le=12) = setting(
        (0, 4),
        "Number of faults; the faults family has at least one.",
        needs=_drawn("faults", "mixture"),
    )
    fault_dip: range_of(float, ge=20, le=85) = setting(
        (50.0, 80.0),
        "Dip of faults (of listric ones at the surface), degrees.",
        needs=_drawn("faults", "mixture", *_FAULTED_BLOCKS),
    )
    fault_throw: PositiveLengthRange = setting(
        (30.0, 250.0), "Vertical displacement across a fault where fully grown, m.", needs=_FAULTED
    )
    reverse_probability: Fraction = setting(
        0.3,
        "Share of faulted models in compression: all their faults are reverse.",
        needs=_drawn("faults", "mixture", *_FAULTED_BLOCKS),
    )
    listric_probability: Fraction = setting(
        0.4,
        "Share of faults that flatten with depth and roll the hanging wall over.",
        needs=_FAULTED,
    )
    growth_probability: Fraction = setting(
        0.6,
        "Share of faults whose throw grows from none at a buried tip; the others cut to the"
        " surface.",
        needs=_FAULTED,
    )

    salt_free_probability: Fraction = setting(
        0.05, "Share of the salt family without salt.", needs=_drawn("salt")
    )
    salt_in_mixture: Fraction = setting(
        0.5, "Share of the mixture family with salt.", needs=_drawn("mixture")
    )
    salt_shapes: dict[str, Weight] = setting(
        {"dome": 1.0, "diapir": 1.5, "teardrop": 0.75, "sheet": 1.0, "canopy": 0.75},
        f"Relative frequency of each salt body, 0 where left out; names: {', '.join(SALT_SHAPES)}.",
        needs=_SALT,
    )
    salt_bodies: range_of(int, ge=1, le=2) = setting(
        (1, 2), "Number of salt bodies (a canopy stands alone).", needs=_SALT
    )
    salt_velocity: SpeedRange = setting((4450.0, 4600.0), "Speed of salt, m/s.", needs=_SALT)
    salt_area: range_of(float, gt=0, le=0.5) = setting(
        (0.04, 0.20), "Area of salt, as a fraction of the model's.", needs=_SALT
    )
    salt_cover: LengthRange = setting(
        (60.0, 500.0),
        "Depth below the sea floor that salt may rise to, but for its bumps, m; at most half of"
        " the sediments' depth. Small bodies stay deeper.",
        needs=_SALT,
    )
    salt_rugosity: LengthRange = setting(
        (10.0, 60.0),
        "Greatest height of bumps on the tops of salt, m; less on flanks and bases.",
        needs=_SALT,
    )
    salt_drag: LengthRange = setting(
        (100.0, 320.0), "Upturn of the beds against the flanks of salt, m.", needs=_SALT
    )
    salt_drag_width: PositiveLengthRange = setting(
        (70.0, 260.0), "Distance from salt over which the upturn dies away, m.", needs=_SALT
    )

    openfwi_velocity: SpeedRange = setting(
        (1500.0, 4500.0),
        "Speeds of the families named after OpenFWI's, m/s; those of their layers are drawn"
        " uniformly.",
        needs=_drawn(*OPENFWI_FAMILIES),
    )
    openfwi_layers: range_of(int, ge=2, le=50) = setting(
        (3, 8),
        "Number of layers of flatvel and curvevel models.",
        needs=_drawn("flatvel_a", "flatvel_b", "curvevel_a", "curvevel_b"),
    )
    openfwi_fault_layers_a: range_of(int, ge=2, le=50) = setting(
        (2, 4),
        "Number of layers of flatfault_a and curvefault_a models.",
        needs=_drawn("flatfault_a", "curvefault_a"),
    )
    openfwi_fault_layers_b: range_of(int, ge=2, le=50) = setting(
        (6, 8),
        "Number of layers of flatfault_b and curvefault_b models.",
        needs=_drawn("flatfault_b", "curvefault_b"),
    )
    openfwi_relief: PositiveLengthRange = setting(
        (80.0, 370.0),
        "Height from trough to crest of the curved horizons of curvevel and curvefault models, m.",
        needs=_CURVED,
    )
    openfwi_wavelength: PositiveLengthRange = setting(
        (150.0, 750.0), "Wavelengths of curved horizons, m.", needs=_CURVED
    )
    openfwi_faults_a: range_of(int, ge=1, le=12) = setting(
        (1, 1),
        "Number of faults of flatfault_a and curvefault_a models; fault_dip and"
        " reverse_probability hold for them too.",
        needs=_drawn("flatfault_a", "curvefault_a"),
    )
    openfwi_faults_b: range_of(int, ge=1, le=12) = setting(
        (1, 3),
        "Number of faults of flatfault_b and curvefault_b models.",
        needs=_drawn("flatfault_b", "curvefault_b"),
    )
    openfwi_throw_a: PositiveLengthRange = setting(
        (30.0, 100.0),
        "Vertical displacement across the faults of flatfault_a and curvefault_a models, m.",
        needs=_drawn("flatfault_a", "curvefault_a"),
    )
    openfwi_throw_b: PositiveLengthRange = setting(
        (60.0, 250.0),
        "Vertical displacement across the faults of flatfault_b and curvefault_b models, m.",
        needs=_drawn("flatfault_b", "curvefault_b"),
    )
    openfwi_style_contrast: range_of(float, ge=0, le=10) = setting(
        (0.5, 0.9),
        "Change of speed between the structures of a style model, over the rise of speed with"
        " depth.",
        needs=_drawn("style_a", "style_b"),
    )
    openfwi_smoothing_a: LengthRange = setting(
        (20.0, 45.0),
        "Standard deviation of the smoothing of style_a models, m; at most a tenth of the"
        " model's smaller side.",
        needs=_drawn("style_a"),
    )
    openfwi_smoothing_b: LengthRange = setting(
        (4.0, 10.0), "The same of style_b models, m.", needs=_drawn("style_b")
    )

    @model_validator(mode="after")
    def _speeds_fit(self) -> "VelocityConfig":
        if not self.minimum < self.maximum:
            raise ValueError(
                f"velocity.minimum = {self.minimum:g}: must be below velocity.maximum"
                f" = {self.maximum:g}"
            )
        _check_weights("velocity.families", self.families, FAMILIES, "family")
        _check_weights("velocity.salt_shapes", self.salt_shapes, SALT_SHAPES, "salt shape")
        for name, drawn in (
            ("surface_velocity", _DEPOSITED.holds(self)),
            ("water_velocity", _UNDER_WATER.holds(self)),
            ("salt_velocity", self.draws_salt),
            ("openfwi_velocity", self.draws(*OPENFWI_FAMILIES)),
        ):
            low, high = getattr(self, name)
            if drawn and (low < self.minimum or high > self.maximum):
                raise ValueError(
                    f"velocity.{name} = [{low:g}, {high:g}]: must lie within velocity.minimum and"
                    f" velocity.maximum, {self.minimum:g} to {self.maximum:g} m/s"
                )
        if _DEPOSITED.holds(self) and self.velocity_cap < self.surface_velocity[1]:
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
        """Time straight down to the deepest node in the slowest model that can be drawn, s.

        Where speeds follow a trend: the deepest water, then the slowest trend v0 + k z; single
        layers may be slower than it, but not all of a model. Where they are drawn uniformly: the
        mean slowness of the fewest layers, and three standard deviations more; one model in a
        thousand is slower. Of imported models only their lowest speed is known.
        """
        depth = self.depth_extent
        if self.imported is not None:
            return depth / self.minimum
        low, high = self.openfwi_velocity
        times = []
        if self.draws(*GEOLOGICAL_FAMILIES):
            water = self.water_depth[1] * depth if self.water_probability > 0 else 0.0
            times.append(water / self.water_velocity[0] + _sediment(self, depth - water))
        # Curves and faults hide layers from a vertical line: half of them count.
        if self.draws("flatvel_a", "flatvel_b"):
            times.append(depth * _slowness(low, high, self.openfwi_layers[0]))
        if self.draws("curvevel_a", "curvevel_b"):
            times.append(depth * _slowness(low, high, math.ceil(self.openfwi_layers[0] / 2)))
        for difficulty in "ab":
            if self.draws(f"flatfault_{difficulty}", f"curvefault_{difficulty}"):
                fewest = getattr(self, f"openfwi_fault_layers_{difficulty}")[0]
                times.append(depth * _slowness(low, high, math.ceil(fewest / 2)))
        if self.draws("style_a", "style_b"):
            # The slowest structure all the way down.
            gradient = (high - low) / (1 + self.openfwi_style_contrast[1]) / depth
            times.append(_trend(low, gradient, depth))
        return max(times)

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


def _sediment(config: VelocityConfig, depth: float) -> float:
    slowest = config.surface_velocity[0]
    if config.layer_speeds == "rising":
        fewest = max(config.layers[0], math.ceil(depth / config.layer_thickness[1]))
        return depth * _slowness(slowest, config.velocity_cap, fewest)
    return _trend(slowest, config.velocity_gradient[0], depth)


def _trend(surface: float, gradient: float, depth: float) -> float:
    """Time through ``depth`` m of speed ``surface + gradient * z``, s."""
    if gradient == 0:
        return depth / surface
    return math.log1p(gradient * depth / surface) / gradient


def _slowness(low: float, high: float, layers: int) -> float:
    """Mean slowness that layers with speeds between ``low`` and ``high`` hardly surpass, s/m."""
    if low == high:
        return 1 / low
    mean = math.log(high / low) / (high - low)
    variance = max(1 / (low * high) - mean**2, 0.0)
    return min(mean + 3 * math.sqrt(variance / layers), 1 / low)
