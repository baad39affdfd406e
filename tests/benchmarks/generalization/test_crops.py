import os
from pathlib import Path

import numpy as np
import pytest

from seistomo.benchmarks.generalization.crops import LEAST_CONTRAST, cut_crops
from seistomo.config import load_config
from seistomo.dataset.exchange.importing import ImportOptions, import_velocity
from seistomo.dataset.exchange.source import FileOptions
from seistomo.dataset.store.velocity_file import open_velocity
from seistomo.errors import InputError

SHAPE, SPACING = (60, 90), 12.5


@pytest.fixture
def section():
    """Speed that rises with depth, beyond the bounds at the bottom; half of it water."""
    depth, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    velocity = 1500 + 70.0 * depth + 20 * np.sin(x / 5)
    velocity[:, : SHAPE[1] // 2] = np.minimum(velocity[:, : SHAPE[1] // 2], 4000)
    return velocity.astype("<f4")


@pytest.fixture
def options():
    return FileOptions(shape=SHAPE, spacing=(SPACING, SPACING))


@pytest.fixture
def path(tmp_path, section):
    (tmp_path / "section.bin").write_bytes(section.tobytes())
    return tmp_path / "section.bin"


def cut(path, options, config, out, samples=8, seed=0):
    summary = cut_crops(path, options, config.velocity, samples, seed, out)
    with open_velocity(out) as models:
        velocity = models.read_velocity(range(models.models))
        corners = [models.model(i).parameters for i in range(models.models)]
        return summary, velocity, corners, models.identity


def test_pieces_lie_within_the_bounds(path, options, config, section, tmp_path):
    summary, velocity, corners, _ = cut(path, options, config, tmp_path / "crops.h5")
    assert summary.crops == len(velocity) == 8
    assert summary.beyond > 0
    assert velocity.shape[1:] == config.velocity.shape
    assert velocity.max() <= config.velocity.maximum
    assert np.ptp(velocity, axis=(1, 2)).min() >= LEAST_CONTRAST
    assert len({(c["depth_m"], c["x_m"]) for c in corners}) == 8
    # At twice the spacing a node is the mean slowness of its cell; the section has one jump.
    row, column = (round(corners[0][key] / SPACING) for key in ("depth_m", "x_m"))
    direct = section[row : row + 32 : 2, column : column + 40 : 2]
    off = np.abs(velocity[0] / direct - 1)[1:-1, 1:-1]
    assert np.percentile(off, 90) < 0.002


def test_the_seed_decides(path, options, config, tmp_path):
    first, again, other = (
        cut(path, options, config, tmp_path / f"{name}.h5", seed=seed)[3]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other


def test_imported_files_give_the_same_pieces(path, options, config, tmp_path):
    import_velocity([path], tmp_path / "whole.h5", ImportOptions(file=options))
    _, velocity, _, _ = cut(path, options, config, tmp_path / "a.h5")
    _, imported, _, _ = cut(tmp_path / "whole.h5", FileOptions(), config, tmp_path / "b.h5")
    np.testing.assert_array_equal(velocity, imported)


def test_fewer_pieces_than_wanted(config, tmp_path):
    velocity = np.linspace(1600, 3000, 17)[:, None] * np.ones(22)
    np.save(tmp_path / "small.npy", velocity.astype(np.float32))
    options = FileOptions(spacing=(25.0, 25.0))
    summary, found, _, _ = cut(tmp_path / "small.npy", options, config, tmp_path / "out.h5")
    assert summary.crops == len(found) == 2 * 3


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.full((60, 90), 2000.0), {"spacing": (25.0, 25.0)}, "none of its .* contrast of 300"),
        (np.full((60, 90), 5000.0), {"spacing": (25.0, 25.0)}, "none of its .* 1450 to 4650 m/s"),
        (np.full((10, 90), 2000.0), {"spacing": (25.0, 25.0)}, "10 x 90 .*survey does not fit"),
        (np.full((60, 90), 2000.0), {}, "does not say the spacing.*--file-spacing"),
        (np.full((60, 90), 2.0), {"spacing": (25.0, 25.0)}, "--units km/s"),
    ],
)
def test_sections_that_do_not_fit_are_refused(config, tmp_path, values, options, message):
    np.save(tmp_path / "section.npy", values.astype(np.float32))
    with pytest.raises(InputError, match=message) as caught:
        cut(tmp_path / "section.npy", FileOptions(**options), config, tmp_path / "out.h5")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_a_missing_file_is_refused(config, tmp_path):
    with pytest.raises(InputError, match=r"--marmousi .*nowhere\.segy: no such file"):
        cut(tmp_path / "nowhere.segy", FileOptions(), config, tmp_path / "out.h5")


def test_marmousi_is_cut_at_its_own_spacing(tmp_path):
    folder = Path(os.environ.get("SEISTOMO_DATA", "")) / "velocity"
    path = folder / "marmousi1_15m_221x601_kms_f32.bin"
    if not path.is_file():
        pytest.skip("set SEISTOMO_DATA to the folder that holds velocity/marmousi*")
    config = load_config("tomography")
    options = FileOptions(units="km/s", shape=(221, 601), spacing=(15.0, 15.0))
    summary, velocity, corners, _ = cut(path, options, config, tmp_path / "crops.h5", samples=4)
    assert summary.crops == 4
    whole = np.fromfile(path, "<f4").reshape(221, 601) * np.float64(1000)
    for piece, corner in zip(velocity, corners, strict=True):
        row, column = round(corner["depth_m"] / 15), round(corner["x_m"] / 15)
        direct = whole[row : row + 100, column : column + 100]
        np.testing.assert_allclose(piece, direct, rtol=1e-6)
