import itertools
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seistomo.dataset.exchange.crops import CropOptions
from seistomo.dataset.exchange.exporting import export_dataset
from seistomo.dataset.exchange.importing import ImportOptions, import_velocity
from seistomo.dataset.exchange.resample import resample
from seistomo.dataset.exchange.source import FileOptions
from seistomo.dataset.store.velocity_file import open_velocity
from seistomo.errors import InputError

COUNT = itertools.count()
# Its pieces are all different.
RAMP = 1500 + np.add.outer(np.arange(30.0) * 50, np.arange(40.0) * 10)


def imported(folder, values, overwrite=False, key="velocity", **options):
    """Import an array through NPZ and return what the velocity file holds."""
    path = folder / f"{next(COUNT)}.npz"
    np.savez(path, **{key: values})
    options.setdefault("spacing", 10.0)
    import_velocity([path], path.with_suffix(".h5"), ImportOptions(**options))
    with open_velocity(path.with_suffix(".h5")) as reader:
        return [reader.model(index) for index in range(reader.models)], reader


@pytest.mark.parametrize("kind", ["openfwi", "segy", "npz"])
@pytest.mark.parametrize("indices", [None, [9, 2, 5]])
def test_export_then_import_is_the_identity_on_velocity(
    data_path, samples, tmp_path, kind, indices
):
    if kind == "segy":
        pytest.importorskip("segyio")
    out = tmp_path / ("v.npz" if kind == "npz" else "out")
    export_dataset(data_path, out, kind, indices=indices)
    import_velocity([out], tmp_path / "v.h5")
    rows = list(range(16)) if indices is None else indices
    if kind != "npz":
        # A folder comes back in the order of the data set.
        rows = sorted(rows)
    with open_velocity(tmp_path / "v.h5") as back:
        assert back.spacing == 12.5
        np.testing.assert_array_equal(
            back.read_velocity(range(back.models)), [samples[row].velocity for row in rows]
        )
        assert back.families(range(back.models)) == [samples[row].family for row in rows]
        if kind == "npz":
            masks = [samples[row].salt_mask for row in rows]
            np.testing.assert_array_equal(back.read_salt_mask(range(back.models)), masks)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arrays(np.float32, (2, 3, 5), elements=st.floats(50, 20000, width=32)), st.floats(0.5, 100))
def test_velocity_is_kept_bit_for_bit_without_resampling(tmp_path, values, spacing):
    models, reader = imported(tmp_path, values, spacing=spacing)
    assert reader.spacing == spacing
    np.testing.assert_array_equal([model.velocity for model in models], values)


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
    assert whole.shape == (10, 21)
    assert len(models) == 1 * 3
    for number, model in enumerate(models):
        column = 3 + 6 * number
        np.testing.assert_allclose(model.velocity, whole[2:7, column : column + 6], rtol=1e-6)


def test_random_crops_follow_their_seed_alone(tmp_path):
    def crops(count, seed):
        options = CropOptions(size=(10, 12), count=count, seed=seed)
        return [model.velocity for model in imported(tmp_path, RAMP, crops=options)[0]]

    eight = crops(8, 1)
    np.testing.assert_array_equal(crops(5, 1), eight[:5])
    assert not np.array_equal(crops(5, 2), eight[:5])
    places = list(itertools.product(range(21), range(29)))
    pieces = {RAMP[i : i + 10, j : j + 12].astype("f4").tobytes() for i, j in places}
    assert all(crop.tobytes() in pieces for crop in eight)


def test_crops_without_contrast_are_left_out(tmp_path):
    sea = np.concatenate([np.full((20, 40), 1500.0), RAMP])
    grid = CropOptions(size=(10, 20), min_contrast=50)
    path = tmp_path / "sea.npz"
    np.savez(path, velocity=sea)
    done = import_velocity([path], tmp_path / "v.h5", ImportOptions(spacing=10, crops=grid))
    assert (done.models, done.dropped) == (6, 4)
    assert "4 of little contrast left out" in str(done)
    random = CropOptions(size=(10, 20), count=30, min_contrast=50)
    models, _ = imported(tmp_path, sea, crops=random)
    assert len(models) == 30
    assert min(np.ptp(model.velocity) for model in models) >= 50


