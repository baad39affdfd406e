import errno

import pytest

from seistomo.errors import DiskFullError, InputError
from seistomo.evaluation.output import CONTENT, check_output_folder, folder_written_whole


def write_evaluation(folder, text="new"):
    for name in CONTENT:
        (folder / name).write_text(text)


@pytest.fixture
def existing(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write_evaluation(folder, "old")
    return folder


def test_folder_appears_at_the_end(tmp_path):
    out = tmp_path / "deep" / "out"
    with folder_written_whole(out, overwrite=False) as folder:
        write_evaluation(folder)
        assert not out.exists()
    assert (out / "metrics.json").read_text() == "new"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_nothing(tmp_path, error):
    def fail():
        with folder_written_whole(tmp_path / "out", overwrite=False) as folder:
            write_evaluation(folder)
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_existing_evaluation_is_kept_without_overwrite(existing):
    with pytest.raises(InputError, match="--overwrite"):
        check_output_folder(existing, overwrite=False)


def test_overwrite_replaces_an_evaluation(existing):
    (existing / "stale.txt").write_text("x")
    with folder_written_whole(existing, overwrite=True) as folder:
        write_evaluation(folder)
    assert sorted(path.name for path in existing.iterdir()) == sorted(CONTENT)
    assert (existing / "samples.csv").read_text() == "new"
    assert [path.name for path in existing.parent.iterdir()] == ["out"]


def test_failed_overwrite_keeps_the_old_one(existing):
    with pytest.raises(RuntimeError), folder_written_whole(existing, overwrite=True):
        raise RuntimeError
    assert (existing / "metrics.json").read_text() == "old"
    assert [path.name for path in existing.parent.iterdir()] == ["out"]


def test_nothing_but_an_evaluation_is_ever_replaced(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(InputError, match="not an evaluation"):
        check_output_folder(tmp_path, overwrite=True)
    with pytest.raises(InputError, match="not an evaluation"):
        check_output_folder(tmp_path / "precious.txt", overwrite=True)


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    with folder_written_whole(tmp_path / "out", overwrite=False) as folder:
        write_evaluation(folder)
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_the_working_folder_is_used(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    with folder_written_whole(".", overwrite=False) as folder:
        write_evaluation(folder)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(InputError, match="cannot be written"),
        folder_written_whole(tmp_path / "file" / "out", False),
    ):
        pass


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), DiskFullError("inner")])
def test_full_disk_is_told_in_one_line(existing, error):
    def fail():
        with folder_written_whole(existing, overwrite=True):
            raise error

    with pytest.raises(DiskFullError, match=f"{existing}: the disk is full") as raised:
        fail()
    assert "\n" not in str(raised.value)
    assert (existing / "metrics.json").read_text() == "old"
