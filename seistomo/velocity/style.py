"""Structures with the look of natural images, as speeds that rise with depth.

OpenFWI turns photographs into speeds. Here ellipses stand for the objects in a photograph: opaque,
of all sizes, in front of each other (the dead leaves model of images: Lee, Mumford and Huang
2001). Each has a shade and beds of its own.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import ndimage

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import draw_between
from seistomo.velocity.extent import Extent

# Longer half axes of the ellipses, as fractions of the model's smaller side; the short ones over
# them; and the greatest angle of the long ones to the horizontal, degrees.
SMALLEST, LARGEST = 0.04, 0.35
FLATNESS = (0.25, 0.8)
STEEPEST = 25.0
# Area of all ellipses over the area that they lie in; a twentieth of it stays bare.
COVER = 3.0
# Shades that the beds in an ellipse add or take at most, and the wavelengths of these (fractions
# of the model's smaller side).
BEDDING, BED_WAVELENGTH = 0.1, (0.035, 0.12)
# The weights of the smoothing end at this many standard deviations; of those, a model's smaller
# side holds at least ten.
REACH, WIDEST = 3.0, 0.1
# The ends of a model's speeds lie within the configured ones by at most this part of their range.
INSET = 0.2
# Cells along the longer side of the grid on which the extremes of the structure are found.
CELLS = 64


@dataclass(frozen=True)
class Ellipses:
    """Ellipses [ellipse], the foremost one last.

    Centres ``x`` and ``z``, half axes ``radius`` and ``radius * flatness`` (m), the long one at
    ``tilt`` (radians) to the horizontal; ``shade`` in [0, 1], and sinusoidal beds along the long
    axis of ``wavelength`` (m) and ``phase``.
    """

    x: np.ndarray
    z: np.ndarray
    radius: np.ndarray
    flatness: np.ndarray
    tilt: np.ndarray
    shade: np.ndarray
    wavelength: np.ndarray
    phase: np.ndarray

    def shades(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Shade [depth, x] of the foremost ellipse at rising ``x`` [x] and ``z`` [depth], m."""
        shades = np.full((len(z), len(x)), 0.5)
        columns = np.searchsorted(x, [self.x - self.radius, self.x + self.radius])
        rows = np.searchsorted(z, [self.z - self.radius, self.z + self.radius])
        seen = np.flatnonzero((columns[1] > columns[0]) & (rows[1] > rows[0]))
        table = np.stack([getattr(self, item.name) for item in fields(self)], axis=1)
        for i in seen.tolist():
            box = slice(*rows[:, i].tolist()), slice(*columns[:, i].tolist())
            x_centre, z_centre, radius, flatness, tilt, shade, wavelength, phase = table[i].tolist()
            right, down = x[None, box[1]] - x_centre, z[box[0], None] - z_centre
            along = right * math.cos(tilt) + down * math.sin(tilt)
            across = down * math.cos(tilt) - right * math.sin(tilt)
            inside = along**2 + (across / flatness) ** 2 < radius**2
            beds = BEDDING * np.sin((2 * math.pi / wavelength) * across[inside] + phase)
            shades[box][inside] = shade + beds
        return shades

    @classmethod
    def draw(cls, rng: np.random.Generator, extent: Extent, margin: float) -> "Ellipses":
        """Draw ellipses that cover a model and ``margin`` m beside it.

        The density of their sizes falls as radius⁻², so that each size covers as much as any.
        """
        side = min(extent.depth, extent.width)
        reach = LARGEST * side + margin
        width, height = extent.width + 2 * reach, extent.depth + 2 * reach
        # For this density the mean of radius² is the product of the extremes.
        area = math.pi * np.mean(FLATNESS) * SMALLEST * LARGEST * side**2
        count = math.ceil(COVER * width * height / area)
        inverse = rng.uniform(1 / LARGEST, 1 / SMALLEST, count)
        return cls(
            x=extent.left - reach + width * rng.random(count),
            z=extent.top - reach + height * rng.random(count),
            radius=side / inverse,
            flatness=rng.uniform(*FLATNESS, count),
            tilt=np.radians(rng.uniform(-STEEPEST, STEEPEST, count)),
            shade=rng.random(count),
            wavelength=side * rng.uniform(*BED_WAVELENGTH, count),
            phase=rng.uniform(0, 2 * math.pi, count),
        )


@dataclass(frozen=True)
class Style:
    """Speeds between ``ends`` (m/s) that follow ``z / depth + contrast * shade``, smoothed.

    ``extremes`` are the least and most of that sum; ``smoothing`` is the standard deviation of the
    Gaussian weights, m.
    """

    ellipses: Ellipses
    contrast: float
    smoothing: float
    depth: float
    ends: tuple[float, float]
    extremes: tuple[float, float] = (0.0, 1.0)

    def sample(self, shape: tuple[int, int], spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Lay a grid on the earth, as `Earth.sample`."""
        least, most = self.extremes
        low, high = self.ends
        part = (self._structure(shape, spacing) - least) / (most - least)
        speed = np.clip(low + (high - low) * part, low, high)
        return speed.astype(np.float32), np.zeros(shape, dtype=bool)

    def _structure(self, shape: tuple[int, int], spacing: float) -> np.ndarray:
        cells = self.smoothing / spacing
        margin = math.ceil(REACH * cells)
        z, x = ((np.arange(n + 2 * margin) - margin) * spacing for n in shape)
        sharp = self.contrast * self.ellipses.shades(x, z) + z[:, None] / self.depth
        smooth = ndimage.gaussian_filter(sharp, cells, mode="nearest", truncate=REACH)
        return smooth[margin : margin + shape[0], margin : margin + shape[1]]

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        config: VelocityConfig,
        extent: Extent,
        smoothing: tuple[float, float],
    ) -> "Style":
        """Draw a model with a standard deviation of the smoothing from a range, m."""
        low, high = config.openfwi_velocity
        inset = INSET * (high - low) * rng.random(2)
        contrast = draw_between(rng, config.openfwi_style_contrast)
        wide = min(draw_between(rng, smoothing), WIDEST * min(extent.depth, extent.width))
        ellipses = Ellipses.draw(rng, extent, REACH * wide)
        ends = (float(low + inset[0]), float(high - inset[1]))
        style = cls(ellipses, contrast, wide, extent.depth, ends)
        spacing = max(extent.depth, extent.width) / CELLS
        shape = (max(round(side / spacing), 1) for side in (extent.depth, extent.width))
        structure = style._structure(tuple(shape), spacing)
        return replace(style, extremes=(float(structure.min()), float(structure.max())))

    def parameters(self) -> dict:
        """Return what was drawn, but for the single ellipses."""
        return {
            "lowest_velocity_m_s": self.ends[0],
            "highest_velocity_m_s": self.ends[1],
            "contrast": self.contrast,
            "smoothing_m": self.smoothing,
            "ellipses": len(self.ellipses.x),
        }
