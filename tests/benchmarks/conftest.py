import gzip
import struct

import numpy as np
import pytest

from seistomo.benchmarks.mnist_data import FILES, load_mnist


def idx(array):
    """Return an array as the bytes of an IDX file."""
    header = bytes((0, 0, 0x08, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def synthetic_images(count, seed):
    """Return images whose class is where a bright block stands, under noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 10
    images = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
        image[row : row + 9, column : column + 5] += 150
    return images, labels


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory):
    """Write 240 training and 100 test images as IDX files, one of them gzipped."""
    folder = tmp_path_factory.mktemp("digits")
    arrays = {}
    for split, count, seed in (("train", 240, 0), ("test", 100, 1)):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = synthetic_images(count, seed)
    for part, name in FILES.items():
        content = idx(arrays[part])
        if part == "train_images":
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def digits(mnist_folder):
    return load_mnist(str(mnist_folder))
