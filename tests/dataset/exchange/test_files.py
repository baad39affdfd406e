import numpy as np
import pytest

from seistomo.dataset.exchange.files import open_files
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

VALUES = np.full((2, 4, 5), 2000, np.float32)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", lambda path: np.save(path, VALUES)),
        ("a.NPZ", lambda path: np.savez(path.open("wb"), velocity=VALUES)),
        ("a.bin", lambda path: VALUES.tofile(path)),
    ],
)
def test_the_ending_says_the_format(tmp_path, name, write):
    write(tmp_path / name)
    shape = (4, 5) if name.endswith("bin") else None
    (file,) = open_files([tmp_path / name], FileOptions(shape=shape))
    assert (file.models, file.shape) == (2, (4, 5))


def test_a_format_asked_for_wins(tmp_path):
    VALUES.tofile(tmp_path / "a.npy")
    (file,) = open_files([tmp_path / "a.npy"], FileOptions(format="raw", shape=(4, 5)))
    assert file.models == 2


def test_files_of_a_folder_stand_in_the_order_of_their_numbers(tmp_path):
    for number in (1, 2, 10, 9):
        np.save(tmp_path / f"model{number}.npy", VALUES)
        np.save(tmp_path / f"data{number}.npy", np.ones((2, 3, 6, 5)))
    names = [file.path.name for file in open_files([tmp_path], FileOptions())]
    assert names == ["model1.npy", "model2.npy", "model9.npy", "model10.npy"]


def test_openfwis_own_folders_are_found(tmp_path):
    (tmp_path / "model").mkdir()
    np.save(tmp_path / "model" / "model1.npy", VALUES)
    assert len(open_files([tmp_path], FileOptions())) == 1
    np.save(tmp_path / "vel4_1_0.npy", VALUES)
    (file,) = open_files([tmp_path], FileOptions())
    assert file.path.name == "vel4_1_0.npy"


def test_paths_stay_in_the_order_given(tmp_path):
    for name in "ba":
        np.save(tmp_path / f"{name}.npy", VALUES)
    paths = [tmp_path / "b.npy", tmp_path / "a.npy"]
    assert [file.path for file in open_files(paths, FileOptions())] == paths


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("none.npy", {}, "none.npy: no such file"),
        ("a.mat", {}, r"the ending .mat says no format; give --format, one of openfwi, segy"),
        ("a", {}, "says no format"),
        ("a.npy", {"format": "mat"}, "--format mat: must be one of openfwi, segy, npz, raw"),
        ("empty", {}, "holds no known files"),
        ("empty", {"format": "npz"}, r"holds no npz files of velocity models \(\*.npz\)"),
        ("empty", {"format": "raw"}, "give the files themselves"),
        ("mixed", {}, "holds openfwi and npz files; give --format"),
        ("a.npy", {"key": "vp"}, "--key: is for npz files, not openfwi"),
        ("a.npy", {"shape": (4, 5)}, "--shape: is for raw files, not openfwi"),
        ("a.npy", {"byte_order": "big"}, "--byte-order: is for raw files, not openfwi"),
        ("a.segy", {"fastest": "depth"}, "--fastest: is for openfwi and npz and raw files"),
    ],
)
def test_what_is_unclear_is_refused(tmp_path, name, options, words):
    np.save(tmp_path / "a.npy", VALUES)
    for other in ("a.mat", "a", "a.segy"):
        (tmp_path / other).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    np.save(tmp_path / "mixed" / "model1.npy", VALUES)
    np.savez(tmp_path / "mixed" / "a.npz", VALUES)
    with pytest.raises(InputError, match=words):
        open_files([tmp_path / name], FileOptions(**options))


def test_a_damaged_list_of_samples_is_named(tmp_path):
    np.save(tmp_path / "model1.npy", VALUES)
    (tmp_path / "export.json").write_text("{}")
    (tmp_path / "samples.csv").write_text("velocity,place,row\nmodel1.npy,first,2\n")
    with pytest.raises(InputError, match=r"samples\.csv: damaged"):
        open_files([tmp_path], FileOptions())