def test_salt_is_what_is_faster_than_the_threshold(tmp_path):
    models, _ = imported(tmp_path, RAMP, salt_threshold=2500.0)
    np.testing.assert_array_equal(models[0].salt_mask, RAMP > 2500)
    models, _ = imported(tmp_path, RAMP + 3000)
    np.testing.assert_array_equal(models[0].salt_mask, RAMP + 3000 > 4225)
    models, _ = imported(tmp_path, RAMP + 3000, salt_threshold=None)
    assert not models[0].salt_mask.any()


@pytest.mark.parametrize(("units", "factor"), [("m/s", 1), ("km/s", 1000), ("ft/s", 0.3048)])
def test_units(tmp_path, units, factor):
    models, _ = imported(tmp_path, RAMP / factor, file=FileOptions(units=units))
    np.testing.assert_allclose(models[0].velocity, RAMP, rtol=1e-6)


def test_clipping(tmp_path):
    models, _ = imported(tmp_path, RAMP - 1500, clip=(1480.0, None))
    np.testing.assert_array_equal(models[0].velocity, np.clip(RAMP - 1500, 1480, None))
    models, _ = imported(tmp_path, RAMP, clip=(1600.0, 2000.0))
    np.testing.assert_array_equal(models[0].velocity, np.clip(RAMP, 1600, 2000))


HOLE = np.where(RAMP > 3000, np.nan, RAMP)
SIZE = (10, 12)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (RAMP / 1000, {}, r"speeds of 1.5 to 3.34 m/s are too slow; .*Use --units km/s"),
        (RAMP, {"file": FileOptions(units="km/s")}, r"are too fast; .*Use --units m/s"),
        (RAMP * 1000, {}, "are too fast"),
        (np.where(RAMP > 3000, 0, RAMP), {}, r"holds speeds of 0 to 3000 .*--clip"),
        (-RAMP, {}, "too slow"),
        (HOLE, {}, "no finite numbers"),
        (RAMP, {"spacing": None}, "does not say the spacing of its grid; give --file-spacing"),
        (RAMP, {"spacing": -1.0}, "--spacing -1"),
        (RAMP, {"clip": (3000.0, 2000.0)}, "--clip 3000:2000"),
        (RAMP, {"file": FileOptions(spacing=(5.0, 6.0)), "spacing": None}, "5 m in depth and 6 m"),
        (RAMP, {"crops": CropOptions(size=(31, 12))}, r"--crop 31x12: larger than the models"),
        (RAMP, {"crops": CropOptions(x_range=(900, None))}, r"--x-range 900:: holds no node"),
        (RAMP, {"crops": CropOptions(SIZE, count=10**4)}, r"only 609 different ones can be cut"),
        (RAMP, {"crops": CropOptions(SIZE, min_contrast=1e4)}, r"--min-contrast 10000: only 0"),
        (RAMP, {"crops": CropOptions(SIZE, count=2, min_contrast=1e4)}, r"--min-contrast 10000"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(tmp_path, values, options, words):
    with pytest.raises(InputError, match=words) as raised:
        imported(tmp_path, values, **options)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*.h5"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"salt_threshold": np.nan}, "--salt-threshold nan"),
        ({"salt_threshold": -1.0}, "--salt-threshold -1"),
        ({"family": " "}, "--family"),
    ],
)
def test_options_that_would_change_nothing_are_refused(option, words):
    with pytest.raises(InputError, match=words):
        ImportOptions(**option)


