"""Refine a run's predictions, a sample at a time, so that a kill costs one at most.

Each sample's result is a file of its own in ``DIR.unfinished``; when all are there they become
``DIR``.
"""

import json
import shutil
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from seistomo import files
from seistomo.config import RefinementConfig, with_overrides
from seistomo.config.keys import idle_keys
from seistomo.config.schema import require_same
from seistomo.dataset import (
    DatasetReader,
    file_format,
    open_dataset,
    open_velocity,
    read_predictions,
)
from seistomo.dataset.exchange import RecordedShots
from seistomo.dataset.generate import shard_numbers
from seistomo.dataset.selection import select
from seistomo.dataset.store.schema import PREDICTIONS_FORMAT
from seistomo.errors import InputError
from seistomo.evaluation.own_gathers import as_in_training
from seistomo.evaluation.prediction import (
    check_fit,
    read_gathers,
    split_indices,
    unlike_training,
)
from seistomo.progress import bar, counted, say, warn
from seistomo.ranks import Processes
from seistomo.refinement.inversion import Inverter, joined
from seistomo.refinement.results import CONTENT, collect, read_record, write_record
from seistomo.training import Ensemble, Run, load_run

Gathers = DatasetReader | RecordedShots
STARTS = ("prediction", "members", "mean", "smooth")


def refine(
    run_dir: str | Path,
    data_path: str | Path | None,
    out_dir: str | Path,
    *,
    segy: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    split: str = "test",
    samples: int | None = None,
    indices: str | Sequence[int] | None = None,
    checkpoint: str = "best",
    noise_snr: float | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    shard: str | None = None,
    distributed: bool = False,
) -> dict[str, Any] | None:
    """Invert gathers for velocity, starting from a run's predictions.

    Writes ``refined.h5`` (as `predict` does), ``iterations.csv`` (a row an iteration),
    ``samples.csv``, ``metrics.json``, ``figures/`` and ``report.html`` into ``out_dir``, which
    appears whole. Until then each sample that is done lies in ``OUT.unfinished``. Gathers of one's
    own are brought to the run's survey as `predict` does it; there are no scores then, of a single
    model also ``refined.segy``.

    Parameters
    ----------
    run_dir
        A trained run.
    data_path
        A data set of the run's survey. None with ``segy``.
    out_dir
        The folder to write.
    segy
        SEG-Y files of shot gathers of one's own, or folders of them, as for `predict`.
    overrides
        ``refinement.key=value`` strings, applied to the run's own section ``[refinement]``.
    split, samples, indices
        Which samples: of a split (gathers of one's own have none) all, the first so many, or those
        that ``indices`` names among them ("0,3,7" or "0:36").
    checkpoint
        ``best`` or ``last``.
    noise_snr
        Signal-to-noise ratio of white noise added to the gathers, dB.
    device
        auto, cpu, cuda or cuda:N.
    resume
        Go on where an interrupted run stopped.
    overwrite
        Replace a refinement that is there, or one that is unfinished.
    shard
        "i/n": the i-th of n parts of the samples only, with the same ``out_dir`` for all; the one
        that finds all samples done writes ``out_dir``.
    distributed
        Share the samples with the other processes that torchrun started.

    Returns
    -------
    The content of ``metrics.json``; None where other shards or ranks have samples left.

    Raises
    ------
    InputError
        If the folder exists, the run or the settings do not fit the data set, there are not so
        many samples, or gathers or start cannot be used; what is done by then is kept.
    """
    out_dir = Path(out_dir)
    if bool(segy) == (data_path is not None):
        raise InputError("--data or --segy: give one of them")
    ranks = Processes.from_environment() if distributed else Processes()
    with ranks.together(), nullcontext() if segy else open_dataset(data_path) as data:
        place = ranks.device(device)
        run = load_run(run_dir, checkpoint, str(place))
        settings = run_settings(run, overrides)
        if segy:
            data = as_in_training(run, segy)
        else:
            check_fit(run, data)
        rows = _rows(data, split, samples, indices)
        survey = data.config.survey if settings.wavelet == "data" else run.config.survey
        config = data.config.model_copy(update={"survey": survey})
        inverter = Inverter(config, settings, place)
        starts = Starts(run, data, settings)
        request = {
            "refinement": settings.model_dump(),
            "data": data.identity,
            "run": _identity(run),
            "rows": [int(row) for row in rows],
            "split": split,
            "checkpoint": checkpoint,
            "noise_snr": noise_snr,
            **starts.identity,
        }
        number, count = shard_numbers(shard) if shard else (1, 1)
        folder = out_dir.with_name(f"{out_dir.name}.unfinished")
        done = ranks.shared(
            lambda: _prepare(folder, out_dir, request, resume, overwrite, shared=count > 1)
        )
        if done is not None:
            return done if ranks.leads else None
        if ranks.leads:
            for difference in () if segy else unlike_training(run, data, rows):
                warn(difference)
            own = data.config
            simulated = own.simulation.grid_spacing or own.velocity.spacing
            if not segy and simulated == inverter.config.simulation.grid_spacing:
                warn(
                    f"inverse crime: the data were simulated on the inversion's grid, {simulated:g}"
                    " m; results will be better than on recorded data"
                )
            for line in inverter.notes:
                say(line)
            spacings = (grid.simulation.grid_spacing for grid in inverter.grids)
            say(
                f"stages: {', '.join(f'{f:g}' for f in inverter.stages)} Hz on grids of"
                f" {', '.join(f'{spacing:.4g}' for spacing in spacings)} m; traces count from"
                f" {settings.near_offset:g} m of their source on, in full from twice as far"
            )
        mine = [row for place, row in enumerate(rows) if place % count == number - 1]
        # One list for all ranks: another may have done its first sample already.
        todo = ranks.shared(lambda: [row for row in mine if not _record(folder, row).exists()])
        counts = {"total": len(mine), "initial": len(mine) - len(todo)}
        with bar(**counts, description="refine", unit="sample", leave=ranks.leads) as progress:
            while (claimed := ranks.add("samples") - 1) < len(todo):
                row = int(todo[claimed])
                _refine_sample(inverter, starts, data, row, noise_snr, folder, progress)
                progress.update()
        while ranks.leads and any(not _record(folder, row).exists() for row in mine):
            ranks.wait()
        if not ranks.leads:
            return None
        try:
            records = [read_record(_record(folder, row)) for row in rows]
        except FileNotFoundError:
            # Other shards have samples left, or the last of them has just written them all.
            return None
        metrics = collect(out_dir, run, data, rows, records, request, inverter)
        shutil.rmtree(folder, ignore_errors=True)
        return metrics


