"""Training end to end: files, scores, schedules, stopping, what goes wrong."""

import csv
import json
import os

import numpy as np
import pytest
import torch

from seistomo.config import load_config
from seistomo.dataset import open_dataset
from seistomo.errors import DiskFullError, InputError, TrainingDivergedError
from seistomo.training import TomographyProblem, load_run, train
from seistomo.training.scores import structural_similarity

COLUMNS = (
    "epoch,iteration,seconds,train_loss,validation_loss,mse,ssim,learning_rate,"
    "gradient_evaluations,ggn_products"
)


def history_of(run):
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def files_of(folder):
    """Return the names of what is there, but for locks, which stay."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.fixture(scope="module")
def trained(dataset, make_config, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, train(make_config("training.epochs=12"), dataset, run)


def test_run_directory_holds_what_the_design_says(trained):
    run, _ = trained
    assert files_of(run) == {
        "config.toml",
        "history.csv",
        "checkpoint.pt",
        "best.pt",
        "metrics.json",
        "figures",
    }
    assert load_config(run / "config.toml").training.epochs == 12


def test_history_columns_and_counts(trained):
    run, _ = trained
    assert (run / "history.csv").read_text().splitlines()[0] == COLUMNS
    history = history_of(run)
    assert list(history["epoch"]) == list(range(1, 13))
    # 30 training samples in batches of at most 8: four an epoch.
    assert list(history["iteration"]) == list(range(4, 52, 4))
    assert list(history["gradient_evaluations"]) == list(range(4, 52, 4))
    assert not history["ggn_products"].any()
    assert (np.diff(history["seconds"]) > 0).all()
    assert (history["learning_rate"] == 3e-3).all()


def test_something_is_learnt(trained, dataset):
    run, _ = trained
    history = history_of(run)
    with open_dataset(dataset) as data:
        train_models = data.read_velocity(data.indices("train"))
        validation = data.read_velocity(data.indices("validation"))
    mean_model = ((validation - train_models.mean(axis=0)) ** 2).mean()
    assert history["mse"][-1] < 0.8 * mean_model
    assert history["train_loss"][-1] < 0.7 * history["train_loss"][0]


def test_scores_are_those_of_the_predictions(trained, dataset):
    run, result = trained
    loaded = load_run(run, "last", "cpu")
    with open_dataset(dataset) as data:
        rows = data.indices("validation")
        predicted, reference = loaded.predict(data.read_gathers(rows)), data.read_velocity(rows)
    mse = ((predicted.astype(float) - reference) ** 2).mean()
    assert result.last["mse"] == pytest.approx(mse, rel=1e-6)
    assert result.last["validation_loss"] == pytest.approx(mse * 12 * 14, rel=1e-6)
    # The config's bounds, 1450 to 4650 m/s, are the range.
    ssim = structural_similarity(predicted, reference, 3200.0).mean()
    assert result.last["ssim"] == pytest.approx(ssim, rel=1e-6)


def test_training_loss_is_equation_9_before_each_step(dataset, make_config, tmp_path):
    """With one batch an epoch the first loss is that of the mean model plus the start noise."""
    config = make_config("training.batch_size=30", "training.epochs=1", "network.output_scale=1e-9")
    result = train(config, dataset, tmp_path / "run")
    with open_dataset(dataset) as data:
        models = data.read_velocity(data.indices("train")).astype(float)
    expected = ((models - models.mean(axis=0)) ** 2).sum() / len(models)
    assert result.last["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_best_checkpoint_is_the_epoch_with_the_lowest_validation_loss(
    dataset, make_config, tmp_path
):
    run = tmp_path / "run"
    # A rate that overfits and jumps about.
    result = train(make_config("optimizer.learning_rate=0.05"), dataset, run)
    losses = history_of(run)["validation_loss"]
    best = load_run(run, "best", "cpu")
    assert best.epoch == result.best["epoch"] == 1 + int(np.argmin(losses))
    assert len(best.history) == best.epoch
    with open_dataset(dataset) as data:
        rows = data.indices("validation")
        error = best.predict(data.read_gathers(rows)).astype(float) - data.read_velocity(rows)
    assert (error**2).sum() / len(rows) == pytest.approx(losses.min(), rel=1e-6)


def test_metrics_tell_the_last_and_the_best_epoch(trained):
    run, result = trained
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["last"]["epoch"] == 12
    assert metrics["best"]["validation_loss"] == result.best["validation_loss"]
    assert metrics["parameters"] == result.parameters
    assert metrics["dead_pixels"] == 0
    assert "RMSE" in str(result)


@pytest.mark.parametrize(
    "same",
    [
        ["training.cache_memory=0.0"],
        ["training.checkpoint_iterations=1"],
        ["training.tensorboard=true"],
    ],
)
def test_settings_that_change_no_bit(dataset, make_config, tmp_path, same):
    if "training.tensorboard=true" in same:
        pytest.importorskip("tensorboard")
    train(make_config(), dataset, tmp_path / "one")
    train(make_config(*same), dataset, tmp_path / "other")
    assert_same_network(tmp_path / "one", tmp_path / "other")


def assert_same_network(one, other):
    first, second = (load_run(run, "last", "cpu").network for run in (one, other))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_result_depends_on_the_seed_alone(dataset, make_config, tmp_path):
    torch.manual_seed(1)
    train(make_config(), dataset, tmp_path / "one")
    torch.manual_seed(2)
    state = torch.get_rng_state()
    train(make_config(), dataset, tmp_path / "other")
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_network(tmp_path / "one", tmp_path / "other")
    train(make_config("training.seed=1"), dataset, tmp_path / "third")
    with pytest.raises(AssertionError):
        assert_same_network(tmp_path / "one", tmp_path / "third")


def test_threads_are_put_back(dataset, make_config, tmp_path):
    before = torch.get_num_threads()
    train(make_config("training.threads=2", "training.epochs=1"), dataset, tmp_path / "run")
    assert torch.get_num_threads() == before


def test_optimizers_by_name_and_import_path(dataset, make_config, tmp_path):
    for name, options in (("sgd", "{momentum = 0.9}"), ("torch.optim.Adagrad", "{}")):
        config = make_config(
            f"optimizer.name={name}", f"optimizer.options={options}", "optimizer.learning_rate=1e-3"
        )
        result = train(config, dataset, tmp_path / name)
        assert result.last["train_loss"] < history_of(tmp_path / name)["train_loss"][0]


def test_schedule_reaches_the_history(dataset, make_config, tmp_path):
    config = make_config("training.schedule=linear", "training.final_learning_rate=0.1")
    train(config, dataset, tmp_path / "run")
    expected = [3e-3, 2.1e-3, 1.2e-3, 3e-4]
    assert list(history_of(tmp_path / "run")["learning_rate"]) == pytest.approx(expected)


def test_early_stopping(dataset, make_config, tmp_path):
    config = make_config(
        "training.patience=2", "training.epochs=50", "optimizer.learning_rate=0.05"
    )
    result = train(config, dataset, tmp_path / "run")
    losses = history_of(tmp_path / "run")["validation_loss"]
    assert len(losses) < 50
    assert len(losses) == 1 + np.argmin(losses) + 2
    # Resumed, it stays stopped; with more patience it goes on.
    assert train(config, dataset, tmp_path / "run", resume=True).last == result.last
    patient = make_config(
        "training.patience=3", "training.epochs=50", "optimizer.learning_rate=0.05"
    )
    assert (
        train(patient, dataset, tmp_path / "run", resume=True).last["epoch"] > result.last["epoch"]
    )


def test_without_validation_the_training_loss_decides(make_dataset, make_config, tmp_path):
    split = "dataset.split=[5, 0, 1]"
    config = make_config(split, "optimizer.learning_rate=0.02")
    result = train(config, make_dataset(split), tmp_path / "run")
    history = history_of(tmp_path / "run")
    assert np.isnan(history["validation_loss"]).all()
    assert result.best["epoch"] == 1 + np.argmin(history["train_loss"])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["last"]["validation_loss"] is None
    assert metrics["dead_pixels"] == 0
    assert "training loss" in str(result)


def test_dead_pixels_are_counted_and_told(dataset, make_config, tmp_path, capsys):
    config = make_config(
        "network.output_bias=zero", "network.output_scale=1.0", "optimizer.learning_rate=1e-6"
    )
    result = train(config, dataset, tmp_path / "run")
    run = load_run(tmp_path / "run", "last", "cpu")
    with open_dataset(dataset) as data:
        gathers = run.normalization.gathers(data.read_gathers(data.indices("validation")))
    with torch.no_grad():
        dead = (run.network(torch.from_numpy(gathers).unsqueeze(1)) == 0).all(dim=0)
    assert result.dead_pixels == pytest.approx(float(dead.float().mean()))
    assert result.dead_pixels > 0.2
    warning = capsys.readouterr().err
    assert warning.count("zero for every sample") == 1
    assert 'network.output_bias = "mean"' in warning


class NanAfter(torch.optim.SGD):
    """Gives NaN weights at its third step."""

    def step(self, closure):
        loss = super().step(closure)
        self.count = getattr(self, "count", 0) + 1
        if self.count == 6:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(float("nan"))
        return loss


def test_divergence_keeps_the_last_good_checkpoint(dataset, make_config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim, "NanAfter", NanAfter, raising=False)
    config = make_config("optimizer.name=torch.optim.NanAfter", "training.checkpoint_iterations=1")
    with pytest.raises(TrainingDivergedError) as caught:
        train(config, dataset, tmp_path / "run")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("diverged in epoch 2", "optimizer.learning_rate", "checkpoint of epoch 1 is kept"):
        assert part in message
    assert (
        load_run(tmp_path / "run", "last", "cpu")
        .network(torch.zeros(1, 1, 3, 8, 20))
        .isfinite()
        .all()
    )
    assert len(history_of(tmp_path / "run")["epoch"]) == 1


def test_divergence_in_the_first_epoch_leaves_nothing(dataset, make_config, tmp_path):
    config = make_config("optimizer.name=sgd", "optimizer.learning_rate=1e6")
    with pytest.raises(TrainingDivergedError, match="no epoch was finished"):
        train(config, dataset, tmp_path / "run")
    assert files_of(tmp_path) == set()


def test_optimizer_without_a_loss_is_refused(dataset, make_config, tmp_path, monkeypatch):
    class Silent(torch.optim.SGD):
        def step(self, closure):
            super().step(closure)

    monkeypatch.setattr(torch.optim, "Silent", Silent, raising=False)
    with pytest.raises(InputError, match="returned no loss"):
        train(make_config("optimizer.name=torch.optim.Silent"), dataset, tmp_path / "run")


def test_existing_run_is_not_touched(trained, dataset, make_config):
    run, _ = trained
    before = {path: path.read_bytes() for path in run.glob("*.*")}
    with pytest.raises(InputError, match="exists already; use --resume"):
        train(make_config(), dataset, run)
    with pytest.raises(InputError, match="choose one"):
        train(make_config(), dataset, run, resume=True, overwrite=True)
    assert {path: path.read_bytes() for path in run.glob("*.*")} == before


def test_overwriting_keeps_the_old_run_until_an_epoch_is_done(
    dataset, make_config, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    train(make_config("training.epochs=2"), dataset, run)
    before = {path: path.read_bytes() for path in run.glob("*.*")}
    failing = make_config("optimizer.name=sgd", "optimizer.learning_rate=1e6")
    with pytest.raises(TrainingDivergedError):
        train(failing, dataset, run, overwrite=True)
    assert {path: path.read_bytes() for path in run.glob("*.*")} == before
    assert files_of(tmp_path) == {"run"}

    def interrupt(*_arguments):
        assert {path: path.read_bytes() for path in run.glob("*.*")} == before
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TomographyProblem, "scores", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(make_config("training.seed=1"), dataset, run, overwrite=True)
    assert {path: path.read_bytes() for path in run.glob("*.*")} == before

    train(make_config("training.seed=1", "training.epochs=1"), dataset, run, overwrite=True)
    assert files_of(tmp_path) == {"run"}
    assert load_run(run, device="cpu").config.training.seed == 1
    assert len(history_of(run)["epoch"]) == 1


def test_a_folder_that_is_no_run_is_never_replaced(dataset, make_config, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is no run directory"):
        train(make_config(), dataset, tmp_path, overwrite=True)
    with pytest.raises(InputError, match="is no run directory"):
        train(make_config(), dataset, tmp_path / "thesis.tex", overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_full_disk_is_told_and_keeps_the_last_checkpoint(
    dataset, make_config, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    train(make_config("training.epochs=1"), dataset, run)
    before = (run / "checkpoint.pt").read_bytes()

    def full(_content, file):
        file.write(b"x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DiskFullError, match="the disk is full"):
        train(make_config(), dataset, run, resume=True)
    assert (run / "checkpoint.pt").read_bytes() == before
    assert not list(run.glob(".*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_torch_tells_a_full_disk_as_an_os_error():
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb") as file:
        torch.save({"a": torch.zeros(100_000)}, file)


def test_tensorboard_gets_the_history(dataset, make_config, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    train(make_config("training.tensorboard=true", "training.epochs=2"), dataset, run)
    train(make_config("training.tensorboard=true"), dataset, run, resume=True)
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("ssim")]
    assert shown == [
        (epoch + 1, pytest.approx(value)) for epoch, value in enumerate(history_of(run)["ssim"])
    ]
