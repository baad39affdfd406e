"""What each choice costs, and what it is worth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seistomo.benchmarks.simulate.bench import TURN_SECONDS, Bench, changed, peak_gpu_memory
from seistomo.benchmarks.simulate.turns import Choice, Variant, seconds_of
from seistomo.config import Config
from seistomo.dataset import open_dataset
from seistomo.simulation import Simulator, Survey
from seistomo.simulation.bare import BareLoop, BareSettings
from seistomo.simulation.checks import CELLS_PER_WAVELENGTH
from seistomo.simulation.grid import ModellingGrid
from seistomo.simulation.wavelet import ricker_frequency

ORDERS = tuple(CELLS_PER_WAVELENGTH)
# Errors are measured on a part of the survey, against a grid so much finer at the highest order.
ERROR_SOURCES, ERROR_MODELS, FINER = 3, 2, 3
OURS = "between nodes, a row of them and a matrix"


def relative_error(gathers: NDArray, reference: NDArray) -> float:
    """Return the norm of the difference in units of the reference's norm."""
    reference = reference.astype(np.float64)
    return float(np.linalg.norm(gathers - reference) / np.linalg.norm(reference))


def percent(value: float) -> str:
    """Return a part as text, in per cent."""
    return f"{100 * value:.2g} %"


