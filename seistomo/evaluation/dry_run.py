"""Look before you shoot: checks, cost and a sheet of what a simulation would make."""

from pathlib import Path

import numpy as np

from seistomo.config import Config
from seistomo.dataset.estimate import estimate_lines, rehearse
from seistomo.dataset.generate import plan_for
from seistomo.dataset.models import ModelSource, models_for
from seistomo.dataset.unfinished import Plan
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.progress import warn
from seistomo.simulation import Survey, check_simulation

SHEET_MODELS = 16


def dry_run(
    config: Config,
    out: str | Path,
    *,
    device: str = "auto",
    velocity: str | Path | None = None,
    shard: str | None = None,
    overwrite: bool = False,
) -> str:
    """Check a simulation, estimate its cost and draw a sheet of it; nothing else is written.

    Arguments are those of `seistomo.dataset.generate.simulate`. Returns readable lines; the sheet
    is beside ``out``, as ``NAME.dry-run.png``: up to 16 models, spread over the samples that would
    be made, with their surveys; the middle shot of the first of them; the wavelet.
    """
    out = Path(out)
    sheet = out.with_name(f"{out.stem}.dry-run.png")
    if sheet.exists() and not overwrite:
        raise InputError(f"--dry-run: {sheet} exists already; give --overwrite")
    if out.exists() and not overwrite:
        warn(f"{out} exists already: to make it takes --resume or --overwrite")
    with models_for(config, velocity) as (config, models):
        plan = plan_for(config, out, shard)
        lines = check_simulation(config)
        rehearsal = rehearse(config, models, plan.samples, device)
        lines += estimate_lines(config, out, plan.samples, rehearsal)
        figure = _sheet(plan, models, rehearsal.gathers)
    return "\n".join([*lines, f"sheet: {figures.save(figure, sheet)}"])


def _sheet(plan: Plan, models: ModelSource, gathers: np.ndarray) -> figures.Figure:
    config, wanted = plan.config, plan.samples
    places = np.linspace(0, len(wanted) - 1, min(SHEET_MODELS, len(wanted))).round().astype(int)
    shown = [wanted[place] for place in places]
    drawn = [models.model(index) for index in shown]
    depth, x = (np.arange(count) * config.velocity.spacing for count in config.velocity.shape)
    return figures.dry_run_figure(
        np.stack([model.velocity for model in drawn]),
        depth,
        x,
        [f"{index}: {model.family}" for index, model in zip(shown, drawn, strict=True)],
        [vars(Survey.draw(config, config.dataset.seed, index)) for index in shown],
        gathers,
        plan.wavelet,
        config.survey.time_step,
        (config.velocity.minimum, config.velocity.maximum),
    )
