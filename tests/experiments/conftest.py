import gzip
import struct
import textwrap

import numpy as np
import pytest

from seistomo.experiments import run_study
from seistomo.experiments.study import load_study, parse_study

# A problem, a network and an optimizer of a reader's own: a line through noisy points.
OWN = """
import torch
from seistomo.config import LoopConfig
from seistomo.training.problem import Problem, TensorSamples


class Line(Problem):
    name = "line"
    score_names = ("accuracy",)
    loss = staticmethod(torch.nn.functional.mse_loss)

    def __init__(self, training, scale=1.0):
        self.settings = LoopConfig.model_validate({"batch_size": 10, **training})
        self.scale = scale
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(60, 3, generator=generator)
        y = scale * x.sum(1, keepdim=True) + 0.1 * torch.randn(60, 1, generator=generator)
        cuts = {"train": slice(40), "validation": slice(40, 50), "test": slice(50, 60)}
        self.splits = {k: TensorSamples(x[s], y[s]) for k, s in cuts.items()}

    def network(self, generator):
        layer = torch.nn.Linear(3, 1)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(1, 3, generator=generator))
            layer.bias.zero_()
        return layer

    def split(self, name):
        return self.splits[name]

    def scores(self, network, samples):
        with torch.no_grad():
            loss = float(self.loss(network(samples.inputs), samples.targets))
        return {"loss": loss, "accuracy": 1 / (1 + loss)}

    def description(self):
        return {"problem": {"name": "line", "scale": self.scale}}


class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(784, 10))


class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
"""


@pytest.fixture(scope="session", autouse=True)
def own_package(tmp_path_factory):
    """Put `studyown` (Line, Net, Mine) on the path."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "studyown.py").write_text(textwrap.dedent(OWN))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture
def line_study():
    """Return a function that builds a study of the line, with changes by dotted key."""

    def build(**changes):
        content = {
            "title": "A line",
            "problem": {"name": "studyown.Line"},
            "epochs": 3,
            "seeds": 2,
            "reference": "adam",
            "methods": [
                {"name": "adam", "label": "Adam", "optimizer": "adam", "learning_rate": 0.1},
                {"name": "sgd", "optimizer": "sgd", "learning_rate": 0.05, "paper": {"loss": 0.5}},
            ],
        }
        methods = changes.pop("methods", None)
        if methods:
            content["methods"] = content["methods"][: methods[0]] + list(methods[1:])
        return parse_study(content, "line", {k.replace("__", "."): v for k, v in changes.items()})

    return build


def idx(array):
    """Return the content of an IDX file of bytes."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Return a folder with IDX files: each class a bright row of its own, one file zipped."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for part, count in (("train", 600), ("t10k", 100)):
        labels = np.arange(count) % 10
        images = random.integers(0, 60, (count, 28, 28))
        images[np.arange(count), 2 * labels + 4] += 150
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
        content = gzip.compress(idx(images)) if part == "train" else idx(images)
        name = f"{part}-images-idx3-ubyte" + (".gz" if part == "train" else "")
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def tomography(tmp_path_factory):
    """Return the folder of a tiny Table 4."""
    out = tmp_path_factory.mktemp("tomography") / "out"
    changes = {"methods": _tiny_methods(), "figures": ["examples"]}
    study = load_study("sqgn-table-4", changes, smoke=True)
    run_study(study, out)
    return out


def _tiny_methods():
    """Return three rows of Table 4, and Adam's with each prediction mirrored."""
    full = load_study("sqgn-table-4")
    rows = [full.entry(name) for name in ("adam-1e-3", "sqgn", "sqgn-tenth")]
    methods = [row.model_dump(exclude_defaults=True, exclude={"like"}) for row in rows]
    evaluation = {"evaluation": {"mirror": True}}
    return [*methods, {"name": "mirrored", "runs_of": "adam-1e-3", "problem": evaluation}]
