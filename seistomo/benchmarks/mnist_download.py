"""The MNIST files from a public mirror, checked and kept in the user's cache folder."""

import gzip
import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from seistomo.benchmarks.idx import unzipped
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.progress import say

# Of the unzipped files: mirrors pack them differently.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 30
"""Seconds without an answer after which the next mirror is tried."""


def cache_folder() -> Path:
    """Return the folder in the user's cache where the files are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seistomo" / "mnist"


def download_mnist() -> Path:
    """Return the cache folder with all four files in it, fetching those that are missing.

    Raises
    ------
    InputError
        If no mirror gives a file with the right checksum.
    """
    folder = cache_folder()
    for name, checksum in SHA256.items():
        path = folder / f"{name}.gz"
        if not path.is_file():
            content = _fetch(name, checksum)
            with written_whole(path) as temporary:
                temporary.write_bytes(gzip.compress(content, mtime=0))
    return folder


def _fetch(name: str, checksum: str) -> bytes:
    reasons = []
    for mirror in MIRRORS:
        url = f"{mirror}{name}.gz"
        say(f"downloading {url}")
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                content = unzipped(response.read(), Path(url.rpartition("/")[2]))
        except (OSError, ValueError, InputError) as error:
            reasons.append(f"{url}: {_reason(error)}")
            continue
        found = hashlib.sha256(content).hexdigest()
        if found == checksum:
            return content
        reasons.append(f"{url}: SHA-256 {found[:12]}… instead of {checksum[:12]}…")
    raise InputError(
        f"MNIST cannot be downloaded ({'; '.join(reasons)}); name a folder that holds it with"
        " --data or SEISTOMO_DATA, or use --data mnist-5k"
    )


def _reason(error: Exception) -> str:
    found = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(found).split()) or type(error).__name__
