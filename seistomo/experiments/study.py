"""A study: what is run and what is shown of it, read from a TOML file."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seistomo.config.keys import nearest
from seistomo.errors import InputError, shortened
from seistomo.evaluation.metrics import SCORE_NAMES
from seistomo.files import read_text, reading
from seistomo.training.problem import Method

Kind = Literal["training", "optimizer-cost", "simulation-speed", "generalization", "refinement"]
Figure = Literal["epoch", "seconds", "histogram", "sweeps", "examples"]
INHERITED = ("optimizer", "learning_rate", "restarts")
MERGED = ("options", "training", "problem", "space")


HIGHER_IS_BETTER = {key for key, score in SCORE_NAMES.items() if score.higher}

History = Sequence[Mapping[str, float]]


def judged(row: Mapping[str, float], score: str) -> float:
    """Return a score of an epoch on the split that the run is judged by."""
    names = (score, f"validation_{score}", f"train_{score}")
    if score == "rmse" and "mse" in row:
        return math.sqrt(row["mse"])
    return next((row[name] for name in names if name in row), math.nan)


def reaches(value: float, score: str, target: float) -> bool:
    """Whether a score is as good as the target."""
    return value >= target if score in HIGHER_IS_BETTER else value <= target


def in_words(values: Mapping[str, Any]) -> str:
    """Return settings by dotted key in a line."""
    return ", ".join(
        f"{key.rpartition('.')[2]} = "
        + (f"{value['batch']:g} of the batch" if isinstance(value, Mapping) else str(value))
        for key, value in values.items()
    )


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Table):
    """Numbers to draw from; `log`: evenly in their logarithm."""

    low: float
    high: float
    log: bool = False


class MethodEntry(_Table):
    """A row of a study's table."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.@+_-]*$")
    label: str = ""
    like: str = ""  # a method whose settings are taken where this one says nothing
    optimizer: str = ""
    learning_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}  # keys of [training] that differ
    problem: dict[str, Any] = {}  # options of the problem that differ
    paper: dict[str, float] = {}  # what is reported, by column
    restarts: int = Field(0, ge=0)  # times that a stuck run begins anew with another seed
    runs_of: str = ""  # shows another method's runs ...
    epochs: int | None = Field(None, ge=1)  # ... as they were after so many epochs
    space: dict[str, list[Any] | Range] = {}  # what tuning tries, by dotted key
    optional: bool = False  # left out unless --methods names it

    def method(self) -> Method:
        """Return the row as training takes it."""
        return Method(
            self.name,
            self.optimizer,
            self.learning_rate,
            dict(self.options),
            dict(self.training),
            dict(self.paper),
        )

    def with_values(self, values: Mapping[str, Any]) -> "MethodEntry":
        """Return the row with settings changed by dotted key, as ``options.damping``."""
        content = self.model_dump()
        for key, value in values.items():
            _put(content, key, value)
        return MethodEntry(**content)

    def value(self, key: str) -> Any:
        """Return a setting by its dotted key; None where it is left to the default."""
        found: Any = self.model_dump()
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


class Sweep(_Table):
    """One setting of a method over several values, the others as they are."""

    method: str
    key: str  # dotted: learning_rate, options.damping
    symbol: str
    values: list[float]

    def name(self, value: float, base: MethodEntry) -> str:
        """Return the name of the method at a value: the base's own at its own value."""
        own = base.value(self.key)
        setting = self.key.rpartition(".")[2]
        return self.method if own == value else f"{self.method}-{setting}-{value:g}"


class Target(_Table):
    """A score to be reached: a number, or what a method reaches at its end on average."""

    score: str
    value: float | None = None
    method: str = ""

    def is_met(self, history: History) -> bool:
        """Whether a run has reached the number; another method's end is for all to race past."""
        value = self.value
        return value is not None and reaches(judged(history[-1], self.score), self.score, value)


class Tuning(_Table):
    """How methods with a space of settings are tuned, by the validation split."""

    trials: int = Field(ge=0)  # for each; 0: methods run as they are written
    seconds: float | None = Field(None, gt=0)  # optimizer time of a trial; none: the study's
    score: str = "loss"  # to be made good at the end, where there is no target


