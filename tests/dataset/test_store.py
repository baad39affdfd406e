import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import merge, open_dataset, read_predictions, write_dataset, write_predictions
from seistomo.dataset.store import DatasetWriter, Sample
from seistomo.dataset.store.schema import split_of
from seistomo.dataset.store.writer import compress
from seistomo.dataset.torch_dataset import GatherDataset
from seistomo.errors import InputError

SETTINGS = [
    "velocity.shape=[11, 12]",
    "survey.sources=2",
    "survey.receivers=5",
    "survey.time_samples=16",
]


def small_config(*more):
    return load_config("", [*SETTINGS, *more])


def arrays(count, seed=0):
    rng = np.random.default_rng(seed)
    velocity = rng.uniform(1500, 4600, (count, 11, 12)).astype(np.float32)
    return velocity, rng.normal(size=(count, 2, 5, 16)).astype(np.float32)


def sample(velocity, gathers, index):
    return Sample(
        velocity=velocity,
        gathers=gathers,
        salt_mask=velocity > 4225,
        dead_trace=np.zeros((2, 5), bool),
        source_x=np.zeros(2),
        source_depth=np.zeros(2),
        receiver_x=np.zeros(5),
        receiver_depth=np.zeros(5),
        index=index,
        seed=0,
        split=0,
    )


def part(path, start, stop, *more):
    velocity, gathers = arrays(20)
    config = small_config(*more)
    with DatasetWriter(path, config, stop - start, np.zeros(16)) as writer:
        for index in range(start, stop):
            writer.append(sample(velocity[index], gathers[index], index))
    return path


def test_what_is_written_is_read(tmp_path):
    config = small_config("dataset.storage=float32")
    velocity, gathers = arrays(9)
    families = [f"family{i}" for i in range(9)]
    path = write_dataset(
        tmp_path / "data.h5",
        config,
        velocity,
        gathers,
        family=families,
        parameters=[{"number": i} for i in range(9)],
    )
    with open_dataset(path) as data:
        assert data.samples == 9
        assert data.gather_shape == (2, 5, 16)
        assert data.velocity_shape == (11, 12)
        np.testing.assert_array_equal(data.read_velocity([8, 2]), velocity[[8, 2]])
        np.testing.assert_array_equal(data.read_gathers([0, 7]), gathers[[0, 7]])
        np.testing.assert_array_equal(data.read_salt_mask([3]), velocity[[3]] > 4225)
        assert data.families([1, 5]) == ["family1", "family5"]
        assert data.parameters(4) == {"number": 4}
        np.testing.assert_allclose(data.depth, np.arange(11) * 15.0)
        np.testing.assert_allclose(data.time, np.arange(16) * 0.006)
        np.testing.assert_allclose(data.read_survey(0)["source_x"], [0, 165])
        assert data.config.dataset.samples == 9
        assert data.damaged() == []


def test_float16_keeps_eleven_bits_over_a_wide_range():
    rng = np.random.default_rng(0)
    gathers = (10.0 ** rng.uniform(-5, 3, 10000)).astype(np.float32)[None, None]
    stored, scale = compress(gathers)
    restored = stored.astype(np.float32) * scale
    np.testing.assert_allclose(restored, gathers, rtol=2**-11)


@pytest.mark.parametrize("peak", [0.0, 1e-42, 1e-20, 1e30])
def test_float16_holds_any_amplitude(peak):
    stored, scale = compress(np.array([peak, -peak / 2], np.float32))
    np.testing.assert_allclose(stored.astype(np.float32) * scale, [peak, -peak / 2], rtol=1e-2)


