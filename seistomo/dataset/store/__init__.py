"""HDF5 files: the only place that imports h5py."""

from seistomo.dataset.store.arrays import write_dataset, write_predictions
from seistomo.dataset.store.merge import merge
from seistomo.dataset.store.parts import Part, open_dataset, part_at
from seistomo.dataset.store.reader import (
    DatasetReader,
    file_format,
    read_predictions,
)
from seistomo.dataset.store.writer import DatasetWriter, Sample, pack_sample

__all__ = [
    "DatasetReader",
    "DatasetWriter",
    "Part",
    "Sample",
    "file_format",
    "merge",
    "open_dataset",
    "pack_sample",
    "part_at",
    "read_predictions",
    "write_dataset",
    "write_predictions",
]
