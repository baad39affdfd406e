"""Velocity models of others: read whole, believed where plausible, else refused in one line."""

import itertools
import json

import h5py
import numpy as np
import pytest

from seistomo.dataset import open_velocity
from seistomo.dataset.exchange import (
    CropOptions,
    FileOptions,
    ImportOptions,
    import_velocity,
)
from seistomo.dataset.exchange.crops import resample
from seistomo.dataset.exchange.formats import open_files
from seistomo.dataset.models import StoredModels
from seistomo.errors import InputError

COUNT = itertools.count()
# Its pieces are all different.
RAMP = 1500 + np.add.outer(np.arange(30.0) * 50, np.arange(40.0) * 10)
RNG = np.random.default_rng(0)
VALUES = RNG.uniform(1500, 4500, (3, 7, 9)).astype(np.float32)
MASK = RNG.random((3, 7, 9)) < 0.5


def opened(path, **options):
    (file,) = open_files([path], FileOptions(**options))
    return file


def imported(folder, values, **options):
    """Import an array through NPZ and return what the velocity file holds."""
    path = folder / f"{next(COUNT)}.npz"
    np.savez(path, velocity=values)
    options.setdefault("spacing", 10.0)
    import_velocity([path], path.with_suffix(".h5"), ImportOptions(**options))
    with open_velocity(path.with_suffix(".h5")) as reader:
        return [StoredModels(reader).model(index) for index in range(reader.samples)], reader


@pytest.mark.parametrize(
    ("name", "write", "options"),
    [
        ("a.npy", lambda path: np.save(path, VALUES[:, None]), {}),
        ("a.NPZ", lambda path: np.savez(path.open("wb"), velocity=VALUES), {}),
        ("a.bin", lambda path: VALUES.tofile(path), {"shape": (7, 9)}),
        ("b.npy", lambda path: VALUES.tofile(path), {"format": "raw", "shape": (7, 9)}),
    ],
)
def test_the_ending_or_the_user_says_the_format(tmp_path, name, write, options):
    write(tmp_path / name)
    file = opened(tmp_path / name, **options)
    assert (file.models, file.shape, file.spacing) == (3, (7, 9), (None, None))
    np.testing.assert_array_equal([file.read(n).velocity for n in range(3)], VALUES)


def test_files_of_a_folder_stand_in_the_order_of_their_numbers(tmp_path):
    for number in (1, 2, 10, 9):
        np.save(tmp_path / f"model{number}.npy", VALUES)
        np.save(tmp_path / f"data{number}.npy", np.ones((2, 3, 6, 5)))
    (tmp_path / "model9.npy").rename(tmp_path / "Model9.NPY")
    names = [file.path.name for file in open_files([tmp_path], FileOptions())]
    assert names == ["model1.npy", "model2.npy", "Model9.NPY", "model10.npy"]
    paths = [tmp_path / "model10.npy", tmp_path / "model2.npy"]
    assert [file.path for file in open_files(paths, FileOptions())] == paths


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("none.npy", {}, "none.npy: no such file"),
        ("a.mat", {}, r"numpy.save\('a.npy', scipy.io.loadmat\('a.mat'\)\['NAME'\]\)"),
        ("new.mat", {}, r"numpy.save\('new.npy', h5py.File\('new.mat'\)\['NAME'\]\[...\].T\)"),
        ("a.npy", {"format": "mat"}, "--format mat: must be one of openfwi, segy, npz, raw"),
        ("empty", {}, "holds no known files"),
        ("mixed", {}, "holds openfwi and npz files; give --format"),
        ("a.npy", {"key": "vp"}, "--key: is for npz files, not openfwi"),
        ("a.npy", {"units": "mph"}, r"--units mph: must be one of m/s, km/s, ft/s, s/m, s2/m2"),
    ],
)
def test_what_is_unclear_is_refused(tmp_path, name, options, words):
    np.save(tmp_path / "a.npy", VALUES)
    for other in ("a.mat", "a", "a.segy"):
        (tmp_path / other).touch()
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    np.save(tmp_path / "mixed" / "model1.npy", VALUES)
    np.savez(tmp_path / "mixed" / "a.npz", VALUES)
    with pytest.raises(InputError, match=words):
        open_files([tmp_path / name], FileOptions(**options))


