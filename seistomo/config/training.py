"""``[training]``: the loop around the optimizer."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from seistomo.config.base import Section


def _in_order(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("must be a range [low, high] with low not above high")
    return ends


Decibels = Annotated[float, Field(ge=-60, le=120, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
DecibelRange = Annotated[tuple[Decibels, Decibels], AfterValidator(_in_order)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_in_order)]


class TrainingConfig(Section):
    """Epochs, batches, scaling of the data, schedule and stopping."""

    epochs: int = Field(200, ge=1, description="Number of epochs.")
    batch_size: int = Field(
        100,
        ge=1,
        description="Samples a mini-batch, at most: an epoch is cut into equal batches.",
    )
    batch_doublings: int = Field(
        0,
        ge=0,
        le=20,
        description="How often the batch size doubles, after equal parts of the epochs, up to the"
        " whole training split; 0: it stays.",
    )
    micro_batch: int = Field(
        0,
        ge=0,
        description="Samples forwarded at once; 0: as the largest layer fits cache or memory.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights and batch order.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="Numbers that layers compute in: float32, as published; on NVIDIA GPUs also"
        " tf32, or bfloat16 in convolutions alone. Weights and their derivatives are float32.",
    )
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
    mute: Literal["none", "direct", "top"] = Field(
        "none",
        description="Set to zero before scaling: the direct wave along the surface alone, or"
        " everything up to its end (top).",
    )
    mute_speed: float = Field(
        1480.0, gt=0, allow_inf_nan=False, description="Speed of the direct wave, m/s (mute)."
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
    memory_limit: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Memory that a process may take in all, GiB, on a GPU of its memory: fewer"
        " samples are forwarded at once where that is needed; left out: no limit.",
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
    noise_snr: DecibelRange | None = Field(
        None,
        description="Add white noise to each training sample, its signal-to-noise ratio drawn anew"
        " each epoch from this range, dB; left out: no noise.",
    )
    dead_traces: ShareRange | None = Field(
        None,
        description="Silence a share of each training sample's traces, drawn anew each epoch from"
        " this range; left out: none.",
    )
    loss: Literal["mse", "mse+ssim"] = Field(
        "mse",
        description="What the optimizer minimizes: squared error (published), or with structural"
        " dissimilarity added; the latter is not convex, hence not for SQGN and SGN.",
    )
    ssim_weight: float = Field(
        0.05,
        gt=0,
        allow_inf_nan=False,
        description="Weight of 1 - SSIM beside the mean squared error in scaled units (mse+ssim).",
    )
    averaging: Literal["none", "ema", "tail"] = Field(
        "none",
        description="Weights that are evaluated and saved: the optimizer's own, their exponential"
        " moving average over the steps, or their mean over the steps of the last epochs.",
    )
    averaging_decay: float = Field(
        0.99, gt=0, lt=1, description="What a step leaves of the moving average (ema)."
    )
    averaging_epochs: int = Field(
        10, ge=1, description="Number of last epochs that are averaged (tail)."
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
