import gzip
import hashlib

import pytest

from seistomo.benchmarks import mnist_download
from seistomo.benchmarks.mnist_data import FILES, load_mnist
from seistomo.benchmarks.mnist_download import SHA256, download_mnist
from seistomo.errors import InputError


@pytest.fixture
def mirror(monkeypatch, tmp_path, mnist_folder):
    """Make a folder on disk the only mirror, with checksums of what is in it."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    checksums = {}
    for name in SHA256:
        packed = mnist_folder / f"{name}.gz"
        plain = gzip.decompress(packed.read_bytes()) if packed.exists() else None
        plain = plain or (mnist_folder / name).read_bytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(plain))
        checksums[name] = hashlib.sha256(plain).hexdigest()
    monkeypatch.setattr(mnist_download, "SHA256", checksums)
    monkeypatch.setattr(mnist_download, "MIRRORS", (f"{folder.as_uri()}/",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_checksums_are_of_the_files_that_are_read():
    assert set(SHA256) == set(FILES.values())


def test_downloads_once(mirror, tmp_path):
    folder = download_mnist()
    assert folder == tmp_path / "cache" / "seistomo" / "mnist"
    assert len(load_mnist(str(folder)).train_labels) == 240
    for path in mirror.iterdir():
        path.unlink()
    assert download_mnist() == folder


def test_the_next_mirror_is_asked_where_the_first_fails(mirror, monkeypatch, tmp_path):
    first = (tmp_path / "gone").as_uri() + "/"
    monkeypatch.setattr(mnist_download, "MIRRORS", (first, *mnist_download.MIRRORS))
    assert len(load_mnist(str(download_mnist())).train_labels) == 240


def test_a_wrong_file_is_refused_and_leaves_nothing(mirror):
    name = "t10k-labels-idx1-ubyte"
    (mirror / f"{name}.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(InputError, match=r"SHA-256 .*--data mnist-5k") as caught:
        download_mnist()
    assert "\n" not in str(caught.value)
    folder = mnist_download.cache_folder()
    assert not list(folder.glob(f"*{name}*"))


def test_no_network_is_one_line_that_says_what_else_to_do(mirror, monkeypatch):
    monkeypatch.setattr(mnist_download, "MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(InputError, match=r"cannot be downloaded .*refused.* SEISTOMO_DATA"):
        download_mnist()
