"""Part of a data set as a data set of its own."""

from collections.abc import Sequence
from pathlib import Path

from seistomo.dataset.store import DatasetReader, DatasetWriter
from seistomo.dataset.store.schema import stored_bytes, with_samples
from seistomo.files import require_space, written_whole
from seistomo.progress import bar


def write_subset(data: DatasetReader, rows: Sequence[int], out: Path) -> int:
    """Copy rows into a new file, everything as it is stored; it appears whole or not at all.

    Samples keep their seed, index and split, gathers their type.

    Parameters
    ----------
    data, rows
        The data set, and which of its rows.
    out
        The file.

    Returns
    -------
    int
        Number of files: 1.
    """
    config = with_samples(data.config, len(rows))
    require_space(out, len(rows) * stored_bytes(config))
    with (
        written_whole(out) as temporary,
        DatasetWriter(temporary, config, len(rows), data.wavelet) as writer,
    ):
        for row in bar(rows, description="export", unit="sample"):
            writer.append_stored(data.stored_sample(row))
    return 1
