"""Warnings of what goes wrong without an error, each once a run."""

from seistomo.progress import warn
from seistomo.training.checkpoint import Progress
from seistomo.training.data import SplitData
from seistomo.training.room import GIB

# From this share of outputs that are zero for every sample on, a warning is due.
DEAD_SHARE = 0.01
# So large a share of the optimizer's time, and so many seconds in all, may go into waiting for data
# before a warning is due.
WAIT_SHARE, WAIT_SECONDS = 0.05, 5.0


class Watch:
    """What to look at after each epoch."""

    def __init__(self) -> None:
        self._warned_of_dead = self._warned_of_waiting = False

    def after_epoch(self, progress: Progress, split: SplitData) -> None:
        """Warn of outputs that learn nothing more, and of an optimizer that waits for data."""
        if progress.dead_pixels > DEAD_SHARE and not self._warned_of_dead:
            self._warned_of_dead = True
            warn(
                f"{progress.dead_pixels:.0%} of the output pixels are zero for every sample and"
                ' learn nothing more; use network.output_bias = "mean", a smaller'
                " network.output_scale or a lower optimizer.learning_rate"
            )
        share = progress.data_seconds / progress.seconds
        slow = share > WAIT_SHARE and progress.data_seconds > WAIT_SECONDS
        if slow and not self._warned_of_waiting:
            self._warned_of_waiting = True
            remedy = ""
            if not split.in_memory:
                remedy = (
                    f"; kept in memory the samples take {split.needed_bytes() / GIB:.1f} GiB (see"
                    " training.cache_memory and training.gather_type)"
                )
            warn(f"{share:.0%} of the optimizer's time is spent waiting for data{remedy}")
