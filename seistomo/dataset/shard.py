"""``--shard i/n``: the part of a data set that one of n separate runs makes."""

import re
from dataclasses import dataclass

from seistomo.config import Config
from seistomo.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count``, counted from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "i/n".

        Raises
        ------
        InputError
            If it is anything else, or i is not one of 1 to n.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"--shard {text}: must be i/n with i from 1 to n, as 3/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """Return "i/n"."""
        return f"{self.number}/{self.count}"

    def samples(self, config: Config) -> range:
        """Return the samples of this part.

        They are whole runs of ``dataset.shard_samples``, next to each other, as evenly many for
        each part as that allows.

        Raises
        ------
        InputError
            If some part would get none.
        """
        total, each = config.dataset.samples, config.dataset.shard_samples
        blocks = -(-total // each)
        if self.count > blocks:
            raise InputError(
                f"--shard {self}: {total} samples are {blocks} shards of dataset.shard_samples ="
                f" {each}, too few for {self.count} parts; use at most {blocks} parts, or"
                f" dataset.shard_samples = {max(1, total // self.count)}"
                if self.count <= total
                else f"--shard {self}: there are only {total} samples (dataset.samples)"
            )
        first, last = (part * blocks // self.count for part in (self.number - 1, self.number))
        return range(first * each, min(last * each, total))
