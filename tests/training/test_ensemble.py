"""Members are ordinary runs; an ensemble is a run that predicts their mean."""

import shutil

import numpy as np
import pytest

from seistomo.errors import InputError
from seistomo.training import load_run, train, train_ensemble


@pytest.fixture(scope="module")
def folder(dataset, make_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ensemble"
    train_ensemble(make_config("training.epochs=2", "training.seed=3"), dataset, folder, 2)
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def weights(run):
    return {name: values.numpy() for name, values in load_run(run).network.state_dict().items()}


def test_members_are_runs_of_their_own_seeds(folder, dataset, make_config, tmp_path, arrays):
    train(make_config("training.epochs=2", "training.seed=4"), dataset, tmp_path / "run")
    np.testing.assert_equal(weights(folder / "member-1"), weights(tmp_path / "run"))
    members = [load_run(folder / f"member-{number}") for number in (0, 1)]
    assert [run.config.training.seed for run in members] == [3, 4]
    each = np.stack([run.predict(arrays[1][:3]) for run in members])
    ensemble = load_run(folder)
    assert ensemble.path == folder
    np.testing.assert_array_equal(ensemble.predict_each(arrays[1][:3]), each)
    np.testing.assert_allclose(ensemble.predict(arrays[1][:3]), each.mean(axis=0), rtol=1e-6)
    assert np.abs(each[0] - each[1]).max() > 1


def test_what_is_missing_is_trained_alone_or_in_shares(copy, dataset, make_config):
    config = make_config("training.epochs=2", "training.seed=3")
    kept, lost = (weights(copy / f"member-{number}") for number in (0, 1))
    shutil.rmtree(copy / "member-1")
    before = (copy / "member-0" / "best.pt").stat().st_mtime_ns
    (done,) = train_ensemble(config, dataset, copy, 3, resume=True, shard=(2, 3))
    assert done.run_dir == copy / "member-1"
    assert len(train_ensemble(config, dataset, copy, 3, resume=True)) == 3
    assert (copy / "member-0" / "best.pt").stat().st_mtime_ns == before
    np.testing.assert_equal(weights(copy / "member-0"), kept)
    np.testing.assert_equal(weights(copy / "member-1"), lost)
    assert len(load_run(copy).members) == 3


@pytest.mark.parametrize(
    ("place", "options", "words"),
    [
        ("ensemble", {"members": 1}, "members 1: must be at least 2"),
        ("ensemble", {"members": 2, "shard": (3, 3)}, "shard 3/3: there are 2 members"),
        ("ensemble", {"members": 2}, "member-0: exists already"),
        ("ensemble", {"members": 3, "shard": (2, 3)}, "member-1: exists already"),
        ("ensemble/member-0", {"members": 2}, "is a single run"),
    ],
)
def test_no_member_is_trained_where_one_cannot_be(
    folder, dataset, make_config, place, options, words
):
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError, match=words):
        train_ensemble(make_config(), dataset, folder.parent / place, **options)
    assert sorted(folder.rglob("*")) == before


def test_fewer_members_than_there_are_would_leave_others(copy, dataset, make_config):
    shutil.copytree(copy / "member-1", copy / "member-10")
    with pytest.raises(InputError, match="holds member-10 already; ask for 11 or more"):
        train_ensemble(make_config(), dataset, copy, 2, resume=True)


@pytest.mark.parametrize(
    ("overrides", "other_data", "words"),
    [
        (["training.seed=3"], False, "training.seed = 3 in member-2"),
        (["training.mirror=true"], False, "training.mirror = True: .*member-2"),
        (["optimizer.learning_rate=1e-3"], False, "optimizer.learning_rate = 0.001: .*member-2"),
        ([], True, "was trained on data set"),
    ],
)
def test_runs_that_are_no_ensemble_are_refused(
    copy, dataset, make_config, make_dataset, arrays, overrides, other_data, words
):
    settings = ["training.epochs=1", "training.seed=9", *overrides]
    data = make_dataset(velocity=arrays[0][::-1]) if other_data else dataset
    train(make_config(*settings), data, copy / "member-2")
    with pytest.raises(InputError, match=words):
        load_run(copy)


def test_a_member_that_is_damaged_or_alone_is_told(copy):
    (copy / "member-1" / "best.pt").write_bytes(b"no")
    with pytest.raises(InputError, match=r"member-1/best\.pt: damaged"):
        load_run(copy)
    shutil.rmtree(copy / "member-1")
    with pytest.raises(InputError, match="needs two members"):
        load_run(copy)
