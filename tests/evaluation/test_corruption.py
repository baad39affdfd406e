import numpy as np
import pytest

from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.evaluation.corruption import Corruption


@pytest.fixture
def data(tmp_path, config, models):
    random = np.random.default_rng(1)
    gathers = random.normal(size=(len(models), 3, 5, 16)).astype(np.float32)
    dead = np.zeros((len(models), 3, 5), bool)
    dead[:, 1, 2] = True
    gathers[dead] = 0
    write_dataset(tmp_path / "set.h5", config, models, gathers, dead_trace=dead)
    with open_dataset(tmp_path / "set.h5") as data:
        yield data


def test_nothing_asked_for_changes_nothing(data):
    rows = np.array([3, 1])
    clean = data.read_gathers(rows)
    np.testing.assert_array_equal(Corruption().read_gathers(data, rows), clean)
    np.testing.assert_array_equal(Corruption(None, 0.0).read_gathers(data, rows), clean)


def test_a_sample_is_the_same_in_every_batch(data):
    corruption = Corruption(5.0, 0.3)
    together = corruption.read_gathers(data, np.array([0, 4, 7]))
    alone = corruption.read_gathers(data, np.array([4]))
    np.testing.assert_array_equal(together[1], alone[0])
    assert not np.array_equal(together[0], together[2])


def test_noise_has_the_ratio_asked_for(data):
    rows = np.arange(30)
    clean = data.read_gathers(rows).astype(float)
    noise = Corruption(6.0).read_gathers(data, rows) - clean
    live = ~data.read_dead_traces(rows)
    ratio = 20 * np.log10(clean[live].std() / noise[live].std())
    assert ratio == pytest.approx(6.0, abs=0.2)


def test_dead_traces_are_zero_and_stay_dead_under_noise(data):
    rows = np.arange(10)
    corrupted = Corruption(3.0, 0.4).read_gathers(data, rows)
    silent = (corrupted == 0).all(axis=-1)
    assert silent[:, 1, 2].all()
    assert set(silent.sum(axis=(1, 2))) <= {6, 7}
    quiet = Corruption(None, 0.4).read_gathers(data, rows)
    np.testing.assert_array_equal((quiet == 0).all(axis=-1), silent)
    np.testing.assert_array_equal(quiet[~silent], data.read_gathers(rows)[~silent])


@pytest.mark.parametrize(
    ("arguments", "name"), [((np.nan, None), "noise-snr"), ((None, 1.0), "dead-traces")]
)
def test_values_out_of_range_are_refused(arguments, name):
    with pytest.raises(InputError, match=name):
        Corruption(*arguments)
