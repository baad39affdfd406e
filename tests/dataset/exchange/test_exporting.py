import pytest

from seistomo.dataset import open_dataset
from seistomo.dataset.exchange.exporting import FORMATS, export_dataset
from seistomo.errors import DiskFullError, InputError

WRITERS = {
    "openfwi": "openfwi_writer.write_samples",
    "segy": "segy_writer.write_segy",
    "npz": "npz_writer._put",
    "hdf5": "hdf5.DatasetWriter.append_stored",
}


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
def test_an_existing_output_stays_unless_told_otherwise(data_path, tmp_path, kind):
    out = tmp_path / "out"
    export_dataset(data_path, out, kind, indices=[0])
    before = content(out)
    with pytest.raises(InputError, match="exists already; use --overwrite"):
        export_dataset(data_path, out, kind, indices=[1])
    assert content(out) == before
    export_dataset(data_path, out, kind, indices=[1], overwrite=True)
    assert content(out) != before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("kind", FORMATS)
def test_what_fails_leaves_nothing_and_the_old_output(
    data_path, tmp_path, monkeypatch, kind, error
):
    def fail(*arguments, **options):
        raise error

    out = tmp_path / "out"
    export_dataset(data_path, out, kind, indices=[0])
    before = content(out)
    monkeypatch.setattr(f"seistomo.dataset.exchange.{WRITERS[kind]}", fail)
    with pytest.raises(DiskFullError if isinstance(error, OSError) else KeyboardInterrupt):
        export_dataset(data_path, out, kind, indices=[1], overwrite=True)
    assert content(out) == before
    assert list(tmp_path.iterdir()) == [out]


def content(path):
    if path.is_file():
        return path.read_bytes()
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("matlab", {}, "--format matlab: must be one of openfwi, segy, npz, hdf5"),
        ("npz", {"split": "tset"}, "'tset'"),
        ("npz", {"indices": [16]}, "--indices 16: the split all has 16 samples, 0 to 15"),
        ("npz", {"indices": [-1]}, "--indices -1"),
        ("npz", {"indices": [3, 3]}, "none of them twice"),
        ("npz", {"indices": []}, "must name samples"),
        ("npz", {"file_samples": 5}, "--file-samples: is for --format openfwi, not npz"),
        ("openfwi", {"numbers": "ibm"}, "--numbers: is for --format segy, not openfwi"),
    ],
)
def test_bad_requests_are_one_line(data_path, tmp_path, kind, options, words):
    with pytest.raises(InputError, match=words) as raised:
        export_dataset(data_path, tmp_path / "out", kind, **options)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_split_is_refused(write, tmp_path):
    path = write(tmp_path / "d.h5")
    export_dataset(path, tmp_path / "p.h5", "hdf5", split="train")
    with pytest.raises(InputError, match=r"--split test: .* has no such samples"):
        export_dataset(tmp_path / "p.h5", tmp_path / "q.h5", "hdf5", split="test")


def test_the_data_set_is_never_overwritten_by_its_export(write, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "export.json").write_text("{}")
    path = write(folder / "data.h5")
    for out, kind in ((path, "hdf5"), (folder, "openfwi")):
        with pytest.raises(InputError, match="holds the data set itself"):
            export_dataset(path, out, kind, overwrite=True)
    assert path.exists()


def test_a_folder_is_no_place_for_a_file(data_path, tmp_path):
    for kind in ("npz", "hdf5"):
        with pytest.raises(InputError, match="is a folder"):
            export_dataset(data_path, tmp_path, kind, overwrite=True)
