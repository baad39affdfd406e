"""The data set: made by simulation, kept in HDF5, read by training and evaluation."""

from seistomo.dataset.store import (
    DatasetReader,
    VelocityReader,
    merge,
    open_dataset,
    open_velocity,
    read_predictions,
    write_dataset,
    write_predictions,
    write_velocity,
)

__all__ = [
    "DatasetReader",
    "VelocityReader",
    "merge",
    "open_dataset",
    "open_velocity",
    "read_predictions",
    "write_dataset",
    "write_predictions",
    "write_velocity",
]
