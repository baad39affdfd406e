import json

import numpy as np

from seistomo.config import parse_config
from seistomo.dataset.exchange.exporting import export_dataset


def test_everything_is_there_under_its_name(data_path, samples, tmp_path):
    rows = [11, 2, 9, 3, 0, 14, 7, 8, 1]
    export_dataset(data_path, tmp_path / "d.npz", "npz", indices=rows)
    with np.load(tmp_path / "d.npz") as file:
        chosen = [samples[row] for row in rows]
        names = ("velocity", "gathers", "salt_mask", "dead_trace", "split", "seed", "index")
        names += ("source_x", "source_depth", "receiver_x", "receiver_depth", "family")
        for name in names:
            expected = np.stack([getattr(sample, name) for sample in chosen])
            np.testing.assert_array_equal(file[name], expected, err_msg=name)
        assert (file["velocity"].dtype, file["gathers"].dtype) == (np.float32, np.float32)
        assert file["row"].tolist() == rows
        assert [json.loads(text) for text in file["parameters"]] == [{"number": n} for n in rows]
        np.testing.assert_allclose(file["depth"], np.arange(12) * 12.5)
        np.testing.assert_allclose(file["x"], np.arange(15) * 12.5)
        np.testing.assert_allclose(file["time"], np.arange(20) * 0.004)
        np.testing.assert_array_equal(file["wavelet"], np.sin(np.arange(20.0)))
        assert file["spacing"] == 12.5
        assert parse_config(str(file["config"])).velocity.shape == (12, 15)


def test_the_same_export_gives_the_same_bytes(data_path, tmp_path):
    for name in ("a.npz", "b.npz"):
        export_dataset(data_path, tmp_path / name, "npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