def compare_accuracy(bench: Bench) -> Choice:
    """Compare the orders of the scheme, and the chosen one on a grid of half the spacing."""
    spacing, own = ModellingGrid.of(bench.config).spacing, bench.config.simulation.accuracy
    models = bench.models_for()
    settings = {str(order): {"accuracy": order} for order in ORDERS}
    finer = f"{own} on a grid of {spacing / 2:g} m"
    settings[finer] = {"accuracy": own, "grid_spacing": spacing / 2}
    configs = {label: changed(bench.config, simulation=s) for label, s in settings.items()}
    # Half the spacing is eight times the work.
    counts = {label: models if label != finer else max(1, models // 4) for label in configs}
    timings = bench.compare(
        [bench.shooting(label, config, counts[label]) for label, config in configs.items()],
        "accuracy",
    )
    errors = dispersion_errors(bench, list(configs.values()))
    for timing, config, error in zip(timings, configs.values(), errors, strict=True):
        timing.facts |= {"error": error, "checks": dispersion_verdict(config)}
    return Choice(
        "accuracy",
        "simulation.accuracy",
        timings,
        timings[ORDERS.index(own)],
        {"error": percent, "checks": str},
        f"Error: against order {ORDERS[-1]} on a grid of {spacing / FINER:.3g} m, norm over"
        f" {ERROR_SOURCES} sources of {ERROR_MODELS} models, receivers at least"
        f" {far_enough(bench.config):.0f} m away. Checks: what is said of the grid before a run.",
    )


def dispersion_errors(bench: Bench, configs: list[Config]) -> list[float]:
    """Return the relative errors of gathers against a finer grid.

    Next to a source the field is singular and every grid shows its own cell: those traces do not
    count. The finer grid's absorbing edges are as wide in metres.
    """
    survey = {**some_sources(bench.config), "dead_traces": 0.0}
    velocity = bench.velocity(ERROR_MODELS)
    indices = range(ERROR_MODELS)
    seed, least = bench.config.dataset.seed, far_enough(bench.config)
    surveys = [Survey.draw(changed(bench.config, survey=survey), seed, i) for i in indices]
    away = np.stack([offsets(survey) >= least for survey in surveys])

    def shoot(config: Config) -> NDArray[np.float32]:
        clean = changed(config, simulation={"noise_snr": None}, survey=survey)
        return Simulator(clean, bench.device)(velocity, indices)[away]

    finest = {
        "accuracy": ORDERS[-1],
        "grid_spacing": ModellingGrid.of(bench.config).spacing / FINER,
        "pml_width": bench.config.simulation.pml_width * FINER,
    }
    reference = shoot(changed(bench.config, simulation=finest))
    return [relative_error(shoot(config), reference) for config in configs]


def some_sources(config: Config) -> dict[str, Any]:
    """Return the settings of a survey that has a few of the sources, the outermost among them."""
    if config.survey.sources <= ERROR_SOURCES:
        return {}
    places = config.survey.positions(config.velocity.x_extent)["source_x"]
    chosen = np.linspace(0, len(places) - 1, ERROR_SOURCES).round().astype(int)
    return {"sources": ERROR_SOURCES, "source_x": tuple(places[chosen].tolist())}


def offsets(survey: Survey) -> NDArray[np.float64]:
    """Return the distances from sources to receivers [source, receiver], m."""
    across = survey.receiver_x - survey.source_x[:, None]
    down = survey.receiver_depth - survey.source_depth[:, None]
    return np.hypot(across, down)


def far_enough(config: Config) -> float:
    """Return the offset from which traces are compared, m.

    A wavelength at the lowest speed, or half the largest offset if that is less.
    """
    farthest = offsets(Survey.draw(config, config.dataset.seed, 0)).max()
    return min(slowest_wavelength(config), farthest / 2)


def slowest_wavelength(config: Config) -> float:
    """Return the wavelength of the wavelet's frequency at the lowest speed, m."""
    return config.velocity.minimum / ricker_frequency(config.survey)


def dispersion_verdict(config: Config) -> str:
    """Return good, poor or refused: what `check_simulation` says of the grid."""
    cells = slowest_wavelength(config) / ModellingGrid.of(config).spacing
    good, least = CELLS_PER_WAVELENGTH[config.simulation.accuracy]
    return "good" if cells >= good else "poor" if cells >= least else "refused"


def compare_receivers(bench: Bench, settings: BareSettings) -> Choice:
    """Compare points on nodes, between nodes our way, and deepwave's own interpolation.

    Parameters
    ----------
    bench
        Where.
    settings
        Of the bare loop.
    """
    config = changed(bench.config, simulation={"noise_snr": None}, survey={"dead_traces": 0.0})
    models = bench.models_for()
    kinds = {"on the nearest nodes": "nodes", "between nodes, deepwave's own": "between"}
    if not config.survey.receiver_jitter:
        kinds["the same, weights kept"] = "between, kept"
    variants = [bench.shooting(OURS, config, models)]
    gathers = {}
    for label, kind in kinds.items():
        loop = BareLoop(config, bench.velocity(models), range(models), bench.device, kind)
        # Also works out the weights that are kept.
        gathers[label] = loop.gathers(settings)
        variants.append(Variant(label, models, partial(_run_bare, loop, settings)))
    variants[:2] = variants[1::-1]
    timings = bench.compare(variants, "receivers")
    gathers[OURS] = Simulator(config, bench.device)(bench.velocity(models), range(models))
    reference = gathers.pop("between nodes, deepwave's own")
    for timing in timings:
        if timing.label in gathers:
            timing.facts["difference"] = relative_error(gathers[timing.label], reference)
    return Choice(
        "receivers",
        "Sources and receivers between nodes",
        timings,
        timings[0],
        {"difference": percent},
        "Difference: from deepwave's own interpolation, norm over all gathers; it works out its"
        " weights in each call, unless they are kept. All but ours: the bare loop.",
    )


def _run_bare(loop: BareLoop, settings: BareSettings) -> float:
    return seconds_of(lambda: loop.run(settings))


def compare_models_a_call(bench: Bench) -> Choice:
    """Compare numbers of models that are propagated together: whole runs of the pipeline."""
    own = bench.config.simulation.models_per_call
    models = max(own, bench.models_for(2 * TURN_SECONDS))
    powers = {2**k for k in range(0, 9, 2 if models > 16 else 1) if 2**k <= models}
    counts = sorted(powers | {own})
    variants = [
        making(bench, str(k), models, "calls.h5", simulation={"models_per_call": k}) for k in counts
    ]
    timings = bench.compare(variants, "models a call")
    columns: dict[str, Callable[[Any], str]] = {}
    if bench.on_gpu:
        columns["GPU memory"] = lambda size: f"{size / 1e9:.2f} GB"
        for variant, timing in zip(variants, timings, strict=True):
            peak_gpu_memory()
            variant.run()
            timing.facts["GPU memory"] = peak_gpu_memory()
    reference = timings[counts.index(own)]
    return Choice(
        "models_per_call",
        "simulation.models_per_call",
        timings,
        reference,
        columns,
        f"Whole runs of the pipeline, {models} models each.",
    )


def compare_storage(bench: Bench) -> Choice:
    """Compare the types of the stored gathers: whole runs of the pipeline, sizes, rounding."""
    models = max(2, bench.models_for())
    kinds = ("float16", "float32")
    variants = [
        making(bench, kind, models, f"{kind}.h5", dataset={"storage": kind}) for kind in kinds
    ]
    timings = bench.compare(variants, "storage")
    stored = {}
    for kind, timing in zip(kinds, timings, strict=True):
        path = bench.folder / f"{kind}.h5"
        timing.facts["MB/model"] = path.stat().st_size / models / 1e6
        with open_dataset(path) as data:
            stored[kind] = data.read_gathers([0])
    timings[0].facts["rounding"] = relative_error(stored["float16"], stored["float32"])
    return Choice(
        "storage",
        "dataset.storage",
        timings,
        timings[kinds.index(bench.config.dataset.storage)],
        {"MB/model": "{:.2f}".format, "rounding": percent},
        f"Whole runs of the pipeline, {models} models each. Rounding: norm over one sample's"
        " gathers.",
    )


def making(bench: Bench, label: str, models: int, name: str, **sections: dict) -> Variant:
    """Return a variant that makes a data set with some settings changed."""
    dataset = {"samples": models, **sections.pop("dataset", {})}
    config = changed(bench.config, dataset=dataset, **sections)
    return Variant(label, models, lambda: bench.making(config, bench.folder / name)[0])


def best_settings(choices: dict[str, Choice]) -> dict[str, Any]:
    """Return the settings that the measurements speak for.

    The cheapest order whose grid the checks call good, or else the highest; the fewest models a
    call within 2 % of the quickest; float16 unless its rounding is above a tenth of the error
    that the scheme makes.
    """
    orders = [t for t in choices["accuracy"].timings if t.label.isdecimal()]
    good = [t for t in orders if t.facts["checks"] == "good"]
    order = min(good, key=lambda t: t.median) if good else orders[-1]
    calls = choices["models_per_call"]
    relative = {t.label: np.median(t.ratios(calls.reference)) for t in calls.timings}
    quick = [label for label, r in relative.items() if r <= 1.02 * min(relative.values())]
    half = choices["storage"].timings[0]
    fine = half.facts["rounding"] <= 0.1 * order.facts["error"]
    return {
        "simulation.accuracy": int(order.label),
        "simulation.models_per_call": min(map(int, quick)),
        "dataset.storage": "float16" if fine else "float32",
    }


def all_choices(bench: Bench, settings: BareSettings) -> dict[str, Choice]:
    """Measure all choices; `settings` are the bare loop's."""
    found = (
        compare_accuracy(bench),
        compare_receivers(bench, settings),
        compare_models_a_call(bench),
        compare_storage(bench),
    )
    return {choice.name: choice for choice in found}
