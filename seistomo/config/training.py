"""``[training]``: the loop around the optimizer."""

from typing import Literal

from seistomo.config.section import Section, chosen, range_of, setting

DecibelRange = range_of(float, ge=-60, le=120)
ShareRange = range_of(float, ge=0, lt=1)


class LoopConfig(Section):
    """How any problem is trained: epochs, batches, schedule, stopping, what is kept."""

    epochs: int = setting(200, "Number of epochs.", ge=1, le=10**6)
    batch_size: int = setting(
        100, "Samples a mini-batch, at most: an epoch is cut into equal batches.", ge=1, le=10**7
    )
    batches_per_epoch: int | None = setting(
        None,
        "Batches that make an epoch, at most: the next epoch draws anew from all samples; left"
        " out: all samples once.",
        ge=1,
        le=10**7,
    )
    batch_doublings: int = setting(
        0,
        "How often the batch size doubles, after equal parts of the epochs, up to the whole"
        " training split; 0: it stays.",
        ge=0,
        le=20,
    )
    micro_batch: int = setting(
        0,
        "Samples forwarded at once; 0: as the largest layer fits cache or memory.",
        ge=0,
        le=10**7,
    )
    seed: int = setting(0, "Seed of weights and batch order.", ge=0, lt=2**63)
    device: str = setting("auto", "auto, cpu, cuda or cuda:N.")
    precision: Literal["float32", "tf32", "bfloat16"] = setting(
        "float32",
        "Numbers that layers compute in: float32, as published; on NVIDIA GPUs also tf32, or"
        " bfloat16 in convolutions alone. Weights and their derivatives are float32.",
    )
    threads: int = setting(0, "CPU threads; 0: as torch chooses.", ge=0, le=1024)
    memory_limit: float | None = setting(
        None,
        "Memory that a process may take in all, GiB, on a GPU of its memory: fewer samples are"
        " forwarded at once where that is needed; left out: no limit.",
        gt=0,
        le=1e6,
    )
    averaging: Literal["none", "ema", "tail"] = setting(
        "none",
        "Weights that are evaluated and saved: the optimizer's own, their exponential moving"
        " average over the steps, or their mean over the steps of the last epochs.",
    )
    averaging_decay: float = setting(
        0.99,
        "What a step leaves of the moving average.",
        needs=chosen("training.averaging", "ema"),
        gt=0,
        lt=1,
    )
    averaging_epochs: int = setting(
        10,
        "Number of last epochs that are averaged.",
        needs=chosen("training.averaging", "tail"),
        ge=1,
    )
    schedule: Literal["constant", "linear", "cosine", "plateau"] = setting(
        "constant", "Learning rate over the epochs."
    )
    final_learning_rate: float = setting(
        0.01,
        "Last learning rate as a share of the first (linear, cosine); the lowest (plateau).",
        needs=chosen("training.schedule", "linear", "cosine", "plateau"),
        ge=0,
        le=1,
    )
    plateau_factor: float = setting(
        0.5,
        "Factor on the learning rate at a plateau.",
        needs=chosen("training.schedule", "plateau"),
        gt=0,
        lt=1,
    )
    plateau_patience: int = setting(
        5,
        "Epochs without a better validation loss that make a plateau.",
        needs=chosen("training.schedule", "plateau"),
        ge=0,
    )
    patience: int = setting(
        0, "Stop after this many epochs without a better validation loss; 0: never.", ge=0, le=10**6
    )
    checkpoint_iterations: int = setting(
        0,
        "Iterations between checkpoints within an epoch; 0: at its end alone. Where writing would"
        " take more than 5 % of the time they are written less often.",
        ge=0,
        le=10**9,
    )
    tensorboard: bool = setting(
        False, "Write TensorBoard events too (needs seistomo[tensorboard])."
    )


class TrainingConfig(LoopConfig):
    """Epochs, batches, scaling of the data, schedule and stopping."""

    samples: int | None = setting(
        None,
        "Training models, at most: the first of the split, from which scalings are learnt too; left"
        " out: all.",
        ge=1,
        le=10**9,
    )
    gather_scaling: Literal["none", "standard", "asinh", "trace", "gain"] = setting(
        "asinh", "How gathers are scaled before the network (see docs/training.md)."
    )
    asinh_scale: float = setting(
        0.2,
        "Amplitude where asinh bends, as a share of the standard deviation.",
        needs=chosen("training.gather_scaling", "asinh"),
        gt=0,
    )
    gain_power: float = setting(
        1.0,
        "Power p of the time gain t^p.",
        needs=chosen("training.gather_scaling", "gain"),
        ge=0,
        le=4,
    )
    mute: Literal["none", "direct", "top"] = setting(
        "none",
        "Set to zero before scaling: the direct wave along the surface alone, or everything up"
        " to its end (top).",
    )
    mute_speed: float = setting(
        1480.0,
        "Speed of the direct wave, m/s.",
        needs=chosen("training.mute", "direct", "top"),
        gt=0,
    )
    gather_type: Literal["float32", "float16"] = setting(
        "float32", "Type of scaled gathers; float16 halves the memory they take."
    )
    cache_memory: float | None = setting(
        None,
        "Memory to keep scaled gathers in, GiB; 0: read them anew each epoch; left out: half of"
        " what is free, on a GPU what a step leaves.",
        ge=0,
        le=1e6,
    )
    stream_uses: int | None = setting(
        None,
        "Train on new models, drawn and shot as the data set's while it trains, each used in so"
        " many epochs; left out: on the data set's own.",
        ge=1,
        le=10**6,
    )
    velocity_scaling: Literal["bounds", "extremes"] = setting(
        "bounds",
        "Speeds scaled to the unit interval by velocity.minimum and maximum, or by the training"
        " models' extremes.",
    )
    mirror: bool = setting(
        False,
        "Mirror half of the samples left to right, drawn anew each epoch; needs a survey that is"
        " symmetric about the middle of the model.",
    )
    noise_snr: DecibelRange | None = setting(
        None,
        "Add white noise to each training sample, its signal-to-noise ratio drawn anew each"
        " epoch from this range, dB; left out: no noise.",
    )
    dead_traces: ShareRange | None = setting(
        None,
        "Silence a share of each training sample's traces, drawn anew each epoch from this"
        " range; left out: none.",
    )
    amplitude_jitter: float = setting(
        0.0,
        "Standard deviation, dB, of random factors on each shot (strength and coupling of the"
        " source) and on each receiver (its coupling, the same in all shots of a sample), drawn"
        " anew each epoch; 0: none.",
        ge=0,
        le=20,
    )
    wavelet_jitter: float = setting(
        0.0,
        "Range r of the source wavelet: all its frequencies are multiplied by a factor between"
        " 1/(1+r) and 1+r, drawn anew each epoch for each training sample; 0: none.",
        ge=0,
        le=0.5,
    )
    loss: Literal["mse", "pseudo-huber"] = setting(
        "mse",
        "What the optimizer minimizes, beside what ssim_weight adds: squared error (published), or"
        " pseudo-Huber, which is linear in large errors.",
    )
    huber_delta: float = setting(
        100.0,
        "Error where pseudo-Huber turns from squared to linear, m/s.",
        needs=chosen("training.loss", "pseudo-huber"),
        gt=0,
        le=1e6,
    )
    ssim_weight: float = setting(
        0.0,
        "Weight of 1 - SSIM beside the loss as a mean over pixels in scaled units; 0: none. It is"
        " not convex, hence not for SQGN and SGN.",
        ge=0,
        le=1e6,
    )
