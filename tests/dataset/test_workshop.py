"""The folder of shards: who may work in it, and what is left of it."""

import errno
import fcntl
import shutil
from itertools import pairwise

import numpy as np
import pytest

from seistomo.dataset import workshop as module
from seistomo.dataset.order import Order
from seistomo.dataset.store import DatasetWriter, Sample
from seistomo.dataset.store.parts import missing_ranges
from seistomo.dataset.workshop import Workshop, cut
from seistomo.errors import InputError


def test_nobody_else_gets_in_while_it_is_tidied_up(tmp_path, monkeypatch):
    """Another process that began between the unlocking and the tidying would lose its shards."""
    out, remove, refused = tmp_path / "data.h5", shutil.rmtree, []

    def try_to_enter_and_remove(path, **options):
        with (
            pytest.raises(InputError, match="another process"),
            Workshop(out, resume=True, overwrite=False),
        ):
            pass
        refused.append(path)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", try_to_enter_and_remove)
    with Workshop(out, resume=False, overwrite=False):
        pass
    assert refused
    assert list(tmp_path.iterdir()) == []


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="choose one of"):
        Workshop(tmp_path / "data.h5", resume=True, overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_cut_into_shards():
    assert cut([(0, 10)], 4) == [(0, 4), (4, 8), (8, 10)]
    assert cut([(3, 4), (6, 10)], 3) == [(3, 4), (6, 9), (9, 10)]
    assert cut([], 3) == []


def write_shard(workshop, config, start, stop):
    """Write a shard of zeros."""
    depth, x = config.velocity.shape
    survey = config.survey
    wavelet = Order(config, workshop.out).wavelet
    with DatasetWriter(workshop.shard_path(start, stop), config, stop - start, wavelet) as writer:
        for index in range(start, stop):
            writer.append(
                Sample(
                    velocity=np.full((depth, x), 2000.0, np.float32),
                    gathers=np.zeros(
                        (survey.sources, survey.receivers, survey.time_samples), np.float32
                    ),
                    salt_mask=np.zeros((depth, x), bool),
                    dead_trace=np.zeros((survey.sources, survey.receivers), bool),
                    source_x=np.zeros(survey.sources),
                    source_depth=np.zeros(survey.sources),
                    receiver_x=np.zeros(survey.receivers),
                    receiver_depth=np.zeros(survey.receivers),
                    index=index,
                    seed=config.dataset.seed,
                    split=0,
                )
            )


def test_shards_that_overlap_are_used_once(tiny, tmp_path):
    """A rank that outlives its launch may leave one, cut for another number of ranks."""
    config = tiny()
    with Workshop(tmp_path / "data.h5", resume=False, overwrite=False) as workshop:
        for start, stop in ((0, 2), (0, 3), (2, 4), (3, 4), (5, 7), (6, 9)):
            write_shard(workshop, config, start, stop)
        wavelet = Order(config, workshop.out).wavelet
        parts = workshop.finished_parts(config, range(10), wavelet)
        assert all(one.stop <= other.start for one, other in pairwise(parts))
        held = sum(part.samples for part in parts)
        gaps = missing_ranges(parts, range(10))
        assert held + sum(stop - start for start, stop in gaps) == 10
        assert [(part.start, part.stop) for part in parts] == [(0, 3), (3, 4), (5, 7)]
        assert gaps == [(4, 5), (7, 10)]


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, capsys):
    def no_locks(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with Workshop(tmp_path / "data.h5", resume=False, overwrite=False):
        pass
    assert "this file system has no locks" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_busy_until_the_lock_is_closed_goes_too(tmp_path, monkeypatch):
    """So it is on network file systems, which keep an open file under another name."""
    workshop = Workshop(tmp_path / "data.h5", resume=False, overwrite=False)
    with workshop:
        monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: (path / "lock").unlink())
    assert not workshop.folder.exists()


def test_a_machine_that_does_not_see_the_folder_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEEN_AFTER", 0.2)
    seen = Workshop(tmp_path / "data.h5", resume=False, overwrite=False)
    with pytest.raises(InputError, match="must be in a folder that all machines share"):
        seen.require_shared()
    with seen:
        Workshop(tmp_path / "data.h5", resume=True, overwrite=False).require_shared()