def test_file_opens_in_xarray_with_named_dimensions(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    velocity, gathers = arrays(3)
    path = write_dataset(tmp_path / "data.h5", small_config(), velocity, gathers)
    with xarray.open_dataset(path, engine="h5netcdf") as opened:
        assert opened.gathers.dims == ("sample", "source", "receiver", "time")
        assert opened.velocity.dims == ("sample", "depth", "x")
        assert opened.velocity.attrs["units"] == "m/s"
        np.testing.assert_array_equal(opened.velocity.values, velocity)


def test_splits_hold_their_shares_and_never_change():
    first = split_of(np.arange(1120), (5, 1, 1))
    assert np.bincount(first).tolist() == [800, 160, 160]
    np.testing.assert_array_equal(split_of(np.arange(5000), (5, 1, 1))[:1120], first)
    assert np.bincount(split_of(np.arange(100), (8, 0, 2)), minlength=3).tolist() == [80, 0, 20]
    # Evenly spread: every stretch of 7 has one of each.
    assert np.bincount(first[14:21]).tolist() == [5, 1, 1]


def test_split_name_is_checked(tmp_path):
    path = write_dataset(tmp_path / "data.h5", small_config(), *arrays(3))
    with open_dataset(path) as data, pytest.raises(InputError, match=r"'tset'.*train, validation"):
        data.indices("tset")


def test_existing_file_is_not_replaced(tmp_path):
    path = write_dataset(tmp_path / "data.h5", small_config(), *arrays(3))
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_dataset(path, small_config(), *arrays(4))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, g: (v[:, :9], g), r"velocity: has shape \[9, 12\].*\[11, 12\]"),
        (lambda v, g: (v, g[:, :, :, :8]), r"gathers: has shape \[2, 5, 8\]"),
        (lambda v, g: (v, np.where(g > 2, np.nan, g)), "must be finite"),
        (lambda v, g: (v, g[:2]), "2 samples, but velocity has 3"),
        (lambda v, g: (v[:0], g[:0]), "holds no samples"),
        (lambda v, g: (v / 1000, g), r"sample 0: velocity = 1\.\d+ to 4\.\d+: must be in m/s"),
        (lambda v, g: (-v, g), r"sample 0: velocity = -4\d+.* to -1\d+.*: must be in m/s"),
    ],
)
def test_arrays_that_do_not_fit_leave_nothing_behind(tmp_path, change, words):
    velocity, gathers = change(*arrays(3, seed=1))
    with pytest.raises(InputError, match=words):
        write_dataset(tmp_path / "data.h5", small_config(), velocity, gathers)
    assert list(tmp_path.iterdir()) == []


