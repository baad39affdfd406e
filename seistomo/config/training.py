"""``[training]``: the loop around the optimizer."""

from typing import Literal

from pydantic import Field

from seistomo.config.base import Section


class TrainingConfig(Section):
    """Epochs, batches, scaling of the data, schedule and stopping."""

    epochs: int = Field(200, ge=1, description="Number of epochs.")
    batch_size: int = Field(100, ge=1, description="Samples a mini-batch.")
    micro_batch: int = Field(
        0, ge=0, description="Samples held in memory at once; 0: the whole batch."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights and batch order.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(0, ge=0, description="CPU threads; 0: as torch chooses.")
    gather_scaling: Literal["none", "standard", "asinh", "trace", "gain"] = Field(
        "asinh", description="How gathers are scaled before the network (see docs/training.md)."
    )
    schedule: Literal["constant", "linear", "cosine", "plateau"] = Field(
        "constant", description="Learning rate over the epochs."
    )
    patience: int = Field(
        0,
        ge=0,
        description="Stop after this many epochs without a better validation loss; 0: never.",
    )