class Condition(_Table):
    """What differs from the data that a run was trained on."""

    name: str
    label: str = ""
    group: str = ""
    noise_snr: float | None = None  # dB
    dead_traces: float | None = None  # share
    set: list[str] = []  # section.key=value of the data's configuration
    wavelet: float | None = None  # factor on all its frequencies
    grid: float | None = None  # factor on the spacing of the modelling grid
    deeper: float | None = None  # sources, in spacings of the models
    families: bool = False  # a row for each family of models
    crops: bool = False  # pieces of the section


class Section(_Table):
    """A large velocity section that crops are cut from, and what its file does not say."""

    file: str = ""
    format: str | None = None
    units: str | None = None
    spacing: float | list[float] | None = None
    shape: tuple[int, int] | None = None


class Study(_Table):
    """A study; `load_study` reads one."""

    name: str = ""
    title: str
    about: str = ""  # a line for `benchmark list`
    kind: Kind = "training"
    problem: dict[str, Any] = {}
    training: dict[str, Any] = {}
    methods: list[MethodEntry] = []
    sweeps: list[Sweep] = []
    seeds: int = Field(1, ge=1)  # runs of each method
    first_seed: int = Field(0, ge=0)
    epochs: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)  # optimizer time of a run
    target: Target | None = None
    tuning: Tuning | None = None
    reference: str = ""  # the method that others are compared with
    columns: list[str] = []
    figures: list[Figure] = []
    expect: dict[str, float] = {}  # scores below which the study has failed
    conditions: list[Condition] = []
    samples: int = Field(100, ge=0)  # of a condition, or of a turn of simulation-speed
    section: Section = Section()
    config: str = ""  # configuration of simulation-speed
    notes: list[str] = []
    only: list[str] = []  # methods that are run, with what they need; none: all but optional ones
    smoke: dict[str, Any] = {}  # settings by dotted key that make it a matter of seconds

    def entry(self, name: str) -> MethodEntry:
        """Return a method by its name."""
        return next(entry for entry in self.methods if entry.name == name)

    @property
    def trained(self) -> list[MethodEntry]:
        """The methods that are to be run."""
        usual = [entry.name for entry in self.methods if not entry.optional]
        wanted = {*(self.only or usual)}
        wanted |= {entry.runs_of for entry in self.methods if entry.name in wanted}
        return [entry for entry in self.methods if entry.name in wanted and not entry.runs_of]

    @property
    def seed_range(self) -> range:
        """The repeats' seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def tuned(self, entry: MethodEntry) -> bool:
        """Whether the method's settings are chosen by trials."""
        return bool(entry.space and self.tuning and self.tuning.trials)

    def to_toml(self) -> str:
        """Return the study as TOML, with everything that was left out or inherited."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude_defaults=True))


def study_folder() -> Path:
    """Return where the studies are that come with the package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "presets" / "studies"
    return installed if installed.is_dir() else package.parent / "configs" / "studies"


def study_names() -> list[str]:
    """Return the names of the studies that come with the package."""
    return sorted(path.stem for path in study_folder().glob("*.toml"))


