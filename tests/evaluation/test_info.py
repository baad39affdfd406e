"""Files and runs in words, quickly, and one line for what cannot be told."""

import subprocess
import sys

import numpy as np
import pytest

from seistomo.errors import InputError
from seistomo.evaluation.info import describe, run_history


def test_a_summary_of_a_file_loads_no_heavy_library(data_path):
    code = (
        "import sys; from seistomo.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'deepwave', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, "info", data_path], check=True, timeout=120)


def test_what_is_not_ours_is_refused(run_dir, tmp_path):
    (tmp_path / "text.txt").write_text("no")
    for path, message in ((tmp_path / "gone", "no such file"), (tmp_path / "text.txt", "HDF5")):
        with pytest.raises(InputError, match=message):
            describe(path)
    with pytest.raises(InputError, match="only data sets and velocity files have checksums"):
        describe(run_dir, check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,seconds,train_loss,validation_loss,mse,ssim\n", "no epoch is finished"),
        ("epoch,seconds,train_loss,validation_loss,mse,ssim\n1,2,x,4,5,6\n", "damaged"),
        (None, "not a run"),
    ],
)
def test_histories_that_tell_nothing_are_refused(run_dir, text, message):
    np.testing.assert_array_equal(run_history(run_dir)["epoch"], [1, 2, 3, 4])
    (run_dir / "history.csv").unlink()
    if text is not None:
        (run_dir / "history.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        run_history(run_dir)