@pytest.mark.parametrize("values", [VALUES[:, None], VALUES, np.asarray(VALUES[1], order="F")])
def test_axes_of_models(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    stack = values.reshape(-1, 7, 9)
    for fastest, expected in (("x", stack), ("depth", stack.transpose(0, 2, 1))):
        file = opened(tmp_path / "a.npy", fastest=fastest)
        assert (file.models, *file.shape) == expected.shape
        for number, model in enumerate(expected):
            np.testing.assert_array_equal(file.read(number).velocity, model)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones(7), r"has shape \[7\]"),
        (np.ones((5, 5, 10, 7)), "5 channels: these look like gathers"),
        (np.ones((0, 4, 5)), "not empty"),
        (np.ones((4, 5), bool), "not real numbers"),
        (np.array([{}], object), "damaged, or of another format"),
    ],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_other_arrays_are_refused(tmp_path, values, words, ending):
    path = tmp_path / f"a.{ending}"
    np.save(path, values) if ending == "npy" else np.savez(path, velocity=values)
    with pytest.raises(InputError, match=rf"a.{ending}: .*{words}"):
        opened(path)


def test_spacing_of_openfwi_and_of_exports_is_known_and_no_other(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 1, 70, 70), 2000, np.float32))
    assert opened(tmp_path / "a.npy").spacing == (10, 10)
    assert opened(tmp_path / "a.npy", spacing=(5.0, 6.0)).spacing == (5, 6)
    for shape in ((1, 1, 70, 71), (2, 70, 70), (70, 70)):
        np.save(tmp_path / "b.npy", np.full(shape, 2000.0))
        assert opened(tmp_path / "b.npy", format="openfwi").spacing == (None, None)
    (tmp_path / "export.json").write_text(json.dumps({"spacing_m": 12.5}))
    assert opened(tmp_path / "b.npy").spacing == (12.5, 12.5)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_all_that_is_told_of_models(tmp_path, save):
    told = {
        "salt_mask": MASK,
        "family": np.array(["a", "b", "c"]),
        "parameters": np.array([json.dumps({"n": n}) for n in range(3)]),
        "spacing": [12.5, 10],
    }
    save(tmp_path / "v.npz", other=np.ones(3), velocity=VALUES.astype(">f8"), **told)
    file = opened(tmp_path / "v.npz")
    assert (file.models, file.shape, file.spacing) == (3, (7, 9), (12.5, 10))
    for number in (2, 0):
        found = file.read(number)
        assert found.velocity.dtype == np.float64
        np.testing.assert_array_equal(found.velocity, VALUES[number])
        np.testing.assert_array_equal(found.salt_mask, MASK[number])
        assert (found.family, found.parameters) == ("abc"[number], {"n": number})
    file = opened(tmp_path / "v.npz", fastest="depth")
    np.testing.assert_array_equal(file.read(2).salt_mask, MASK[2].T)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("salt_mask", MASK[:, :5]),
        ("salt_mask", np.where(MASK, np.nan, 0)),
        ("family", ["a", "b"]),
        ("parameters", [1, 2, 3]),
    ],
)
def test_what_does_not_fit_the_models_is_left_out_and_told(tmp_path, capsys, name, values):
    np.savez(tmp_path / "w.npz", velocity=VALUES, **{name: values})
    found = opened(tmp_path / "w.npz").read(0)
    assert (found.salt_mask, found.family, found.parameters) == (None, None, {})
    assert f"w.npz: its array {name}, " in capsys.readouterr().err


def test_the_only_array_or_the_one_named(tmp_path):
    np.savez(tmp_path / "one.npz", vp=VALUES)
    assert opened(tmp_path / "one.npz").models == 3
    np.savez(tmp_path / "two.npz", vp=VALUES, vs=VALUES / 2)
    with pytest.raises(InputError, match="not clear; give --key, one of vp, vs"):
        opened(tmp_path / "two.npz")
    np.testing.assert_array_equal(
        opened(tmp_path / "two.npz", key="vs").read(0).velocity, VALUES[0] / 2
    )
    with pytest.raises(InputError, match="no array 'v'; give --key, one of vp, vs"):
        opened(tmp_path / "two.npz", key="v")


@pytest.mark.parametrize(("dtype", "byte_order"), [("float32", "little"), ("int16", "big")])
@pytest.mark.parametrize("fastest", ["x", "depth"])
def test_every_raw_layout_is_read(tmp_path, dtype, byte_order, fastest):
    expected = VALUES.astype(dtype)
    stored = np.ascontiguousarray(expected if fastest == "x" else expected.swapaxes(1, 2))
    sign = {"little": "<", "big": ">"}[byte_order]
    (tmp_path / "v.bin").write_bytes(stored.astype(stored.dtype.newbyteorder(sign)).tobytes())
    options = {"shape": (7, 9), "dtype": dtype, "fastest": fastest}
    file = opened(tmp_path / "v.bin", byte_order=byte_order, **options)
    for number in range(3):
        found = file.read(number).velocity
        assert found.dtype == (np.float32 if dtype == "float32" else np.float64)
        np.testing.assert_array_equal(found, expected[number])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give --shape"),
        ({"shape": (4, 6)}, r"756 bytes, not a multiple of --shape 4x6 values of --dtype float32"),
        ({"shape": (7, 9), "dtype": "float16", "byte_order": "big"}, "--byte-order little fits"),
        ({"shape": (7, 9), "dtype": "flaot32"}, "--dtype flaot32: must be a type of numbers"),
    ],
)
def test_raw_bytes_that_do_not_fit_are_refused(tmp_path, options, words):
    VALUES.astype("f2" if options.get("dtype") == "float16" else "f4").tofile(tmp_path / "v.bin")
    with pytest.raises(InputError, match=words):
        opened(tmp_path / "v.bin", **options)


