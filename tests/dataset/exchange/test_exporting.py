"""Data sets for other programs: the samples asked for, whole or not at all, in each layout."""

import csv
import json

import numpy as np
import pytest

from seistomo.config import parse_config
from seistomo.dataset import (
    open_dataset,
    open_velocity,
    write_dataset,
    write_predictions,
    write_velocity,
)
from seistomo.dataset.exchange import export_dataset, import_velocity
from seistomo.dataset.exchange.exporting import FORMATS
from seistomo.errors import DiskFullError, InputError
from seistomo.velocity import VelocityModel

OUT = {"openfwi": "out", "segy": "out", "npz": "out.npz", "hdf5": "out.h5"}
WRITERS = {
    "openfwi": "exchange.openfwi.write_header",
    "segy": "exchange.segy.write_segy",
    "npz": "exchange.npz._put",
    "hdf5": "store.writer.RowWriter.flush",
}


def content(path):
    if path.is_file():
        return path.read_bytes()
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize(
    ("split", "indices", "expected"),
    [
        ("train", None, [0, 1, 3, 5, 6, 8, 10, 11, 13, 15]),
        ("validation", None, [2, 7, 12]),
        ("test", [2, 0], [14, 4]),
        ("all", [5, 0], [5, 0]),
    ],
)
def test_samples_are_chosen_within_the_split(data_path, tmp_path, split, indices, expected):
    export_dataset(data_path, tmp_path / "p.h5", "hdf5", split=split, indices=indices)
    with open_dataset(tmp_path / "p.h5") as part:
        assert part.seeds(range(part.samples))[:, 1].tolist() == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_an_output_stays_unless_told_otherwise_and_where_writing_fails(
    data_path, tmp_path, monkeypatch, kind
):
    out = tmp_path / OUT[kind]
    export_dataset(data_path, out, kind, indices=[0])
    before = content(out)
    with pytest.raises(InputError, match="exists already; use --overwrite"):
        export_dataset(data_path, out, kind, indices=[1])
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*arguments, error=error, **options):
            raise error

        monkeypatch.setattr(f"seistomo.dataset.{WRITERS[kind]}", fail)
        with pytest.raises(DiskFullError if isinstance(error, OSError) else KeyboardInterrupt):
            export_dataset(data_path, out, kind, indices=[1], overwrite=True)
        monkeypatch.undo()
        assert content(out) == before
    export_dataset(data_path, out, kind, indices=[1], overwrite=True)
    assert content(out) != before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("matlab", {}, "--format matlab: must be one of openfwi, segy, npz, hdf5"),
        ("npz", {"indices": [16]}, "--indices = 16: there are 16, 0 to 15"),
        ("npz", {"indices": [3, 3]}, "no sample twice"),
        ("npz", {"file_samples": 5}, "--file-samples: is for --format openfwi, not npz"),
        ("segy", {"numbers": "int8"}, "--numbers int8: must be one of ibm, ieee"),
    ],
)
def test_bad_requests_are_one_line(data_path, tmp_path, kind, options, words):
    with pytest.raises(InputError, match=words) as raised:
        export_dataset(data_path, tmp_path / OUT.get(kind, "out"), kind, **options)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_neither_the_data_set_nor_a_folder_of_others_is_replaced(write, data_path, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "export.json").write_text("{}")
    path = write(folder / "data.h5")
    for out, kind in ((path, "hdf5"), (folder, "openfwi")):
        with pytest.raises(InputError, match="holds the data set itself"):
            export_dataset(path, out, kind, overwrite=True)
    assert path.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    for kind, words in (("npz", "is a folder"), ("segy", "is not an exported folder")):
        with pytest.raises(InputError, match=words):
            export_dataset(data_path, tmp_path / "mine", kind, overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_a_subset_is_a_data_set_with_the_samples_as_they_were(write, tmp_path, storage):
    path = write(tmp_path / "d.h5", f"dataset.storage={storage}")
    rows = [12, 4, 9]
    export_dataset(path, tmp_path / "part.h5", "hdf5", indices=rows)
    with open_dataset(path) as whole, open_dataset(tmp_path / "part.h5") as part:
        assert part.samples == part.config.dataset.samples == 3
        assert part.config.dataset.storage == storage
        ours, theirs = part.stored(range(3)), whole.stored(rows)
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
        np.testing.assert_array_equal(part.wavelet, whole.wavelet)
        assert part.damaged() == []
        assert part.identity != whole.identity


def test_an_archive_has_everything_under_its_name(data_path, samples, tmp_path):
    rows = [11, 2, 9, 3, 0, 14, 7, 8, 1]
    for name in ("d.npz", "again.npz"):
        export_dataset(data_path, tmp_path / name, "npz", indices=rows)
    assert content(tmp_path / "d.npz") == content(tmp_path / "again.npz")
    with np.load(tmp_path / "d.npz") as file:
        chosen = [samples[row] for row in rows]
        names = ("velocity", "gathers", "salt_mask", "dead_trace", "split", "seed", "index")
        names += ("source_x", "source_depth", "receiver_x", "receiver_depth", "family")
        for name in names:
            expected = np.stack([getattr(sample, name) for sample in chosen])
            np.testing.assert_array_equal(file[name], expected, err_msg=name)
        assert (file["velocity"].dtype, file["gathers"].dtype) == (np.float32, np.float32)
        assert file["row"].tolist() == rows
        assert [json.loads(text) for text in file["parameters"]] == [{"number": n} for n in rows]
        np.testing.assert_allclose(file["depth"], np.arange(12) * 12.5)
        np.testing.assert_allclose(file["x"], np.arange(15) * 12.5)
        np.testing.assert_allclose(file["time"], np.arange(20) * 0.004)
        np.testing.assert_array_equal(file["wavelet"], np.sin(np.arange(20.0)))
        assert file["spacing"] == 12.5
        assert parse_config(str(file["config"])).velocity.shape == (12, 15)


# OpenFWI's layout


def read_list(path, file_size):
    """Read a list as the public training code does: equal files, samples by division."""
    batches = [line.split("\t") for line in path.read_text().splitlines(keepends=True)]
    assert all(line[1].endswith("\n") for line in batches), "the code drops the last character"
    pairs = [(np.load(data), np.load(model[:-1])) for data, model in batches]
    for number in range(len(batches) * file_size):
        data, model = pairs[number // file_size]
        yield data[number % file_size], model[number % file_size]


def test_lists_name_all_samples_of_equal_files(data_path, samples, tmp_path):
    summary = export_dataset(data_path, tmp_path / "out", "openfwi", file_samples=1)
    assert summary.endswith("16 samples as openfwi, 16 pairs of files")
    for split, name in enumerate(("train.txt", "val.txt", "test.txt")):
        expected = [sample for sample in samples if sample.split == split]
        found = list(read_list(tmp_path / "out" / name, 1))
        assert len(found) == len(expected) > 0
        for (data, model), sample in zip(found, expected, strict=True):
            assert data.shape == (3, 20, 5)
            assert (data.dtype, model.dtype) == (np.float32, np.float32)
            np.testing.assert_array_equal(data, sample.gathers.transpose(0, 2, 1))
            assert model.shape == (1, 12, 15)
            np.testing.assert_array_equal(model[0], sample.velocity)


def test_files_hold_as_many_samples_as_the_smallest_split(data_path, samples, tmp_path, capsys):
    # 10 train, 3 validation, 3 test.
    export_dataset(data_path, tmp_path / "out", "openfwi")
    out = tmp_path / "out"
    assert [len(np.load(out / f"data{n}.npy")) for n in range(1, 7)] == [3, 3, 3, 1, 3, 3]
    assert len(list(read_list(out / "train.txt", 3))) == 9
    assert "data4.npy" not in (out / "train.txt").read_text()
    said = capsys.readouterr().err
    assert "1 train left over" in said
    assert "this layout holds no positions" in said
    (entry,) = json.loads((out / "dataset_config.json").read_text()).values()
    assert entry["data_min"] == min(float(sample.gathers.min()) for sample in samples)
    assert entry["data_max"] == max(float(sample.gathers.max()) for sample in samples)
    expected = {"label_min": 1450, "label_max": 4650, "file_size": 3, "dx": 12.5, "nt": 20}
    expected |= {"dt": 0.004, "f": 8, "n_grid": 15, "ns": 3, "ng": 5}
    assert expected.items() <= entry.items()


def test_every_sample_can_be_found(data_path, samples, tmp_path):
    export_dataset(data_path, tmp_path / "out", "openfwi", file_samples=4)
    with (tmp_path / "out" / "samples.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert sorted(int(line["row"]) for line in lines) == list(range(16))
    for line in lines:
        sample = samples[int(line["row"])]
        place = int(line["place"])
        model = np.load(tmp_path / "out" / line["velocity"])[place, 0]
        np.testing.assert_array_equal(model, sample.velocity)
        data = np.load(tmp_path / "out" / line["gathers"])[place]
        np.testing.assert_array_equal(data, sample.gathers.transpose(0, 2, 1))
        assert (int(line["index"]), line["family"]) == (sample.index, sample.family)


def test_gathers_of_one_split_come_back_as_a_data_set(data_path, tmp_path, capsys):
    """The recipe of docs/data.md, by memory map."""
    export_dataset(data_path, tmp_path / "out", "openfwi", split="train")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["train.txt"]
    assert "left over" not in capsys.readouterr().err
    gathers = np.load(tmp_path / "out" / "data1.npy", mmap_mode="r").swapaxes(2, 3)
    velocity = np.load(tmp_path / "out" / "model1.npy", mmap_mode="r")[:, 0]
    with open_dataset(data_path) as data:
        rows = data.indices("train")
        made = write_dataset(tmp_path / "back.h5", data.config, velocity, gathers)
        with open_dataset(made) as back:
            np.testing.assert_array_equal(back.read_gathers(range(10)), data.read_gathers(rows))
            np.testing.assert_array_equal(back.read_velocity(range(10)), data.read_velocity(rows))


# There and back


@pytest.fixture(params=["data set", "velocity file", "predictions"])
def models_path(request, data_path, samples, tmp_path):
    path, velocity = tmp_path / "models.h5", np.stack([sample.velocity for sample in samples])
    if request.param == "data set":
        return data_path
    if request.param == "predictions":
        axes = np.arange(12) * 12.5, np.arange(15) * 12.5
        write_predictions(path, velocity, np.arange(16) + 4, *axes, {"run": "run"})
    else:
        models = [VelocityModel(v, v > 4000, "mine", {"n": n}) for n, v in enumerate(velocity)]
        write_velocity(path, models, 12.5)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_models_go_out_and_come_back(models_path, data_path, samples, tmp_path, kind):
    out = tmp_path / {"npz": "v.npz", "hdf5": "part.h5"}.get(kind, "out")
    done = export_dataset(models_path, out, kind, indices=[9, 1, 4])
    assert f"3 {'samples' if models_path == data_path else 'models'} as" in done
    import_velocity([out], tmp_path / "back.h5")
    # A folder comes back in the order of the data set.
    rows = [1, 4, 9] if kind in ("openfwi", "segy") else [9, 1, 4]
    with open_velocity(tmp_path / "back.h5") as back, open_velocity(models_path) as before:
        expected = np.stack([samples[row].velocity for row in rows])
        np.testing.assert_array_equal(back.read_velocity(range(3)), expected)
        assert back.spacing == 12.5
        assert back.families(range(3)) == before.families(rows)
        if kind in ("npz", "hdf5"):
            masks = back.read_salt_mask(range(3)), before.read_salt_mask(rows)
            np.testing.assert_array_equal(*masks)
    if kind in ("openfwi", "segy") and models_path != data_path:
        names = {path.name for path in out.iterdir()}
        assert not any(name.startswith(("data1", "gathers", "train")) for name in names)
