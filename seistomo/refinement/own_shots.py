"""Invert shot gathers of one's own, of which nobody knows the true models."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seistomo import files
from seistomo.dataset import write_predictions
from seistomo.dataset.exchange import RecordedShots, read_shots
from seistomo.dataset.exchange.segy import write_section
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.metrics import MISFITS
from seistomo.evaluation.misfit import Example, offset_taper
from seistomo.evaluation.own_gathers import as_in_training
from seistomo.evaluation.prediction import mean_and_std, prediction_attributes
from seistomo.progress import bar, say, warn
from seistomo.refinement.inversion import Inversion, Inverter, joined
from seistomo.refinement.misfit import filtered, wavelet_filter
from seistomo.refinement.modelling import Modelling
from seistomo.refinement.refine import Starts, run_settings
from seistomo.refinement.results import CONTENT, CSV
from seistomo.training import load_run


def refine_shots(
    run_dir: str | Path,
    segy: Sequence[str | Path],
    out_dir: str | Path,
    *,
    overrides: Sequence[str] = (),
    checkpoint: str = "best",
    device: str = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Invert shot gathers from SEG-Y for velocity, starting from a run's prediction.

    The gathers are brought to the run's survey as `seistomo.predict` does it. Writes
    ``refined.h5``, of a single model ``refined.segy`` too, ``iterations.csv``, ``samples.csv``,
    ``metrics.json`` and ``figures/`` into ``out_dir``, which appears whole or not at all.

    Parameters
    ----------
    run_dir, out_dir, overrides, checkpoint, device, overwrite
        As for `refine`.
    segy
        SEG-Y files of shot gathers, or folders of them.

    Returns
    -------
    The content of ``metrics.json``.

    Raises
    ------
    InputError
        If the folder exists, the gathers do not fit the run, or a start or a setting cannot be
        used.
    """
    out_dir = Path(out_dir)
    files.require_replaceable(out_dir, overwrite, CONTENT, "a refinement")
    place = choose_device(device)
    run = load_run(run_dir, checkpoint, str(place))
    settings = run_settings(run, overrides)
    if settings.start == "smooth":
        raise InputError(
            "refinement.start = smooth: nobody knows the true models of gathers of your own; use"
            " prediction, mean or a velocity file"
        )
    inverter = Inverter(run.config, settings, place)
    shots = read_shots(segy, run.config)
    for sentence in (*shots.said, *inverter.notes):
        say(sentence)
    with files.folder_written_whole(out_dir) as folder:
        (folder / "figures").mkdir()
        shots = as_in_training(run, shots, folder / "figures" / "gathers.png")
        starts, found, cases = Starts(run, shots, settings), [], []
        models, refined = [], []
        with bar(total=shots.samples, description="refine", unit="sample") as progress:
            for row in range(shots.samples):
                gathers, survey = shots.read_gathers([row])[0], shots.read_survey(row)
                dead = shots.read_dead_traces([row])[0]
                begins = starts.of(row, gathers, survey)

                def tell(line: dict[str, float], row: int = row) -> None:
                    progress.set_postfix_str(
                        f"sample {row}, {line['frequency']:.3g} Hz, misfit {line['misfit']:.3g}"
                    )

                one = joined(
                    [inverter(gathers, survey, dead, start, (row,), tell) for start in begins]
                )
                mean, std = (each[0] for each in mean_and_std(one.velocity[:, None]))
                start = begins.mean(axis=0)
                for notice in one.notices:
                    warn(f"sample {row}: {notice}")
                ends = _gathers_of(inverter, shots, row, (start, mean))
                source = len(gathers) // 2
                shown = (each[source] for each in (gathers, ends[1], ends[0]))
                title = f"Sample {row}: misfit {one.data_misfit_far[0]:.3g} to"
                title = f"{title} {one.data_misfit_far[1]:.3g}"
                cases.append((title, Example(row, source, survey, *shown)))
                models += [start, mean]
                refined.append((mean, std))
                found.append(one)
                progress.update()
        attributes = prediction_attributes(run, shots, checkpoint)
        rows = np.arange(shots.samples)
        write_predictions(folder / "refined.h5", refined, rows, shots.depth, shots.x, attributes)
        if len(found) == 1:
            text = [f"REFINED FROM RUN {run.path.name}", f"FROM THE GATHERS OF {shots.path.name}"]
            places = shots.lines[0].places(shots.x)
            spacing = run.config.velocity.spacing
            write_section(folder / "refined.segy", refined[0][0], *places, spacing, text)
        names = [f"{row}: {name}" for row in rows for name in ("start", "refined")]
        drawn = {
            "models": figures.models_figure(
                np.stack(models), shots.depth, shots.x, names, [shots.read_survey(0)] * len(names)
            ),
            "misfit_gathers": figures.misfit_gathers_figure(cases, shots.time, "start"),
        }
        for name, figure in drawn.items():
            figures.save(figure, folder / "figures" / f"{name}.png")
        metrics = _write_tables(folder, found, settings.model_dump(), shots)
    say(f"{out_dir / 'figures'}: gathers, models and what is left unexplained")
    return metrics


def _gathers_of(
    inverter: Inverter, shots: RecordedShots, row: int, models: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the gathers of models [depth, x], with the wavelet corrected where it is estimated."""
    survey, settings = shots.read_survey(row), inverter.settings
    modelling = Modelling(inverter.config, survey, inverter.device)
    predicted = [
        modelling.gathers(torch.from_numpy(model.astype(np.float64)).to(inverter.device))
        for model in models
    ]
    if settings.wavelet == "estimated":
        observed = torch.from_numpy(shots.read_gathers([row])[0]).to(inverter.device)
        live = ~shots.read_dead_traces([row])[0]
        weights = torch.from_numpy(offset_taper(survey, settings.near_offset) * live)
        terms = weights.to(observed), inverter.stages[-1], inverter.config.survey.time_step
        predicted = [filtered(d, wavelet_filter(d, observed, *terms)) for d in predicted]
    return [each.cpu().numpy() for each in predicted]


def _write_tables(
    folder: Path, found: Sequence[Inversion], settings: dict[str, Any], shots: RecordedShots
) -> dict[str, Any]:
    """Write what became of each sample and iteration; return the content of ``metrics.json``."""
    samples = pd.DataFrame({"index": range(len(found))})
    for place, moment in enumerate(("start_", "")):
        for key in MISFITS:
            samples[moment + key] = [getattr(one, key)[place] for one in found]
    for key in ("solves", "seconds"):
        samples[key] = [getattr(one, key) for one in found]
    samples["notices"] = ["; ".join(one.notices) for one in found]
    history = pd.concat(
        [pd.DataFrame(one.history).assign(sample=row) for row, one in enumerate(found)]
    )
    samples.to_csv(folder / "samples.csv", **CSV)
    history[["sample", *history.columns.drop("sample")]].to_csv(folder / "iterations.csv", **CSV)
    means = samples.mean(numeric_only=True)
    metrics = {
        "samples": len(found),
        **{key: float(means[key]) for key in (*MISFITS, "solves", "seconds")},
        "start": {key: float(means[f"start_{key}"]) for key in MISFITS},
        "notices": {str(row): one.notices for row, one in enumerate(found) if one.notices},
        "said": shots.said,
        "data": shots.identity,
        "refinement": settings,
    }
    text = json.dumps(metrics, indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return metrics