def test_truncated_foreign_and_unfinished_files_are_refused(tmp_path):
    whole = write_dataset(tmp_path / "data.h5", small_config(), *arrays(3))
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole.read_bytes()[:5000])
    text = tmp_path / "text.h5"
    text.write_text("no data set")
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["velocity"] = np.zeros(3)
    unfinished = tmp_path / "unfinished.h5"
    shutil.copy(whole, unfinished)
    with h5py.File(unfinished, "a") as file:
        file.attrs["complete"] = False
    newer = tmp_path / "newer.h5"
    shutil.copy(whole, newer)
    with h5py.File(newer, "a") as file:
        file.attrs["version"] = 99
    hollow = tmp_path / "hollow.h5"
    shutil.copy(whole, hollow)
    with h5py.File(hollow, "a") as file:
        del file["crc32"]
    empty = tmp_path / "empty"
    empty.mkdir()
    expected = {
        cut: "truncated",
        text: "not an HDF5 file",
        foreign: "not a seistomo file",
        unfinished: "unfinished",
        newer: "version 99 is newer",
        hollow: "crc32 missing",
        tmp_path / "missing.h5": "no such file",
        empty: "holds no parts",
        tmp_path: r"\.h5: ",
    }
    for path, words in expected.items():
        with pytest.raises(InputError, match=words) as caught:
            open_dataset(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gone", ["config", "software"])
def test_a_file_without_its_attributes_is_refused_in_one_line(tmp_path, gone):
    path = write_dataset(tmp_path / "data.h5", small_config(), *arrays(3))
    with h5py.File(path, "a") as file:
        del file.attrs[gone]
    with pytest.raises(InputError, match=r"data\.h5: damaged, cannot be read"):
        open_dataset(path)


def test_no_damage_escapes_as_another_error(tmp_path):
    """Wherever a disk has lost a block, the reader says so, or reads what is left."""
    path = write_dataset(tmp_path / "data.h5", small_config(), *arrays(3))
    whole, broken = path.read_bytes(), tmp_path / "broken.h5"
    code = (
        "import sys\nfrom seistomo.dataset import open_dataset\n"
        "from seistomo.errors import InputError\n"
        "try: open_dataset(sys.argv[1]).damaged()\n"
        "except InputError: print('refused')\n"
    )
    # Header, object headers, names: places that h5py answers with different exceptions.
    places = [whole.index(mark) for mark in (b"OHDR", b"TREE", b"HEAP", b"SNOD") if mark in whole]
    assert places
    for place in places:
        broken.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        done = subprocess.run(
            [sys.executable, "-c", code, str(broken)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "refused\n"), (place, done.stderr)


def test_damage_is_found_by_checksum(tmp_path):
    path = write_dataset(tmp_path / "data.h5", small_config(), *arrays(5))
    with h5py.File(path, "a") as file:
        file["gathers"][3, 1, 1, 1] *= -1
    with open_dataset(path) as data:
        assert data.damaged() == [3]


def test_shard_folder_reads_like_a_file(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    settings = "dataset.samples=6"
    parts = [part(folder / f"shard-{a}.h5", a, a + 3, settings) for a in (0, 3)]
    merged = merge(parts, tmp_path / "merged.h5")
    with open_dataset(folder) as shards, open_dataset(merged) as whole:
        assert shards.samples == 6
        assert shards.identity == whole.identity
        np.testing.assert_array_equal(shards.read_gathers([5, 0]), whole.read_gathers([5, 0]))
    parts[1].unlink()
    with pytest.raises(InputError, match=r"3 of 6 samples are missing: 3 to 5; .*--resume"):
        open_dataset(folder)


def test_shard_folder_that_grew_while_it_was_made(tmp_path):
    part(tmp_path / "shard-0.h5", 0, 3, "dataset.samples=6")
    part(tmp_path / "shard-3.h5", 3, 8, "dataset.samples=8")
    with open_dataset(tmp_path) as data:
        assert data.samples == data.config.dataset.samples == 8


def test_shard_folder_with_a_gap_is_refused(tmp_path):
    part(tmp_path / "shard-0.h5", 0, 3, "dataset.samples=6")
    part(tmp_path / "shard-6.h5", 6, 9, "dataset.samples=6")
    with pytest.raises(InputError, match="3 of 6 samples are missing: 3 to 5"):
        open_dataset(tmp_path)


def test_full_disk_leaves_the_old_file(tmp_path):
    """A process that may write 100 kB only stands for a full disk."""
    path = write_dataset(tmp_path / "data.h5", small_config(), *arrays(3))
    before = path.read_bytes()
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "import numpy as np\n"
        "from test_store import arrays, small_config, write_dataset\n"
        "from seistomo.errors import DiskFullError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: write_dataset(sys.argv[1], small_config(), *arrays(400), overwrite=True)\n"
        "except DiskFullError as error: print(error)\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), here], capture_output=True, text=True, check=False
    )
    assert "the disk is full" in done.stdout, done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_predictions_survive_the_way_through_the_file(tmp_path):
    velocity, _ = arrays(3)
    depth, x = np.arange(11) * 15.0, np.arange(12) * 15.0
    path = tmp_path / "predictions.h5"
    write_predictions(path, velocity, np.array([4, 5, 9]), depth, x, {"run": "here"})
    read, indices, attributes = read_predictions(path)
    np.testing.assert_array_equal(read, velocity)
    assert indices.tolist() == [4, 5, 9]
    assert attributes["run"] == "here"
    with pytest.raises(InputError, match="not a seistomo file"):
        open_dataset(path)


def test_torch_loader_with_workers_reads_every_sample(tmp_path):
    from torch.utils.data import DataLoader

    velocity, gathers = arrays(14)
    path = write_dataset(tmp_path / "data.h5", small_config(), velocity, gathers)
    loader = DataLoader(GatherDataset(path, "train"), batch_size=3, num_workers=2)
    seen = np.concatenate([models.numpy() for _, models in loader])
    with open_dataset(path) as data:
        np.testing.assert_array_equal(seen, velocity[data.indices("train")])


def test_ctrl_c_while_hdf5_writes_comes_afterwards(tmp_path):
    """A signal inside HDF5's calls to our file would break it and fill the screen."""
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from seistomo.dataset.store import hdf5\n"
        "from test_store import arrays, small_config, write_dataset\n"
        "write = hdf5._PatientFile.write\n"
        "def interrupted(self, data):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return write(self, data)\n"
        "hdf5._PatientFile.write = interrupted\n"
        "try: write_dataset(sys.argv[1], small_config(), *arrays(20))\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data.h5"), here],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    assert list(tmp_path.iterdir()) == []
