import csv
import json

import numpy as np
import pytest

from seistomo.dataset import open_dataset, write_dataset
from seistomo.dataset.exchange.exporting import export_dataset
from seistomo.errors import InputError


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
    assert str(summary).endswith("16 samples as openfwi, 16 pairs of files")
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


def test_files_hold_as_many_samples_as_the_smallest_split(data_path, tmp_path, capsys):
    # 10 train, 3 validation, 3 test.
    export_dataset(data_path, tmp_path / "out", "openfwi")
    out = tmp_path / "out"
    assert [len(np.load(out / f"data{n}.npy")) for n in range(1, 7)] == [3, 3, 3, 1, 3, 3]
    assert [len(np.load(out / f"model{n}.npy")) for n in range(1, 7)] == [3, 3, 3, 1, 3, 3]
    assert len(list(read_list(out / "train.txt", 3))) == 9
    assert "data4.npy" not in (out / "train.txt").read_text()
    assert "1 train left over" in capsys.readouterr().err
    settings = json.loads((out / "dataset_config.json").read_text())["out"]
    assert settings["file_size"] == 3


def test_a_split_alone_fills_files_to_500(write, tmp_path, capsys):
    export_dataset(write(tmp_path / "d.h5"), tmp_path / "out", "openfwi", split="train")
    assert len(np.load(tmp_path / "out" / "data1.npy")) == 10
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["train.txt"]
    assert "left over" not in capsys.readouterr().err


def test_settings_that_the_code_asks_for(data_path, samples, tmp_path):
    export_dataset(data_path, tmp_path / "out", "openfwi", file_samples=2)
    (entry,) = json.loads((tmp_path / "out" / "dataset_config.json").read_text()).values()
    assert entry["data_min"] == min(float(sample.gathers.min()) for sample in samples)
    assert entry["data_max"] == max(float(sample.gathers.max()) for sample in samples)
    expected = {"label_min": 1450, "label_max": 4650, "file_size": 2, "dx": 12.5, "nt": 20}
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


def test_positions_that_differ_are_warned_of(data_path, tmp_path, capsys):
    export_dataset(data_path, tmp_path / "out", "openfwi", indices=[0, 1])
    assert "this layout holds no positions" in capsys.readouterr().err
    export_dataset(data_path, tmp_path / "one", "openfwi", indices=[1])
    assert "positions" not in capsys.readouterr().err


def test_gathers_come_back_as_a_data_set(data_path, tmp_path):
    """The recipe of docs/data.md, by memory map."""
    export_dataset(data_path, tmp_path / "out", "openfwi", split="train")
    gathers = np.load(tmp_path / "out" / "data1.npy", mmap_mode="r").swapaxes(2, 3)
    velocity = np.load(tmp_path / "out" / "model1.npy", mmap_mode="r")[:, 0]
    with open_dataset(data_path) as data:
        rows = data.indices("train")
        made = write_dataset(tmp_path / "back.h5", data.config, velocity, gathers)
        with open_dataset(made) as back:
            np.testing.assert_array_equal(back.read_gathers(range(10)), data.read_gathers(rows))
            np.testing.assert_array_equal(back.read_velocity(range(10)), data.read_velocity(rows))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out", {"file_samples": 0}, "--file-samples 0: must be at least 1"),
        ("tab\tname", {}, "cannot hold a path with tabs"),
    ],
)
def test_what_the_lists_cannot_hold_is_refused(data_path, tmp_path, name, options, words):
    with pytest.raises(InputError, match=words):
        export_dataset(data_path, tmp_path / name, "openfwi", **options)
    assert list(tmp_path.iterdir()) == []
