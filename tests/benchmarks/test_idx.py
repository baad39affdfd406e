import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from seistomo.benchmarks.idx import read_idx
from seistomo.errors import InputError

LABELS = bytes((0, 0, 8, 1)) + struct.pack(">I", 3) + bytes((7, 0, 9))
IMAGES = bytes((0, 0, 8, 3)) + struct.pack(">3I", 1, 2, 3) + bytes(range(6))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzipped_files(tmp_path, pack):
    # The name says nothing: mirrors and browsers unpack files that end in .gz.
    (tmp_path / "labels.gz").write_bytes(pack(LABELS))
    (tmp_path / "images").write_bytes(pack(IMAGES))
    np.testing.assert_array_equal(read_idx(tmp_path / "labels.gz", 1), [7, 0, 9])
    np.testing.assert_array_equal(read_idx(tmp_path / "images", 3), [[[0, 1, 2], [3, 4, 5]]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with nothing"),
        (b"<html>not found</html>", "begins with 3c 68 74 6d"),
        (IMAGES, "begins with 00 00 08 03, not 00 00 08 01"),
        (bytes((0, 0, 0x0D, 1)) + LABELS[4:], "00 00 0d 01"),
        (LABELS[:6], "within its header"),
        (LABELS[:-1], "holds 10 bytes, but its header promises 3 (11)"),
        (LABELS + b"\0", "holds 12 bytes"),
        (gzip.compress(LABELS)[:-9], "damaged gzip"),
        (gzip.compress(LABELS)[:12] + b"\xff" * 20, "damaged gzip"),
    ],
)
def test_refuses_what_is_no_label_file_in_one_line(tmp_path, content, words):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(path, 1)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_a_missing_file():
    with pytest.raises(InputError, match="nowhere: cannot be read: No such file"):
        read_idx(Path("nowhere"), 1)