def compressed(path, **content):
    np.savez_compressed(path, velocity=VALUES, **content)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", lambda path: path.write_bytes(b"no array")),
        ("a.npy", lambda path: np.savez(path.open("wb"), velocity=VALUES)),
        ("a.npy", lambda path: np.save(path, VALUES) or cut(path)),
        ("a.npz", lambda path: compressed(path) or cut(path)),
        ("a.npz", lambda path: np.savez(path, velocity=VALUES) or spoil(path, 40)),
        ("a.npz", lambda path: compressed(path, spacing="ten")),
        ("a.npz", lambda path: compressed(path, spacing=5, parameters=["[1]"] * 3)),
        ("a.npz", lambda path: compressed(path, spacing=5, family=[b"\xff"] * 3)),
        ("a.npz", lambda path: compressed(path, spacing=5, family=["\ud800"] * 3)),
        ("a.h5", lambda path: path.write_bytes(b"no HDF5")),
        ("a.h5", lambda path: h5py.File(path, "w").close()),
        ("a.bin", lambda path: path.write_bytes(b"123")),
    ],
)
def test_odd_files_are_one_line_with_their_name(tmp_path, name, write):
    write(tmp_path / name)
    options = FileOptions(shape=(4, 5) if name.endswith("bin") else None)
    with pytest.raises(InputError, match=rf"{name}: ") as raised:
        import_velocity([tmp_path / name], tmp_path / "v.h5", ImportOptions(options))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(tmp_path))
    assert not (tmp_path / "v.h5").exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def spoil(path, start=200):
    content = bytearray(path.read_bytes())
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)


def test_what_is_noted_of_a_model(tmp_path):
    options = {"crops": CropOptions(size=(10, 12), depth_range=(40, None)), "family": "own"}
    models, _ = imported(tmp_path, np.stack([RAMP, RAMP + 1]), **options)
    assert len(models) == 2 * 2 * 3
    last = models[-1]
    assert last.family == "own"
    where = {key: last.parameters[key] for key in ("model", "depth_m", "x_m")}
    assert where == {"model": 1, "depth_m": 40 + 100, "x_m": 240}
    np.testing.assert_allclose(last.velocity, RAMP[14:24, 24:36] + 1)


def test_spacing_is_changed_before_anything_is_cut(tmp_path):
    crops = CropOptions(size=(5, 6), stride=(5, 6), depth_range=(30, None), x_range=(45, 300))
    options = {"file": FileOptions(spacing=(5.0, 8.0)), "spacing": 15.0, "crops": crops}
    models, _ = imported(tmp_path, RAMP, **options)
    whole = resample(RAMP, (5, 8), (15, 15))
    assert len(models) == 1 * 3
    for number, model in enumerate(models):
        column = 3 + 6 * number
        np.testing.assert_allclose(model.velocity, whole[2:7, column : column + 6], rtol=1e-6)


def test_crops_without_contrast_are_left_out(tmp_path):
    sea = np.concatenate([np.full((20, 40), 1500.0), RAMP])
    grid = CropOptions(size=(10, 20), min_contrast=50)
    np.savez(tmp_path / "sea.npz", velocity=sea)
    options = ImportOptions(spacing=10, crops=grid)
    done = import_velocity([tmp_path / "sea.npz"], tmp_path / "v.h5", options)
    assert "v.h5: 6 models of 10 x 20 nodes" in done
    assert "4 of little contrast left out" in done
    models, _ = imported(tmp_path, sea, crops=CropOptions(size=(10, 20), count=30, min_contrast=50))
    assert len(models) == 30
    assert min(np.ptp(model.velocity) for model in models) >= 50


UNITS = {"km/s": RAMP / 1000, "ft/s": (RAMP + 1500) / 0.3048, "s2/m2": RAMP**-2}


