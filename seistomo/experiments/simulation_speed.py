"""How fast data sets are made: the pipeline beside deepwave alone, in turns."""

import io
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from statistics import median

import numpy as np
import torch

from seistomo.config import Config, load_config
from seistomo.dataset.generate import simulate
from seistomo.dataset.store.schema import with_samples
from seistomo.device import choose_device, torch_settings
from seistomo.errors import InputError
from seistomo.experiments import problems, records
from seistomo.experiments.machine import describe_machine, machine_line
from seistomo.experiments.study import Study
from seistomo.experiments.tables import markdown_table, median_range
from seistomo.experiments.timing import ratios, seconds_of, take_turns
from seistomo.files import write_text
from seistomo.progress import quietly
from seistomo.simulation import Simulator, check_simulation
from seistomo.simulation.bare import BareLoop, BareSettings
from seistomo.velocity import draw_model

NAME = "simulation-speed.json"
PIPELINE, BARE = "seistomo simulate", "deepwave alone"
# A turn takes about so long, s, and makes so many models, unless the samples are given.
TURN_SECONDS, FEWEST, MOST = 18.0, 16, 1024


def measure_speed(study: Study, out: Path, overwrite: bool = False, command: str = "") -> str:
    """Find deepwave's best settings, let it and the pipeline take turns; return the page."""
    records.refuse_results(out / NAME, overwrite)
    config, settings = load_config(study.config), problems.loop_settings(study.training)
    checks, device = check_simulation(config), choose_device(settings.device)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}") from None
    with (
        torch_settings(device, settings.threads, 0),
        tempfile.TemporaryDirectory(dir=out) as folder,
    ):
        machine = describe_machine(settings.device, settings.threads)
        tried = _search(config, study.samples, device)
        best = min(tried, key=tried.get)
        samples = study.samples or _enough(config, tried[best], device)
        config = with_samples(config, samples)
        loop = BareLoop(config, _velocity(config), range(samples), settings.device)
        outside: list[float] = []

        def make() -> float:
            path = Path(folder) / "data.h5"
            path.unlink(missing_ok=True)
            made = []
            # What it warns of was said before, once.
            with quietly(), redirect_stderr(io.StringIO()):
                seconds = seconds_of(
                    lambda: made.append(simulate(config, path, device=settings.device))
                )
            outside.append(max(0.0, 1 - made[0].wave_seconds / seconds))
            return seconds / samples

        turns = {PIPELINE: make, BARE: lambda: seconds_of(lambda: loop.run(best)) / samples}
        found = take_turns(turns, study.seeds, warm_up=device.type == "cuda", description="speed")
    lines = [["", "s/model", "models/s", "throughput / bare"]]
    speeds = ratios(found[BARE], found[PIPELINE])
    for name, seconds in found.items():
        shown = median_range(speeds, 3) if name == PIPELINE else "1"
        lines.append([name, median_range(seconds, 3), f"{1 / median(seconds):.3g}", shown])
    share = median_range([100 * one for one in outside[-study.seeds :]], 1)
    page = (
        f"# {study.title}: {Path(study.config).stem}\n\n{checks[0]}\n\n{markdown_table(lines)}\n"
        f"- {samples} models a turn, {study.seeds} turns each. The pipeline draws, shoots,"
        f" interpolates and stores; by its own account no wave propagates in {share} % of its time."
        f" deepwave alone ({best}) goes over the same shots with sources and receivers on nodes,"
        f" and keeps nothing; the best of {len(tried)} settings tried.\n- {machine_line(machine)}\n"
    )
    page += f"\n`{command}`\n" if command else ""
    content = {
        "machine": machine,
        "command": command,
        "config": study.config,
        "samples": samples,
        "seconds_a_model": found,
        "ratios": speeds,
        "ratio": median(speeds),
        "outside_wave_equation": outside[-study.seeds :],
        "bare_settings": {str(one): seconds for one, seconds in tried.items()},
    }
    write_text(out / "index.md", page)
    records.write_json(out / NAME, content)
    return page


def _search(config: Config, samples: int, device: torch.device) -> dict[BareSettings, float]:
    """Return seconds a model of deepwave alone with different settings."""
    candidates = candidate_settings(config, device)
    most = -(-max(one.shots * one.threads for one in candidates) // config.survey.sources)
    models = min(samples or MOST, max(2, most))
    config = with_samples(config, models)
    loop = BareLoop(config, _velocity(config), range(models), str(device))
    turns = {
        one: (lambda one=one: seconds_of(lambda: loop.run(one)) / models) for one in candidates
    }
    loop.run(candidates[0])
    found = take_turns(turns, 1, warm_up=device.type == "cuda", description="search")
    return {one: median(seconds) for one, seconds in found.items()}


def candidate_settings(config: Config, device: torch.device) -> list[BareSettings]:
    """Return the settings of deepwave that are worth a try."""
    sources, threads = config.survey.sources, torch.get_num_threads()
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        most = max(1, free // 2 // Simulator(config, str(device)).shot_bytes)
        counts = [sources * models for models in (1, 4, 16, 64)]
        return [BareSettings(1, 1, n) for n in [n for n in counts if n <= most] or [most]]
    shots = {max(1, -(-factor * sources // (4 * threads))) for factor in (1, 2, 4, 8, 16)}
    divided = [BareSettings(threads, 1, count) for count in sorted(shots)]
    if threads == 1:
        return divided
    return divided + [BareSettings(1, threads, sources * models) for models in (1, 4)]


def _enough(config: Config, seconds: float, device: torch.device) -> int:
    """Return how many models to make in a turn: whole calls for each thread."""
    threads = 1 if device.type == "cuda" else torch.get_num_threads()
    together = threads * config.simulation.models_per_call
    samples = min(MOST, max(FEWEST, TURN_SECONDS / seconds))
    return together * max(1, round(samples / together))


def _velocity(config: Config) -> np.ndarray:
    """Return the configuration's models, float32 [model, depth, x], m/s."""
    models = (
        draw_model(config.velocity, config.dataset.seed, index)
        for index in range(config.dataset.samples)
    )
    return np.stack([model.velocity for model in models])
