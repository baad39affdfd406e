"""IDX files, the format that MNIST comes in: sizes and bytes, gzipped or plain."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.errors import InputError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Parameters
    ----------
    path
        The file; gzip is recognized by its content.
    axes
        Axes that the array must have: 3 for images [sample, row, column], 1 for labels.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind, or its length is not what it says.
    """
    return parse_idx(_content(path), axes, path)


def parse_idx(content: bytes, axes: int, path: Path) -> NDArray[np.uint8]:
    """Return the array in an IDX file's unzipped content; see `read_idx`."""
    header = 4 + 4 * axes
    magic = bytes((0, 0, UNSIGNED_BYTE, axes))
    if content[:4] != magic:
        raise InputError(
            f"{path}: is no IDX file of bytes with {axes} axes: it begins with"
            f" {content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}"
        )
    if len(content) < header:
        raise InputError(f"{path}: ends within its header of {header} bytes")
    shape = struct.unpack(f">{axes}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        sizes = " x ".join(map(str, shape))
        raise InputError(
            f"{path}: holds {len(content)} bytes, but its header promises {sizes} ({expected})"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def unzipped(content: bytes, path: Path) -> bytes:
    """Return content unzipped if it is gzip, else as it is."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file ({error})") from None


def _content(path: Path) -> bytes:
    try:
        return unzipped(path.read_bytes(), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
