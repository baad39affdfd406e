"""Parts become one data set, or are read as one; or one line says what stands in the way."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import h5py
import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import merge, open_dataset
from seistomo.dataset.store import reader
from seistomo.dataset.store.writer import file_checksum, write_samples
from seistomo.errors import InputError

SETTINGS = [
    "velocity.shape=[11, 12]",
    "survey.sources=2",
    "survey.receivers=5",
    "survey.time_samples=16",
]
WAVELET = np.hanning(16)


def write_part(path, indices, *settings, samples=7, shard=None, wavelet=WAVELET):
    """Write samples whose content follows from their index."""
    config = load_config("", [*SETTINGS, f"dataset.samples={samples}", *settings])
    path.parent.mkdir(exist_ok=True)
    samples = []
    for index in indices:
        rng = np.random.default_rng(index)
        velocity = rng.uniform(1500, 4600, (11, 12)).astype(np.float32)
        samples.append(
            {
                "velocity": velocity,
                "gathers": rng.normal(size=(2, 5, 16)).astype(np.float32),
                "salt_mask": velocity > 4225,
                "dead_trace": rng.random((2, 5)) < 0.2,
                "source_x": rng.random(2),
                "source_depth": np.zeros(2),
                "receiver_x": rng.random(5),
                "receiver_depth": np.zeros(5),
                "index": index,
                "seed": 0,
                "split": index % 3,
                "family": f"family {index}",
                "parameters": {"number": index, "name": "é" * index},
            }
        )
    write_samples(path, config, samples, wavelet, shard)
    return path


def write_parts(folder, *cuts, **more):
    return [
        write_part(folder / f"part-{number}.h5", range(a, b), **more)
        for number, (a, b) in enumerate(pairwise(cuts), start=1)
    ]


def refusal(parts, out, **options):
    with pytest.raises(InputError) as caught:
        merge(parts, out, **options)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_merged_file_does_not_depend_on_the_parts(tmp_path):
    cuts = [(0, 7), (0, 3, 7), (0, 1, 2, 6, 7)]
    files = []
    for number, cut in enumerate(cuts):
        parts = write_parts(tmp_path / str(number), *cut)
        files.append(merge(parts[::-1], tmp_path / f"{number}.h5").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize(("storage", "virtual"), [("float16", True), ("float32", False)])
def test_every_variable_arrives(tmp_path, storage, virtual, monkeypatch):
    # Blocks of one sample and of a few.
    monkeypatch.setattr("seistomo.dataset.store.parts.BLOCK_BYTES", 10000)
    settings = f"dataset.storage={storage}"
    whole = write_part(tmp_path / "whole.h5", range(7), settings)
    parts = [
        write_part(tmp_path / "a.h5", range(5), settings),
        write_part(tmp_path / "b.h5", range(5, 7), settings),
    ]
    merged = merge(parts, tmp_path / "merged.h5", virtual=virtual)
    with h5py.File(whole) as one, h5py.File(merged) as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name][...], other[name][...], err_msg=name)
            assert one[name].dtype == other[name].dtype
        ours, theirs = (
            {k: v for k, v in f.attrs.items() if not virtual or k not in ("parts", "checksum")}
            for f in (one, other)
        )
        assert ours == theirs


def test_a_virtual_set_reads_the_same_from_anywhere(tmp_path, monkeypatch):
    parts = write_parts(tmp_path / "parts", 0, 2, 7)
    copied = merge(parts, tmp_path / "copied.h5")
    virtual = merge(parts, tmp_path / "virtual.h5", virtual=True)
    monkeypatch.chdir("/")
    with open_dataset(copied) as one, open_dataset(virtual) as other:
        assert one.identity == other.identity
        np.testing.assert_array_equal(one.read_gathers(range(7)), other.read_gathers(range(7)))
        assert other.damaged() == []
    with h5py.File(parts[1], "a") as file:
        del file["velocity"]
    with pytest.raises(InputError, match=r"part-2\.h5: damaged"):
        open_dataset(virtual)
    write_part(parts[1], range(2, 7), "survey.frequency=6.0")
    with pytest.raises(InputError, match=r"part-2\.h5, which holds other samples now"):
        open_dataset(virtual)
    parts[1].unlink()
    with pytest.raises(InputError, match="which is gone"):
        open_dataset(virtual)


@pytest.mark.parametrize("named", ["folder", "parts"])
def test_a_part_under_the_name_of_the_output_is_seen(tmp_path, named):
    """Also where the folder is named: it is no older output."""
    folder = tmp_path / "parts"
    parts = write_parts(folder, 0, 2, 7)
    before = [part.read_bytes() for part in parts]
    given = [folder] if named == "folder" else parts
    with pytest.raises(InputError, match=r"--out .*part-1.h5: is one of the parts, which --virtua"):
        merge(given, parts[0], virtual=True, overwrite=True)
    assert [part.read_bytes() for part in parts] == before
    assert sorted(folder.iterdir()) == parts
    # A copy may take a part's place: it is whole before the part goes.
    assert open_dataset(merge(given, parts[0], overwrite=True)).samples == 7


def test_all_that_is_missing_is_told_at_once(tmp_path):
    a, b, c, d, e = write_parts(tmp_path, 0, 2, 4, 5, 6, 10, samples=12)
    assert "4 of 12 samples are missing: 2 to 3, 10 to 11" in refusal(
        [a, c, d, e], tmp_path / "out.h5"
    )
    assert "samples are missing: 0 to 3, 5, 10 to 11" in refusal([c, e], tmp_path / "out.h5")
    assert "made by" not in refusal([a, b], tmp_path / "out.h5")


def test_the_missing_parts_of_a_job_array_are_named(tmp_path):
    parts = [
        write_part(tmp_path / f"{i}.h5", [i - 1], samples=12, shard=(i, 12))
        for i in (1, 4, 5, 6, 8, 12)
    ]
    message = refusal(parts, tmp_path / "out.h5")
    assert "6 of 12 samples are missing: 1 to 2, 6, 8 to 10" in message
    assert "(made by simulate --shard i/12 for i = 2-3,7,9-11)" in message
    # Parts of several divisions: nobody knows which was meant.
    parts.append(write_part(tmp_path / "other.h5", [1, 2], samples=12, shard=(2, 6)))
    assert "made by" not in refusal(parts, tmp_path / "out.h5")


def test_missing_last_samples_may_be_accepted(tmp_path, capsys):
    a, b, c = write_parts(tmp_path, 0, 2, 5, 7, samples=9)
    merged = merge([a, b, c], tmp_path / "some.h5", partial=True)
    assert "holds samples 0 to 6 of 9; the last ones are missing" in capsys.readouterr().err
    with open_dataset(merged) as data:
        assert data.samples == data.config.dataset.samples == 7
    assert "2 to 4" in refusal([a, c], tmp_path / "out.h5", partial=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": ["survey.frequency=6.0"]}, r"survey.frequency = 6.0, but .*1.h5 has 8.0"),
        ({"settings": ['velocity.imported="x"']}, r"velocity.imported = 'x', but .* has None"),
        ({"wavelet": WAVELET * 1.001}, "holds another wavelet than"),
    ],
)
def test_parts_of_another_set_are_refused(tmp_path, change, words):
    first = write_part(tmp_path / "1.h5", range(5))
    settings = change.pop("settings", [])
    stranger = write_part(tmp_path / "2.h5", range(5, 7), *settings, **change)
    with pytest.raises(InputError, match=words):
        merge([first, stranger], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_wavelets_that_differ_by_rounding_are_the_same(tmp_path):
    """Another processor may compute the last digit otherwise; the file may have another name."""
    one, other = (f"survey.wavelet_file={name}" for name in ("a.txt", "/elsewhere/b.txt"))
    first = write_part(tmp_path / "1.h5", range(5), 'survey.wavelet="file"', one)
    rounded = WAVELET * (1 + 1e-15)
    second = write_part(
        tmp_path / "2.h5", range(5, 7), 'survey.wavelet="file"', other, wavelet=rounded
    )
    assert open_dataset(merge([first, second], tmp_path / "out.h5")).samples == 7


def test_what_is_odd_with_a_part_is_told_and_the_old_file_stays(tmp_path, capsys):
    first, second = write_parts(tmp_path, 0, 2, 7)
    with h5py.File(second, "a") as file:
        file.attrs["software"] = '{"deepwave": "9.9"}'
        file.attrs.modify("checksum", np.array(file_checksum(file), "S16"))
    out = merge([first, second], tmp_path / "out.h5")
    assert "part-2.h5: made with deepwave 9.9" in capsys.readouterr().err
    chosen = write_part(tmp_path / "chosen.h5", [1, 4, 5])
    assert "holds chosen samples of a data set" in refusal([chosen], tmp_path / "no.h5")
    assert "no parts given" in refusal([], tmp_path / "no.h5")
    before, whole = out.read_bytes(), second.read_bytes()
    place = whole.index(b"HEAP")
    second.write_bytes(whole[:place] + bytes(200) + whole[place + 200 :])
    with pytest.raises(InputError, match=r"part-2\.h5: damaged"):
        merge([first, second], out, overwrite=True)
    assert out.read_bytes() == before
    with pytest.raises(InputError, match="exists already; use --overwrite"):
        merge([first, second], out)


def write_folder(folder, cuts=(0, 2, 3, 7)):
    """Write parts whose names sort otherwise than their samples."""
    parts = write_parts(folder, *cuts)
    for number, part in enumerate(parts):
        part.rename(folder / f"part-{len(parts) + 8 - number}.h5")
    return sorted(folder.iterdir())


def test_parts_read_as_the_set_that_they_hold(tmp_path):
    parts = write_folder(tmp_path / "parts")
    whole = merge(parts, tmp_path / "whole.h5")
    with open_dataset(tmp_path / "parts") as folder, open_dataset(whole) as file:
        assert folder.samples == folder.config.dataset.samples == 7
        assert (folder.identity, folder.shard) == (file.identity, None)
        rows = [6, 0, 2, 3]
        np.testing.assert_array_equal(folder.read_gathers(rows), file.read_gathers(rows))
        np.testing.assert_array_equal(folder.splits, file.splits)
        np.testing.assert_array_equal(folder.seeds(rows), file.seeds(rows))
        assert folder.families(rows) == file.families(rows)
        assert folder.models_identity == file.models_identity
        with pickle.loads(pickle.dumps(folder)) as copy:
            np.testing.assert_array_equal(copy.read_velocity([5]), file.read_velocity([5]))
        np.testing.assert_array_equal(folder.checksums, file.checksums)
        assert folder.damaged() == []
        assert set(folder.files) == set(parts)


def test_few_files_are_open_at_once_whoever_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "MOST_OPEN", 2)
    write_parts(tmp_path / "parts", *range(9), samples=8)
    rows = np.random.default_rng(0).integers(8, size=200)
    with open_dataset(tmp_path / "parts") as data, ThreadPoolExecutor(8) as threads:
        expected = data.read_velocity(range(8))
        read = threads.map(lambda row: data.read_velocity([row])[0], rows)
        for row, velocity in zip(rows, read, strict=True):
            np.testing.assert_array_equal(velocity, expected[row])
        assert len(data._opened) <= 2


def no_set(folder):
    with pytest.raises(InputError) as caught:
        open_dataset(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_a_merge_would_refuse_is_refused(tmp_path):
    folder = tmp_path / "parts"
    first, second, third = write_parts(folder, 0, 2, 3, 7)
    second.rename(tmp_path / "away.h5")
    assert f"{folder}: holds no whole data set: 1 of 7 samples is missing: 2" in no_set(folder)
    shutil.copy(tmp_path / "away.h5", second)
    shutil.copy(third, folder / "copy.h5")
    assert "copy.h5 and " in no_set(folder)
    assert "both hold samples 3 to 6" in no_set(folder)
    (folder / "copy.h5").unlink()
    write_part(third, range(3, 7), "survey.frequency=6.0")
    assert "part-3.h5: survey.frequency = 6.0, but" in no_set(folder)
    third.write_bytes(first.read_bytes()[:2000])
    assert "part-3.h5: truncated" in no_set(folder)
    for part in folder.iterdir():
        part.unlink()
    assert "parts: holds no parts of a data set (*.h5)" in no_set(folder)