@pytest.mark.parametrize("units", UNITS)
def test_units_are_taken_and_proposed(tmp_path, units):
    expected = RAMP + 1500 * (units == "ft/s")
    models, _ = imported(tmp_path, UNITS[units], file=FileOptions(units=units))
    np.testing.assert_allclose(models[0].velocity, expected, rtol=1e-6)
    with pytest.raises(InputError, match=f"seem to be {units}: use --units {units}"):
        imported(tmp_path, UNITS[units], clip=(1450.0, 4650.0))  # A clip is no way around.


def test_padding_is_judged_after_the_cut(tmp_path):
    for fill in (np.nan, 1e30):
        padded = RAMP.copy()
        padded[:, 30:] = fill
        options = {"file": FileOptions(spacing=10.0), "spacing": 15.0}
        models, _ = imported(tmp_path, padded, crops=CropOptions(x_range=(None, 260)), **options)
        whole = resample(RAMP, (10, 10), (15, 15))
        np.testing.assert_allclose(models[0].velocity, whole[:, :18], rtol=1e-6)
        with pytest.raises(InputError, match=r"nodes .* (cut|lie outside)") as raised:
            imported(tmp_path, padded, **options)
        assert "--clip" not in str(raised.value)


HOLE = np.where(RAMP > 3330, np.nan, RAMP)
SIZE = (10, 12)
OWN = FileOptions(spacing=(10.0, 10.0))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (RAMP * 1000, {}, "lie outside 300 to 9000 m/s .* no unit of --units fits"),
        (np.where(RAMP > 3330, 0, RAMP), {}, r"\(0 to 3330\); if the rest is right, --clip 300:"),
        (np.where(RAMP > 3330, 10**4, RAMP), {}, r"--clip :9000 limits"),
        (RAMP - 2500, {}, r"of its values are below zero .*: these look like gathers"),
        (HOLE, {}, "hold no speed .* cut them off"),
        (RAMP, {"spacing": None}, "does not say the spacing of its grid; give --file-spacing"),
        (RAMP, {"spacing": -1.0}, "--spacing -1 m: must be 0.1 m to 10 km"),
        (RAMP, {"file": OWN, "spacing": 100.0}, "3 x 4 nodes .* at 100 m; must be 4 x 4 or more"),
        (RAMP, {"clip": (3000.0, 2000.0)}, "--clip 3000:2000"),
        (RAMP, {"file": FileOptions(spacing=(5.0, 6.0)), "spacing": None}, "5 m in depth and 6 m"),
        (RAMP, {"crops": CropOptions(size=(31, 12))}, r"--crop 31x12: larger than the models"),
        (RAMP, {"crops": CropOptions(x_range=(900, None))}, r"--x-range 900:: holds no node"),
        (RAMP, {"crops": CropOptions(SIZE, count=10**4)}, r"only 609 different ones can be cut"),
        (RAMP, {"crops": CropOptions(SIZE, count=2, min_contrast=1e4)}, r"--min-contrast 10000"),
        (RAMP, {"salt_threshold": -1.0}, "--salt-threshold -1"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(tmp_path, values, options, words):
    with pytest.raises(InputError, match=words) as raised:
        imported(tmp_path, values, **options)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(tmp_path))
    assert not list(tmp_path.glob("*.h5"))
    assert not list(tmp_path.glob(".*"))


def test_models_of_several_sizes_need_a_crop_and_of_several_spacings_a_spacing(tmp_path):
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    np.savez(paths[0], velocity=RAMP, spacing=10.0)
    np.savez(paths[1], velocity=RAMP[:20], spacing=10.0)
    with pytest.raises(InputError, match=r"b.npz: 20 x 40 nodes at 10 m, .* --crop"):
        import_velocity(paths, tmp_path / "v.h5")
    options = ImportOptions(spacing=10, crops=CropOptions(size=(20, 20)))
    done = import_velocity(paths, tmp_path / "v.h5", options)
    assert "v.h5: 4 models of 20 x 20 nodes" in done
    np.savez(paths[1], velocity=RAMP, spacing=20.0)
    with pytest.raises(InputError, match="give --spacing, the one wanted for all"):
        import_velocity(paths, tmp_path / "w.h5")


def test_an_existing_file_and_one_that_is_read_stay(tmp_path):
    path, options = tmp_path / "a.npz", {"overwrite": True}
    np.savez(path, velocity=RAMP, spacing=10.0)
    import_velocity([path], tmp_path / "v.h5")
    with pytest.raises(InputError, match="exists already"):
        import_velocity([path], tmp_path / "v.h5")
    import_velocity([path], tmp_path / "v.h5", **options)
    path = tmp_path / "v.h5"
    before = path.read_bytes()
    with pytest.raises(InputError, match="is a file that is read"):
        import_velocity([path], path, **options)
    assert path.read_bytes() == before
