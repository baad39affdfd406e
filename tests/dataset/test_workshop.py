"""The folder of shards: who may work in it, and what is left of it."""

import shutil

import pytest

from seistomo.config import load_config
from seistomo.dataset.workshop import Workshop
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


def test_what_is_missing_is_cut_into_shards(tmp_path):
    config = load_config("", ["dataset.samples=10", "dataset.shard_samples=4"])
    with Workshop(tmp_path / "data.h5", resume=False, overwrite=False) as workshop:
        assert workshop.missing_ranges(config) == [(0, 4), (4, 8), (8, 10)]
        assert not workshop.is_finished(config)
