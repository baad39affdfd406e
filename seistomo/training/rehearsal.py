"""What a training will take, from taking its first steps without writing anything."""

import time
from pathlib import Path
from statistics import median

import torch

from seistomo.config import Config
from seistomo.dataset import open_dataset
from seistomo.device import peak_memory, torch_settings
from seistomo.files import free_bytes
from seistomo.networks import parameter_count
from seistomo.optim import options_in_effect
from seistomo.progress import bar, counted, duration, quietly
from seistomo.ranks import Processes
from seistomo.training.batches import batch_count, batch_size
from seistomo.training.directory import RunDirectory
from seistomo.training.fit import Training, effective_settings, prepared_device
from seistomo.training.history import BEST, CHECKPOINT, CONFIG, FIGURES, HISTORY, METRICS
from seistomo.training.memory import memory_for_samples
from seistomo.training.scaling import learn_normalization
from seistomo.training.stream import ring_length, window_length
from seistomo.training.tomography import TomographyProblem

# Steps are taken until so many seconds have passed; at least, and at most, so many of them.
REHEARSAL_SECONDS, FEWEST_STEPS, MOST_STEPS = 10.0, 2, 20
# Samples that scalings are learnt from here: a pass over all may take minutes.
SCALED_FROM = 16


def dry_run(
    config: Config, data_path: str | Path, run_dir: str | Path, *, overwrite: bool = False
) -> str:
    """Check a training and estimate its cost, by its first steps; nothing is written.

    Arguments are those of `seistomo.training.train`. Returns readable lines.
    """
    with open_dataset(data_path) as data:
        problem = TomographyProblem(config, data)
        method, processes = problem.method(), Processes()
        settings = effective_settings(problem, method, config.training.seed)
        cached = settings.cache_memory
        uses = settings.stream_uses
        # What these steps need is read anew; the rest is not read at all.
        settings = settings.model_copy(update={"cache_memory": 0.0, "stream_uses": None})
        directory = RunDirectory(run_dir, resume=False, overwrite=overwrite)
        device = prepared_device(problem, method, settings, processes)
        with torch_settings(device, settings.threads, settings.seed, settings.precision):
            scaling = learn_normalization(data, settings, SCALED_FROM)
            problem.load_state({"normalization": scaling.state()})
            training = Training(problem, method, settings, device, processes, directory, None)
            count, validation = len(training.train), len(training.validation)
            samples = training.train.needed_bytes()
            if uses is not None:
                stored, count = count, window_length(settings, count)
                samples = samples * ring_length(count, uses) // stored
            samples += training.validation.needed_bytes()
            with quietly():
                training.train = training.train.to(device)
            seconds, waited = _take_steps(training)
            memory, checkpoint = peak_memory(device), training.checkpoint()
            size, batches = (f(settings, 0, count) for f in (batch_size, batch_count))
            scoring = _seconds_to_score(training, size)
            threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    kept = samples <= sum(memory_for_samples(cached, device, 1, memory).values())
    step = median(seconds[1:] or seconds) + (0.0 if kept else median(waited))
    # In its first step an optimizer may take the gradient over all samples, and again after K.
    options = options_in_effect(training.optimizer, method.options)
    interval = options.get("full_gradient_interval", "never")
    renewals = batches // {"epoch": batches, "never": batches + 1}.get(interval, interval)
    each = f"{step:.3g} s a step" + (f", {renewals} of {seconds[0]:.3g} s" if renewals else "")
    epoch = batches * step + renewals * max(0.0, seconds[0] - step) + scoring
    weights, epochs = parameter_count(training.network), settings.epochs
    rate = training.optimizer.param_groups[0]["lr"]
    new = ""
    if uses is not None:
        new = f", {count / uses:,.0f} new ones an epoch (simulating them is not in the time)"
    where = f"and {samples / 1e9:.3g} GB for samples" if kept else "with samples read anew"
    whole, best = (content.bytes() / 1e6 for content in (checkpoint, checkpoint.trimmed()))
    return "\n".join(
        [
            f"network: {problem.config.network.name}, {weights:,} weights",
            f"optimizer: {method.optimizer}, learning rate {rate:g}",
            f"samples: {count:,} for training{new}, {validation:,} for validation; in batches of at"
            f" most {size}, {min(training.micro_batch or size, size)} at once",
            f"time: about {duration(epoch)} an epoch ({counted(batches, 'step')}, {each}, measured"
            f" over {len(seconds)}; {duration(scoring)} to score), {duration(epochs * epoch)} for"
            f" {counted(epochs, 'epoch')}, on {device}{threads}",
            f"memory: about {memory / 1e9:.1f} GB, {where}",
            f"disk: {whole:.3g} MB {CHECKPOINT}, {best:.3g} MB {BEST}, {CONFIG}, {HISTORY},"
            f" {METRICS} and {FIGURES}/ in {run_dir}; {free_bytes(run_dir) / 1e9:.3g} GB are free",
        ]
    )


def _take_steps(training: Training) -> tuple[list[float], list[float]]:
    """Return the seconds of the first steps, and how long each waited for its samples."""
    seconds, waited, progress = [], [], training.progress
    started = time.perf_counter()
    with bar(total=FEWEST_STEPS, description="rehearsal", unit="step", leave=False) as shown:
        for _ in training.steps():
            waited.append(progress.data_seconds - sum(waited))
            seconds.append(progress.seconds - progress.data_seconds - sum(seconds))
            shown.update()
            late = time.perf_counter() - started > REHEARSAL_SECONDS
            if len(seconds) >= (FEWEST_STEPS if late else MOST_STEPS):
                break
    return seconds, waited


def _seconds_to_score(training: Training, most: int) -> float:
    """Return about how many seconds it takes to score the validation split."""
    samples, count = training.validation, len(training.validation)
    if not count:
        return 0.0
    samples.indices = samples.indices[:most]
    with quietly():
        samples = samples.to(training.device)
    started = time.perf_counter()
    training.problem.scores(training.network.eval(), samples)
    return (time.perf_counter() - started) * count / len(samples)
