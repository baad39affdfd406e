"""``[training]``: the loop around the optimizer."""

from typing import Literal

from pydantic import Field

from seistomo.config.base import Section


class TrainingConfig(Section):
    """Epochs, batches, scaling of the data, schedule and stopping."""

    epochs: int = Field(200, ge=1, description="Number of epochs.")
    batch_size: int = Field(
        100,
        ge=1,
        description="Samples a mini-batch, at most: an epoch is cut into equal batches.",
    )
    micro_batch: int = Field(
        0,
        ge=0,
        description="Samples forwarded at once; 0: as the largest layer fits cache or memory.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights and batch order.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(0, ge=0, description="CPU threads; 0: as torch chooses.")
    gather_scaling: Literal["none", "standard", "asinh", "trace", "gain"] = Field(
        "asinh", description="How gathers are scaled before the network (see docs/training.md)."
    )
    asinh_scale: float = Field(
        0.2,
        gt=0,
        allow_inf_nan=False,
        description="Amplitude where asinh bends, as a share of the standard deviation (asinh).",
    )
    gain_power: float = Field(
        1.0, ge=0, le=4, description="Power p of the time gain t^p (gather_scaling gain)."
    )
    gather_type: Literal["float32", "float16"] = Field(
        "float32", description="Type of scaled gathers; float16 halves the memory they take."
    )
    cache_memory: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="Memory to keep scaled gathers in, GiB; 0: read them anew each epoch;"
        " left out: half of what is free.",
    )
    velocity_scaling: Literal["bounds", "extremes"] = Field(
        "bounds",
        description="Speeds scaled to the unit interval by velocity.minimum and maximum, or by"
        " the training models' extremes.",
    )
    mirror: bool = Field(
        False,
        description="Mirror half of the samples left to right, drawn anew each epoch; needs a"
        " survey that is symmetric about the middle of the model.",
    )
    schedule: Literal["constant", "linear", "cosine", "plateau"] = Field(
        "constant", description="Learning rate over the epochs."
    )
    final_learning_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Last learning rate as a share of the first (linear, cosine); the lowest"
        " (plateau).",
    )
    plateau_factor: float = Field(
        0.5, gt=0, lt=1, description="Factor on the learning rate at a plateau."
    )
    plateau_patience: int = Field(
        5, ge=0, description="Epochs without a better validation loss that make a plateau."
    )
    patience: int = Field(
        0,
        ge=0,
        description="Stop after this many epochs without a better validation loss; 0: never.",
    )
    checkpoint_iterations: int = Field(
        0, ge=0, description="Iterations between checkpoints within an epoch; 0: at its end alone."
    )
    tensorboard: bool = Field(
        False, description="Write TensorBoard events too (needs seistomo[tensorboard])."
    )
