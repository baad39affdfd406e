"""What a run of the simulation is to make: settings, samples, file."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.config import Config
from seistomo.dataset.ranks import Ranks
from seistomo.dataset.shard import Shard
from seistomo.dataset.store.schema import data_settings
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.simulation import make_wavelet


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes
    ----------
    config
        What to draw, how to shoot; the number of samples of the whole set.
    out
        The file.
    shard
        Which part of the set, None for all of it.
    """

    config: Config
    out: Path
    shard: Shard | None = None

    @cached_property
    def wanted(self) -> range:
        """The samples.

        Raises
        ------
        InputError
            If some part of the set would hold none.
        """
        if self.shard is None:
            return range(self.config.dataset.samples)
        return self.shard.samples(self.config)

    @cached_property
    def wavelet(self) -> np.ndarray:
        """The source wavelet at the records' times, float64 [time]."""
        return make_wavelet(self.config.survey)

    @property
    def shard_numbers(self) -> tuple[int, int] | None:
        """(i, n) of ``--shard i/n``."""
        return (self.shard.number, self.shard.count) if self.shard else None

    def terms(self, device: str) -> dict[str, Any]:
        """Return what all ranks must agree about, JSON-able."""
        return {
            **data_settings(self.config),
            "dataset.samples": self.config.dataset.samples,
            "--shard": str(self.shard or "1/1"),
            "--device": choose_device(device).type,
        }

    def require_same_terms(self, theirs: dict[str, Any], device: str, ranks: Ranks) -> None:
        """Refuse to work with a rank 0 that makes something else.

        Raises
        ------
        InputError
            Naming the first difference.
        """
        for key, value in self.terms(device).items():
            if theirs.get(key) != value:
                raise InputError(
                    f"rank {ranks.rank}: {key} = {value!r}, but rank 0 has {theirs.get(key)!r};"
                    " give all ranks the same command and files"
                )
