"""The data set: made by simulation, kept in HDF5, read by training and evaluation."""

from seistomo.dataset.store import (
    DatasetReader,
    merge,
    open_dataset,
    read_predictions,
    write_dataset,
    write_predictions,
)

__all__ = [
    "DatasetReader",
    "merge",
    "open_dataset",
    "read_predictions",
    "write_dataset",
    "write_predictions",
]
