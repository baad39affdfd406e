"""Array files written sample by sample, so that memory stays bounded."""

from typing import IO, Any

import numpy as np


def write_header(file: IO[bytes], dtype: Any, shape: tuple[int, ...]) -> None:
    """Begin a .npy file of ``shape``; its values follow in C order.

    Plain writing, not a memory map: on a full disk a map ends the process without a word.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
