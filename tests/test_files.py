"""Files that appear whole or not at all."""

import errno
import os

import pytest

from seistomo.errors import DiskFullError, InputError
from seistomo.files import forget, require_space, written_whole


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
    dead, alive = tmp_path / ".file.txt.999999999.part", tmp_path / f".file.txt.{os.getppid()}.part"
    dead.touch()
    alive.touch()
    with written_whole(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert not dead.exists()
    assert alive.exists()


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
