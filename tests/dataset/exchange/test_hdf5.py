import numpy as np
import pytest

from seistomo.dataset import open_dataset
from seistomo.dataset.exchange.exporting import export_dataset


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_a_subset_is_a_data_set_with_the_samples_as_they_were(write, tmp_path, storage):
    path = write(tmp_path / "d.h5", f"dataset.storage={storage}")
    rows = [12, 4, 9]
    export_dataset(path, tmp_path / "part.h5", "hdf5", indices=rows)
    with open_dataset(path) as whole, open_dataset(tmp_path / "part.h5") as part:
        assert part.samples == part.config.dataset.samples == 3
        assert part.config.dataset.storage == storage
        for place, row in enumerate(rows):
            ours, theirs = part.stored_sample(place), whole.stored_sample(row)
            assert ours.keys() == theirs.keys()
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
        assert part.seeds(range(3))[:, 1].tolist() == rows
        np.testing.assert_array_equal(part.splits, whole.splits[rows])
        np.testing.assert_array_equal(part.wavelet, whole.wavelet)
        assert part.damaged() == []
        assert part.identity != whole.identity
