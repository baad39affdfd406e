"""Files that appear whole or not at all."""

import errno
import os
import socket

import pytest

from seistomo.errors import DiskFullError, InputError
from seistomo.files import folder_written_whole, forget, require_space, written_whole

HOST = socket.gethostname()


def test_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with written_whole(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "full"), DiskFullError),
        (PermissionError(errno.EACCES, "no"), InputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_the_old_file(tmp_path, error, raised):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(raised):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_but_not_a_living_ones(tmp_path):
    dead = tmp_path / f".file.txt.{HOST}-999999999.part"
    alive = tmp_path / f".file.txt.{HOST}-{os.getppid()}.part"
    elsewhere = tmp_path / f".file.txt.not-{HOST}-999999999.part"
    for leftover in (dead, alive, elsewhere):
        leftover.touch()
    with written_whole(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert not dead.exists()
    assert alive.exists()
    assert elsewhere.exists()


def test_what_a_killed_process_left_of_a_folder_is_removed_but_not_a_living_ones(tmp_path):
    dead, alive = (tmp_path / f".out.{HOST}-{pid}.part" for pid in (999999999, os.getppid()))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "half").touch()
    with folder_written_whole(tmp_path / "out") as folder:
        (folder / "content").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["content"]
    assert not dead.exists()
    assert (alive / "half").exists()


def test_a_folder_that_a_killed_process_moved_aside_is_put_back(tmp_path):
    aside = tmp_path / f".out.{HOST}-999999999.old"
    aside.mkdir()
    (aside / "content").write_text("old")
    with pytest.raises(ZeroDivisionError), folder_written_whole(tmp_path / "out"):
        raise ZeroDivisionError
    assert (tmp_path / "out" / "content").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_behind_a_link_is_written_where_it_is(tmp_path):
    (tmp_path / "disk" / "out").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    with folder_written_whole(tmp_path / "link") as folder:
        (folder / "content").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "out" / "content").exists()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "full"), DiskFullError),
        (DiskFullError("a file in it"), DiskFullError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_the_old_folder(tmp_path, error, raised):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()

    def write():
        with folder_written_whole(path) as folder:
            (folder / "half").touch()
            raise error

    with pytest.raises(raised) as caught:
        write()
    if raised is DiskFullError:
        assert str(caught.value).startswith(f"{path}: the disk is full")
    assert [item.name for item in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_way_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    with pytest.raises(InputError, match="file/out: cannot be written"), folder_written_whole(out):
        pass


def test_space_is_asked_for_in_one_line(tmp_path):
    require_space(tmp_path / "file", 1)
    with pytest.raises(DiskFullError, match=r"needs about 1000000000\.00 GB"):
        require_space(tmp_path / "not" / "yet" / "file", 10**18)


def test_forgetting_a_file_changes_nothing_in_it(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"abc" * 5000)
    forget(path)
    assert path.read_bytes() == b"abc" * 5000
    forget(tmp_path / "none")
