"""Loading a run, predicting, and what is told when that cannot work."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.evaluation.info import describe_run
from seistomo.networks import parameter_count
from seistomo.training import TomographyProblem, load_run, score_as_trained, train
from seistomo.training.checkpoint import load_checkpoint
from seistomo.training.run import precision_on


@pytest.fixture(scope="module")
def run_dir(dataset, make_config, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    train(make_config("training.epochs=2"), dataset, run)
    return run


@pytest.fixture
def copy(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "copy")


def test_prediction_does_not_depend_on_its_company(run_dir, arrays):
    run = load_run(run_dir, device="cpu")
    together = run.predict(arrays[1][:5])
    assert together.dtype == np.float32
    assert together.shape == (5, 12, 14)
    assert 1000 < together.min() < together.max() < 5000
    assert run.predict(arrays[1][:0]).shape == (0, 12, 14)
    for row in range(5):
        np.testing.assert_allclose(run.predict(arrays[1][[row]])[0], together[row], rtol=1e-5)


def test_scored_as_trained(run_dir, dataset, make_config, capsys):
    run = load_run(run_dir, "last", "cpu")
    with open_dataset(dataset) as data:
        problem = TomographyProblem(make_config(), data)
        scores = score_as_trained(problem, run_dir, "last", "validation", "cpu")
    for name in ("mse", "ssim"):
        assert scores[name] == pytest.approx(run.history[-1][name], rel=1e-6)
    seen = []
    run.network.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    gathers = np.ones((1, 3, 8, 20), dtype=np.float32)
    for precision in ("tf32", "float32"):
        replace(run, precision=precision).predict(gathers)
    assert seen == [True, False]
    assert precision_on(torch.device("cpu"), "bfloat16", run_dir) == "float32"
    assert "predicts in float32" in capsys.readouterr().err


def test_other_surveys_are_refused(run_dir):
    with pytest.raises(InputError, match=r"was trained for \[sample, 3, 8, 20\]"):
        load_run(run_dir, device="cpu").predict(np.zeros((2, 3, 8, 19), dtype=np.float32))


def test_missing_and_damaged_runs_are_told_in_one_line(run_dir, copy, tmp_path):
    for arguments, words in (
        ((tmp_path / "nowhere",), "no such directory"),
        ((run_dir, "newest"), "must be best or last"),
        ((run_dir, "best", "toaster"), "must be auto, cpu"),
        ((tmp_path,), "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            load_run(*arguments)
    whole = (copy / "best.pt").read_bytes()
    changed = bytearray(whole)
    for place in range(len(whole) // 4, len(whole) * 3 // 4, len(whole) // 10):
        changed[place] ^= 1
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint at all", bytes(changed)):
        (copy / "best.pt").write_bytes(content)
        with pytest.raises(InputError, match="damaged") as caught:
            load_run(copy, device="cpu")
        assert "\n" not in str(caught.value)
    torch.save({"weights": torch.zeros(3)}, copy / "best.pt")
    with pytest.raises(InputError, match="no checkpoint of seistomo"):
        load_run(copy, device="cpu")


def test_weights_of_another_network_are_refused(copy, dataset, make_config):
    for name in ("best.pt", "checkpoint.pt"):
        saved = load_checkpoint(copy / name)
        replace(saved, network={"former": torch.zeros(3)}).save(copy / name)
    with pytest.raises(InputError, match=r"best\.pt: holds the weights of another network"):
        load_run(copy, device="cpu")
    with pytest.raises(InputError, match=r"checkpoint\.pt: holds the weights of another network"):
        train(make_config("training.epochs=3"), dataset, copy, resume=True)


def test_checkpoints_execute_nothing(copy, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"format": "seistomo-checkpoint", "trap": Trap()}, copy / "best.pt")
    with pytest.raises(InputError):
        load_run(copy, device="cpu")
    assert not (tmp_path / "sprung").exists()


def test_a_description_counts_weights_and_no_buffers(run_dir, copy):
    saved = load_checkpoint(copy / "checkpoint.pt")
    replace(saved, network={**saved.network, "positions": torch.zeros(3)}).save(
        copy / "checkpoint.pt"
    )
    count = parameter_count(load_run(run_dir, device="cpu").network)
    assert f"tomography, {count:,} weights" in describe_run(copy)