def test_models_of_several_sizes_need_a_crop(tmp_path):
    np.savez(tmp_path / "a.npz", velocity=RAMP)
    np.savez(tmp_path / "b.npz", velocity=RAMP[:20])
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    with pytest.raises(InputError, match=r"b.npz, model 0: 20 x 40 nodes at 10 m, .* --crop"):
        import_velocity(paths, tmp_path / "v.h5", ImportOptions(spacing=10))
    crops = CropOptions(size=(20, 20))
    done = import_velocity(paths, tmp_path / "v.h5", ImportOptions(spacing=10, crops=crops))
    assert (done.models, done.shape) == (4, (20, 20))


def test_spacings_of_several_files_must_agree(tmp_path):
    np.savez(tmp_path / "a.npz", velocity=RAMP, spacing=10.0)
    np.savez(tmp_path / "b.npz", velocity=RAMP, spacing=20.0)
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    with pytest.raises(InputError, match="give --spacing, the one wanted for all"):
        import_velocity(paths, tmp_path / "v.h5")


def test_an_existing_file_stays(tmp_path):
    np.savez(tmp_path / "a.npz", velocity=RAMP, spacing=10.0)
    (tmp_path / "v.h5").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        import_velocity([tmp_path / "a.npz"], tmp_path / "v.h5")
    assert (tmp_path / "v.h5").read_text() == "mine"
    import_velocity([tmp_path / "a.npz"], tmp_path / "v.h5", overwrite=True)
    with open_velocity(tmp_path / "v.h5") as reader:
        assert reader.models == 1


def test_a_file_that_is_read_is_never_replaced(tmp_path):
    np.savez(tmp_path / "a.npz", velocity=RAMP, spacing=10.0)
    before = (tmp_path / "a.npz").read_bytes()
    with pytest.raises(InputError, match="is a file that is read"):
        import_velocity([tmp_path / "a.npz"], tmp_path / "a.npz", overwrite=True)
    assert (tmp_path / "a.npz").read_bytes() == before


def test_marmousi_crops_straight_to_100_by_100(marmousi, tmp_path):
    file = FileOptions(units="km/s", shape=(221, 601))
    options = ImportOptions(file, spacing=15, crops=CropOptions(size=(100, 100)))
    path = marmousi / "marmousi1_15m_221x601_kms_f32.bin"
    done = import_velocity([path], tmp_path / "v.h5", options)
    assert (done.models, done.shape, done.spacing) == (12, (100, 100), 15)
    values = np.fromfile(path, "<f4").reshape(221, 601) * np.float64(1000)
    with open_velocity(tmp_path / "v.h5") as reader:
        np.testing.assert_allclose(
            reader.read_velocity([7])[0], values[100:200, 100:200], rtol=1e-7
        )


def test_marmousi2_keeps_its_travel_times(marmousi, tmp_path):
    pytest.importorskip("segyio")
    with tarfile.open(marmousi / "marmousi2_vp_5m.segy.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    path = next(tmp_path.glob("*.segy"))
    both = []
    for name, file, spacing in (
        ("fine", FileOptions(spacing=(5.0, 5.0)), None),
        ("coarse", FileOptions(spacing=(5.0, 5.0)), 15.0),
    ):
        out = tmp_path / f"{name}.h5"
        import_velocity([path], out, ImportOptions(file, spacing=spacing))
        with open_velocity(out) as reader:
            both.append(1 / reader.model(0).velocity.astype(np.float64))
    fine, coarse = both
    # Coarse node k stands for fine nodes 3 k - 1 to 3 k + 1, both ways.
    fine = fine[2 : 2 + 3 * 232, 2 : 2 + 3 * 905].reshape(232, 3, 905, 3).mean(axis=3)
    down = np.cumsum(fine.sum(axis=1) * 5, axis=0)
    np.testing.assert_allclose(np.cumsum(coarse[1:233, 1:906] * 15, axis=0), down, rtol=1e-6)
