import pytest

from seistomo.benchmarks.generalization.folder import RESULTS, ResultFolder
from seistomo.errors import InputError

SETTINGS = {"--samples": 4, "--shape": (3, 5), "--marmousi": None}


def begin(path, **changed):
    return ResultFolder(path, {**SETTINGS, **changed}, overwrite=False)


@pytest.fixture
def begun(tmp_path):
    folder = begin(tmp_path / "out")
    for path in (folder.data("density"), folder.scores("snr-0")):
        path.parent.mkdir()
        path.write_text("{}")
    return folder


def test_the_same_settings_go_on(begun):
    assert begin(begun.path).scores("snr-0").exists()


def test_other_settings_are_refused(begun):
    with pytest.raises(InputError, match="made with --samples = 4, now it is 5") as caught:
        begin(begun.path, **{"--samples": 5})
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="--marmousi = none, now it is abc"):
        begin(begun.path, **{"--marmousi": "abc"})
    assert begun.scores("snr-0").exists()


def test_a_refused_attempt_binds_nobody(tmp_path):
    folder = begin(tmp_path / "out")
    folder.data("reference-models").parent.mkdir()
    folder.data("reference-models").write_text("of the other settings")
    begin(tmp_path / "out", **{"--samples": 5})
    assert not folder.data("reference-models").exists()
    begin(tmp_path / "out", **{"--samples": 5})


def test_shards_of_the_first_data_set_are_kept(tmp_path):
    folder = begin(tmp_path / "out")
    folder.data("reference").with_suffix(".h5.shards").mkdir(parents=True)
    with pytest.raises(InputError, match="--samples"):
        begin(tmp_path / "out", **{"--samples": 5})


def test_overwriting_takes_only_what_is_ours(begun):
    (begun.path / "notes.txt").write_text("mine")
    for name in RESULTS:
        (begun.path / name).write_text("old")
    ResultFolder(begun.path, {"--samples": 9}, overwrite=True)
    assert sorted(path.name for path in begun.path.iterdir()) == ["notes.txt", "settings.json"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_folders_are_refused(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        ResultFolder(tmp_path, SETTINGS, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="no folder"):
        begin(tmp_path / "thesis.txt")


def test_damaged_settings_are_told(begun):
    (begun.path / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json is damaged"):
        begin(begun.path)