def _identity(run: Run) -> str:
    """Return a short hash of the weights of a run, or of an ensemble's members."""
    networks = [member.network for member in getattr(run, "members", (run,))]
    weights = (tensor.cpu().numpy() for net in networks for tensor in net.state_dict().values())
    return f"{reduce(lambda total, array: zlib.crc32(array.tobytes(), total), weights, 0):08x}"


def run_settings(run: Run, overrides: Sequence[str]) -> RefinementConfig:
    """Return the run's settings with others in their place."""
    for override in overrides:
        if not override.strip().startswith("refinement."):
            raise InputError(f"--set {override}: only keys of [refinement] may be set here")
    config = with_overrides(run.config, overrides)
    keys = (override.partition("=")[0].strip() for override in overrides)
    for line in idle_keys(config, keys):
        raise InputError(f"--set {line}")
    return config.refinement


def _rows(
    data: Gathers, split: str, samples: int | None, indices: str | Sequence[int] | None
) -> np.ndarray:
    """Return the rows that are asked for."""
    own = isinstance(data, RecordedShots)
    rows = np.arange(data.samples) if own else split_indices(data, split)
    if samples is not None and indices is not None:
        raise InputError("--samples and --indices: give one of them, not both")
    if samples is not None:
        if not 1 <= samples <= len(rows):
            whole = data.path if own else f"the split {split} of {data.path}"
            raise InputError(f"--samples {samples}: {whole} has {counted(len(rows), 'sample')}")
        return rows[:samples]
    return rows if indices is None else rows[select(indices, len(rows), "--indices")]


def _prepare(
    folder: Path,
    out_dir: Path,
    request: dict[str, Any],
    resume: bool,
    overwrite: bool,
    shared: bool,
) -> dict[str, Any] | None:
    """Make the folder of the samples that are done; return the metrics of a finished refinement."""
    finished = out_dir / "metrics.json"
    if resume and finished.is_file():
        metrics = json.loads(finished.read_text(encoding="utf-8"))
        _require_same(out_dir, request, metrics["request"])
        return metrics
    files.require_replaceable(out_dir, overwrite, CONTENT, "a refinement")
    terms = folder / "request.json"
    if terms.is_file() and (shared or not overwrite):
        if not (resume or shared):
            raise InputError(
                f"--out {out_dir}: an interrupted run left {folder.name}; use --resume to finish"
                " it, --overwrite to start anew"
            )
        _require_same(folder, request, json.loads(terms.read_text(encoding="utf-8")))
        return None
    if folder.exists() and not shared:
        if not overwrite and any(folder.iterdir()):
            raise InputError(f"{folder}: is in the way; remove it or give another --out")
        shutil.rmtree(folder)
    files.write_text(terms, json.dumps(request))
    return None