def load_study(
    source: str | Path, changes: Mapping[str, Any] | None = None, smoke: bool = False
) -> Study:
    """Read a study.

    Parameters
    ----------
    source
        Path of a TOML file, or the name of a study that comes with the package.
    changes
        Values by dotted key, as ``seeds``, ``tuning.trials``, ``problem.pixels``.
    smoke
        Whether to make it as small as its ``[smoke]`` says.

    Raises
    ------
    InputError
        For a file that cannot be read, unknown keys, and values that are not allowed.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = study_folder() / f"{source}.toml"
    with reading(f"study {source}"):
        if not path.exists():
            raise InputError(_unknown(str(source)))
        content = tomllib.loads(read_text(path, f"study {source}"))
    return parse_study(content, path.stem, changes, smoke)


def parse_study(
    content: dict[str, Any],
    name: str,
    changes: Mapping[str, Any] | None = None,
    smoke: bool = False,
) -> Study:
    """Build a study from the content of its file; see `load_study`."""
    for key, value in {**(content.get("smoke", {}) if smoke else {}), **(changes or {})}.items():
        _put(content, key, value)
    try:
        study = Study(**{**content, "name": name})
        return _expanded(study)
    except ValidationError as error:
        raise InputError(f"study {name}: {_first_problem(error)}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"study {name}: {error}") from None


def _expanded(study: Study) -> Study:
    """Return the study with what methods take from each other, and those of its sweeps."""
    known: dict[str, MethodEntry] = {}
    for entry in study.methods:
        if entry.name in known:
            raise ValueError(f"methods: {entry.name} is there twice")
        for key in ("like", "runs_of"):
            other = getattr(entry, key)
            if other and other not in known:
                raise ValueError(f"methods: {entry.name}.{key} = {other}: no method before it")
        base = known.get(entry.runs_of or entry.like)
        entry = _inherited(entry, base) if base else entry
        if not entry.optimizer and study.kind in ("training", "optimizer-cost"):
            raise ValueError(f"methods: {entry.name} needs an optimizer")
        known[entry.name] = entry.model_copy(update={"label": entry.label or entry.name})
    for sweep in study.sweeps:
        if sweep.method not in known:
            raise ValueError(f"sweeps: method = {sweep.method}: is none of the study's")
        base = known[sweep.method]
        for value in sweep.values:
            name = sweep.name(value, base)
            label = f"{base.label}, {sweep.symbol} = {value:g}"
            whole = int(value) if isinstance(base.value(sweep.key), int) else value
            found = base.with_values({"name": name, "label": label, sweep.key: whole})
            known.setdefault(name, found.model_copy(update={"paper": {}}))
    for column in study.columns:
        _check_moment(study, column)
    for key, name in (("reference", study.reference), ("target", _method_of(study.target))):
        if name and name not in known:
            raise ValueError(f"{key} = {name}: is none of the methods")
    return study.model_copy(update={"methods": list(known.values())})


def moment(column: str) -> tuple[str, str]:
    """Return the score of a column ``SCORE@WHEN``, and when it is looked at; "": at the end.

    ``25%`` of the study's seconds, so many epochs, or as many as ``paper`` has.
    """
    score, _, when = column.partition("@")
    return score, when


def _check_moment(study: Study, column: str) -> None:
    when = moment(column)[1]
    if "@" in column and not re.fullmatch(r"[1-9]\d*|\d+(\.\d+)?%|paper", when):
        raise ValueError(f"columns: {column}: behind @ must be epochs, a share as 25%, or paper")
    if when.endswith("%") and not study.seconds:
        raise ValueError(f"columns: {column}: a share of the time needs the key seconds")


def _method_of(target: Target | None) -> str:
    return target.method if target else ""


def _inherited(entry: MethodEntry, base: MethodEntry) -> MethodEntry:
    own = entry.model_dump(exclude_unset=True)
    taken = {key: getattr(base, key) for key in INHERITED if key not in own}
    merged = {key: {**base.model_dump()[key], **own.get(key, {})} for key in MERGED}
    return MethodEntry(**{**own, **taken, **merged})


def chosen(study: Study, names: Sequence[str]) -> Study:
    """Return the study with some of its methods to be run, and what these need."""
    known = [entry.name for entry in study.methods]
    for name in names:
        if name not in known:
            near = _nearest(name, known)
            raise InputError(f"--methods {name}: must be of {', '.join(known)}{near}")
    if not names:
        return study
    needed = {*names, study.reference, _method_of(study.target)} - {""}
    for sweep in study.sweeps:
        if sweep.method in names:
            needed |= {sweep.name(value, study.entry(sweep.method)) for value in sweep.values}
    return study.model_copy(update={"only": [name for name in known if name in needed]})


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {key}: {table} is no table")
    content[last] = value


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        tables = {"methods": MethodEntry, "sweeps": Sweep, "conditions": Condition}
        tables |= {"tuning": Tuning, "target": Target, "section": Section}
        table = tables.get(str(first["loc"][0]), Study) if len(first["loc"]) > 1 else Study
        known = list(table.model_fields)
        return f"unknown key {place}{_nearest(str(first['loc'][-1]), known)}"
    value = f" = {shortened(repr(first['input']), 80)}" if first["type"] != "missing" else ""
    return f"{place}{value}: {first['msg'].removeprefix('Value error, ')}"


def _nearest(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    return f"; did you mean {close}?" if close else ""


def _unknown(source: str) -> str:
    if Path(source).is_file():
        return f"study {source}: the name of a study's file must end in .toml"
    names = study_names()
    nearest = _nearest(source, names)
    return f"study {source}: no such file; give a TOML file or one of {', '.join(names)}{nearest}"
