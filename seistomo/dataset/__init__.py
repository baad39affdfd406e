"""The data set: made by simulation, kept in HDF5, read by training and evaluation."""

from seistomo.dataset.store.parts import merge, open_dataset, open_velocity
from seistomo.dataset.store.reader import (
    DatasetReader,
    VelocityReader,
    file_format,
    read_predictions,
)
from seistomo.dataset.store.writer import write_dataset, write_predictions, write_velocity

__all__ = [
    "DatasetReader",
    "VelocityReader",
    "file_format",
    "merge",
    "open_dataset",
    "open_velocity",
    "read_predictions",
    "write_dataset",
    "write_predictions",
    "write_velocity",
]