def _require_same(place: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    remedy = "resume with the same settings or use --overwrite"
    require_same(f"{place} was made", json.loads(json.dumps(ours)), theirs, remedy)


def _record(folder: Path, row: int) -> Path:
    return folder / f"{int(row):08d}.npz"


def _refine_sample(
    inverter: Inverter,
    starts: "Starts",
    data: Gathers,
    row: int,
    noise_snr: float | None,
    folder: Path,
    progress: Any,
) -> None:
    gathers = read_gathers(data, np.array([row]), noise_snr)[0]
    seed = [int(number) for number in data.seeds([row])[0]]

    def tell(line: dict[str, float]) -> None:
        progress.set_postfix_str(
            f"sample {row}, {line['frequency']:.3g} Hz, misfit {line['misfit']:.3g}"
        )

    try:
        survey, dead = data.read_survey(row), data.read_dead_traces([row])[0]
        begins = starts.of(row, gathers, survey)
        found = joined([inverter(gathers, survey, dead, one, seed, tell) for one in begins])
    except InputError as error:
        raise InputError(f"{data.path}, sample {row}: {error}") from None
    for notice in found.notices:
        warn(f"sample {row}: {notice}")
    write_record(_record(folder, row), begins, found)


class Starts:
    """Where the inversion of each sample starts."""

    def __init__(self, run: Run, data: Gathers, settings: RefinementConfig):
        self._run, self._data, self._settings = run, data, settings
        self._models: np.ndarray | None = None
        self.identity: dict[str, str] = {}
        if settings.start == "members" and not isinstance(run, Ensemble):
            raise InputError(
                f"refinement.start = members: {run.path} is a single run; give an ensemble (train"
                " --members), or start = prediction"
            )
        if settings.start == "smooth" and isinstance(data, RecordedShots):
            raise InputError(
                "refinement.start = smooth: nobody knows the true models of gathers of your own;"
                " use prediction, mean or a velocity file"
            )
        if settings.start not in STARTS:
            self._models, self._places = _models_of(Path(settings.start), data)
            # A path does not tell what is in it.
            self.identity["start_models"] = f"{zlib.crc32(np.ascontiguousarray(self._models)):08x}"

    def of(self, row: int, gathers: np.ndarray, survey: dict[str, np.ndarray]) -> np.ndarray:
        """Return the starts [member, depth, x], m/s, of a sample with these gathers.

        One, but of ``members`` one each.
        """
        bounds, kind = self._data.config.velocity, self._settings.start
        if self._models is not None:
            if row not in self._places:
                raise InputError(f"refinement.start = {kind}: holds no model of this sample")
            return self._models[self._places[row]][None]
        if kind == "mean":
            models = self._run.normalization.mean_velocity[None]
        elif kind == "smooth":
            truth = self._data.read_velocity([row])[0].astype(np.float64)
            nodes = self._settings.smoothing / self._data.spacing
            smooth = 1 / gaussian_filter(1 / truth, nodes, mode="nearest")
            models = smooth.astype(np.float32)[None]
        else:
            if not np.isfinite(gathers).all():
                raise InputError("the gathers hold values that are not finite numbers")
            each = kind == "members"
            predict = self._run.predict_each if each else self._run.predict
            models = predict(gathers[None], [survey])
            models = models[:, 0] if each else models
            if not np.isfinite(models).all():
                raise InputError("the network predicts NaN or infinite velocities")
        return models.clip(bounds.minimum, bounds.maximum)


def _models_of(path: Path, data: Gathers) -> tuple[np.ndarray, dict[int, int]]:
    """Return the models of a velocity file, and the place of each row of the data in it."""
    name = f"refinement.start = {path}"
    if not path.exists():
        raise InputError(f"{name}: no such file; or one of {', '.join(STARTS)}")
    if file_format(path) == PREDICTIONS_FORMAT:
        models, rows, attributes = read_predictions(path)
        if attributes.get("data_identity") != data.identity:
            raise InputError(f"{name}: holds predictions of another data set than {data.path}")
        places = {int(row): place for place, row in enumerate(rows)}
    else:
        with open_velocity(path) as stored:
            if stored.samples != data.samples:
                raise InputError(
                    f"{name}: holds {counted(stored.samples, 'model')}, but {data.path} has"
                    f" {counted(data.samples, 'sample')}"
                )
            models = stored.read_velocity(range(stored.samples))
        places = {row: row for row in range(data.samples)}
    if models.shape[1:] != tuple(data.velocity_shape):
        raise InputError(
            f"{name}: models [depth, x] are {list(models.shape[1:])}, those of the data set"
            f" {list(data.velocity_shape)}"
        )
    return models, places
