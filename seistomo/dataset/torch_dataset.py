"""A data set as PyTorch sees it, for training loops of your own."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from seistomo.dataset.store import open_dataset


class GatherDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pairs (gathers, velocity) of one split, read when asked for.

    Works with a ``DataLoader`` of any number of workers: each opens the file for itself.

    Parameters
    ----------
    path
        A data set file, or a folder of its parts.
    split
        "train", "validation", "test" or "all".

    Raises
    ------
    InputError
        If the data set cannot be read or has no such split.
    """

    def __init__(self, path: str | Path, split: str = "train") -> None:
        self.reader = open_dataset(path)
        self.indices: np.ndarray = self.reader.indices(split)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return float32 gathers [source, receiver, time] and velocity [depth, x] in m/s."""
        rows = [int(self.indices[item])]
        gathers, velocity = self.reader.read_gathers(rows), self.reader.read_velocity(rows)
        return torch.from_numpy(gathers[0]), torch.from_numpy(velocity[0])
