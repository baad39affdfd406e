"""Shards are joined behind the simulation, whatever order they come in."""

import threading
from dataclasses import replace

import pytest

from seistomo.dataset import merge
from seistomo.dataset.assembly import Assembly
from seistomo.dataset.generate import simulate
from seistomo.dataset.store import part_at
from seistomo.errors import DiskFullError


@pytest.fixture(scope="module")
def parts(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    for number in range(1, 6):
        simulate(tiny(), folder / f"{number}.h5", shard=f"{number}/5")
    return [part_at(folder / f"{number}.h5") for number in range(1, 6)]


def test_parts_in_any_order_make_the_merged_file(tiny, parts, tmp_path):
    merge([part.path for part in parts], tmp_path / "merged.h5")
    out = tmp_path / "data.h5"
    with Assembly(out, tiny(), range(10), [parts[3]]) as assembly:
        for number in (4, 1, 0, 2):
            assert not out.exists()
            assembly.add(parts[number])
        assembly.finish()
    assert out.read_bytes() == (tmp_path / "merged.h5").read_bytes()


def test_leaving_early_leaves_the_old_file(tiny, parts, tmp_path):
    out = tmp_path / "data.h5"
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt), Assembly(out, tiny(), range(10), parts[:3]):
        raise KeyboardInterrupt
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
    assert not [thread for thread in threading.enumerate() if thread.name == "assembly"]


def test_what_goes_wrong_in_the_thread_is_told(tiny, parts, tmp_path, monkeypatch):
    from seistomo.dataset import assembly as module

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_merged", full)
    out = tmp_path / "data.h5"
    with (
        pytest.raises(DiskFullError, match=r"data\.h5: the disk is full"),
        Assembly(out, tiny(), range(10), parts) as assembly,
    ):
        assembly.finish()
    with Assembly(out, tiny(), range(10), []) as assembly:
        assembly._thread.join()
        with pytest.raises(DiskFullError):
            assembly.add(parts[0])
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_has_vanished_is_named(tiny, parts, tmp_path):
    gone = replace(parts[0], path=tmp_path / "gone.h5")
    with (
        pytest.raises(Exception, match=r"gone\.h5: no such file"),
        Assembly(tmp_path / "data.h5", tiny(), range(10), [gone, *parts[1:]]) as assembly,
    ):
        assembly.finish()
