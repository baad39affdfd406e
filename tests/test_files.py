"""Files and folders that appear whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from seistomo.errors import DiskFullError, InputError
from seistomo.files import folder_written_whole, require_space, written_whole


@contextmanager
def file_in_folder(path):
    """Write a folder as `written_whole` writes a file: the two keep the same promises."""
    with folder_written_whole(path) as folder:
        yield folder / "content"


def content(path):
    return (path / "content" if path.is_dir() else path).read_text()


BOTH = pytest.mark.parametrize("write", [written_whole, file_in_folder])


@BOTH
def test_it_appears_only_when_whole(tmp_path, write):
    path = tmp_path / "new" / "out"
    for text in ("first", "second"):
        with write(path) as place:
            place.write_text(text)
            assert not path.exists() or content(path) == "first"
        assert content(path) == text
        assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o444 == 0o444, "others may read it"


def test_torch_on_a_full_disk_is_one_line(tmp_path):
    """Its writer says RuntimeError, raised from the file's own error."""
    error = RuntimeError("unexpected pos 704 vs 598")
    error.__context__ = OSError(errno.ENOSPC, "full")
    with (
        pytest.raises(DiskFullError, match="out: the disk is full"),
        written_whole(tmp_path / "out"),
    ):
        raise error


@BOTH
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "full"), DiskFullError),
        (DiskFullError("a file in it"), DiskFullError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_what_was_there(tmp_path, write, error, raised):
    path = tmp_path / "out"
    with write(path) as place:
        place.write_text("old")

    def fail():
        with write(path) as place:
            place.write_text("half")
            raise error

    with pytest.raises(raised, match=f"{path}: the disk" if raised is DiskFullError else None):
        fail()
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@BOTH
def test_two_at_once_do_not_mix(tmp_path, write):
    path = tmp_path / "out"
    with write(path) as first:
        first.write_text("first, ")
        with write(path) as second:
            second.write_text("second")
        with first.open("a") as file:
            file.write("whole")
    assert content(path) == "first, whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("when", ["writing", "exchanging"])
def test_what_a_killed_process_left_is_tidied_by_the_next(tmp_path, when):
    path = tmp_path / "out"
    with folder_written_whole(path) as folder:
        (folder / "content").write_text("old")
    stop = "os.kill(os.getpid(), signal.SIGKILL)"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from seistomo.files import folder_written_whole\n"
        "with folder_written_whole(sys.argv[1]) as folder:\n"
        "    (folder / 'content').write_text('new')\n"
        + (
            f"    {stop}"
            if when == "writing"
            else f"    rename = Path.rename\n    calls = []\n"
            f"    Path.rename = lambda *a: {stop} if calls else calls.append(rename(*a))"
        )
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.exists() == (when == "writing")
    with pytest.raises(ZeroDivisionError), folder_written_whole(path):
        raise ZeroDivisionError
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@BOTH
def test_a_link_is_written_where_it_points(tmp_path, write):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "out")
    with write(link) as place:
        place.write_text("whole")
    assert link.is_symlink()
    assert content(tmp_path / "disk" / "out") == "whole"
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["out"]


@BOTH
def test_places_that_cannot_be_written_are_one_line(tmp_path, write):
    (tmp_path / "file").touch()
    os.symlink("loop", tmp_path / "loop")
    for name, words in (("file/out", "cannot be written"), ("loop", "a link to itself")):
        with pytest.raises(InputError, match=f"{name}: .*{words}"), write(tmp_path / name):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


def test_space_is_asked_for_in_one_line(tmp_path):
    require_space(tmp_path / "file", 1)
    with pytest.raises(DiskFullError, match=r"needs about 1000000000\.00 GB"):
        require_space(tmp_path / "not" / "yet" / "file", 10**18)
