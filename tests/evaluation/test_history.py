import numpy as np
import pytest

from seistomo.errors import InputError
from seistomo.evaluation.history import run_history


def test_columns_are_numbers(run_dir):
    history = run_history(run_dir)
    np.testing.assert_array_equal(history["epoch"], [1, 2, 3, 4])
    np.testing.assert_allclose(history["train_loss"], 1e9 / history["epoch"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,seconds,train_loss,validation_loss,mse,ssim\n", "no epoch is finished"),
        ("epoch,seconds\n1,2\n", "damaged"),
        ("epoch,seconds,train_loss,validation_loss,mse,ssim\n1,2,x,4,5,6\n", "damaged"),
        ("epoch,seconds,train_loss,validation_loss,mse,ssim\n1,2\n", "damaged"),
    ],
)
def test_histories_that_tell_nothing_are_refused(run_dir, text, message):
    (run_dir / "history.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        run_history(run_dir)


def test_other_folders_are_no_runs(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        run_history(tmp_path)
