"""The sweep: a declarative grid in one TOML file, read into frozen objects."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from suite.canonical import canonical_json, digest
from suite.errors import UserError, nearest
from suite.frozen import Frozen
from suite.models.spec import FineTune, ModelSpec, Preprocess
from suite.optimizations.names import NONE, canonical
from suite.quantizations import QUANTIZATIONS
from suite.runtimes.names import DELEGATES, LITERT, RUNTIMES, XNNPACK
from suite.scenarios import SINGLE_STREAM
from suite.scenarios import canonical as scenario
from suite.toml_errors import explain
from suite.toml_file import read_toml

T = TypeVar("T")
UNITS_S = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
UNITS_BYTES = {
    **{"MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
}


def _name(value: str) -> str:
    # Names become folders, HDF5 strings and Slurm job names.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        shown = value if len(value) <= 40 else value[:40] + "…"
        raise ValueError(
            f"{shown!r} cannot be a name: use 1 to 64 letters, digits, '.', '_' and '-', "
            "the first a letter or a digit"
        )
    return value


def _one_of(what: str, names: tuple[str, ...]) -> AfterValidator:
    def known(value: str) -> str:
        if value not in names:
            raise ValueError(f"there is no {what} {value!r}. {nearest(value, names)}")
        return value

    return AfterValidator(known)


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h)", value.strip())
    if not match:
        raise ValueError(f"{value!r} is no duration: write it like '20 min', '90 s' or '1.5 h'")
    return float(match[1]) * UNITS_S[match[2]]


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([MGT]i?B)", value.strip())
    if not match:
        raise ValueError(f"{value!r} is no size: write it like '2 GB', '1.5 GiB' or '500 MB'")
    return round(float(match[1]) * UNITS_BYTES[match[2]])


def seconds(text: str) -> float:
    """Read a duration such as '30 min'.

    Raises
    ------
    UserError
        If it is none.
    """
    try:
        return float(_seconds(text))
    except ValueError as error:
        raise UserError(f"{error}.") from error


def _no_twins(values: tuple[T, ...]) -> tuple[T, ...]:
    twins = sorted(str(value) for value, times in Counter(values).items() if times > 1)
    if twins:
        raise ValueError(f"{', '.join(twins)} is listed more than once")
    return values


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Name = Annotated[str, Field(strict=True), AfterValidator(_name)]
Quantization = Annotated[str, Field(strict=True), _one_of("quantization", QUANTIZATIONS)]
Optimization = Annotated[str, Field(strict=True, max_length=200), AfterValidator(canonical)]
Pixels = Annotated[int, Field(strict=True, ge=1, le=16384)]
Batch = Annotated[int, Field(strict=True, ge=1, le=65536)]
Threads = Annotated[int, Field(strict=True, ge=1, le=4096)]
Instances = Annotated[int, Field(strict=True, ge=1, le=4096)]
Scenario = Annotated[str, Field(strict=True, max_length=40), AfterValidator(scenario)]
Runtime = Annotated[str, Field(strict=True), _one_of("runtime", RUNTIMES)]
Delegate = Annotated[str, Field(strict=True), _one_of("delegate", DELEGATES)]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(strict=True, gt=0, le=365 * 86400, json_schema_extra={"format": "duration"}),
]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(strict=True, ge=10**6, le=2**60)]
Values = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_no_twins)]
OneOrMore = Annotated[tuple[T, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Axes(Frozen):
    """The grid's axes: the cells are their product."""

    model: Values[Name]
    """Names of `[models.NAME]` tables."""
    quantization: Values[Quantization] | None = None
    """Absent: each model as it comes, float32 or what a ready .tflite holds."""
    threads: Values[Threads] = (1,)
    """Of each instance."""
    cpu_type: Values[Name] = ("local",)
    """`local` is this machine; else names in the site file."""
    optimization: Values[Optimization] = (NONE,)
    """What is done to a Keras model before it is converted, as `prune@0.5+cluster@16`."""
    resolution: Values[Pixels] = (0,)
    """Side of the images. Absent: each model's own, which 0 stands for."""
    batch: Values[Batch] = (1,)
    """Rows of an input."""
    instances: Values[Instances] = (1,)
    """Processes that run the model at the same time."""
    scenario: Values[Scenario] = (SINGLE_STREAM,)
    """How invocations come, as `single-stream`, `offline`, `server@50/s`."""
    runtime: Values[Runtime] = (LITERT,)
    """What runs the model."""
    delegate: Values[Delegate] = (XNNPACK,)
    """Of LiteRT: `xnnpack`, or `none` for its own kernels."""


class Points(Frozen):
    """Points of the grid by their values; an axis that is not named stands for all its values."""

    model: OneOrMore[Name] | None = None
    quantization: OneOrMore[Quantization] | None = None
    threads: OneOrMore[Threads] | None = None
    cpu_type: OneOrMore[Name] | None = None
    optimization: OneOrMore[Optimization] | None = None
    resolution: OneOrMore[Pixels] | None = None
    batch: OneOrMore[Batch] | None = None
    instances: OneOrMore[Instances] | None = None
    scenario: OneOrMore[Scenario] | None = None
    runtime: OneOrMore[Runtime] | None = None
    delegate: OneOrMore[Delegate] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names no axis")
        return self


class Measure(Frozen):
    """How long and how precisely to measure."""

    precision: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.02
    """Relative half-width of the 95 % interval at which a cell is done."""
    min_trials: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 6
    """Of a cell; six are the least for an interval to rely on."""
    max_trials: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 30
    """Of a cell, however wide its interval is."""
    budget: Seconds = 1200.0
    """Time for all trials of one job; artifacts are built outside it."""
    trial_timeout: Seconds = 300.0
    """A trial that takes longer is killed and recorded as hanging."""
    trial_memory: Bytes | None = None
    """Memory of its own that each process of a trial may take. The model's file, which is mapped,
    is not counted; the stacks of threads are, 8 MiB each. Absent: what there is."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 0
    """Of the inputs and of the order of cells in a round."""
    oversubscribe: Annotated[bool, Field(strict=True)] = False
    """Whether instances may have more threads in all than there are CPUs."""
    profile: Annotated[bool, Field(strict=True)] = False
    """Whether each cell's operators are timed too, once the last round is over."""

    @model_validator(mode="after")
    def _least_below_most(self) -> Self:
        if self.min_trials > self.max_trials:
            raise ValueError(
                f"min_trials = {self.min_trials} is above max_trials = {self.max_trials}: set both"
            )
        return self


class Sweep(Frozen):
    """A grid of cells, the models in it and how it is to be measured.

    `Sweep.load` reads one from a TOML file. One built from objects resolves relative paths
    against the current folder.
    """

    name: Name
    """The run's folder is named after it."""
    axes: Axes
    """The grid."""
    models: dict[Name, ModelSpec]
    """What the axis `model` names."""
    measure: Measure = Measure()
    """How long and how precisely."""
    exclude: tuple[Points, ...] = ()
    """Cells to leave out."""
    include: tuple[Points, ...] = ()
    """Cells to add."""

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _text: str = PrivateAttr(default="")

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the sweep start from."""
        return self._folder

    @property
    def text(self) -> str:
        """The sweep as TOML: the file verbatim, where it came from a file."""
        if self._text:
            return self._text
        table = self.model_dump(mode="json", exclude_none=True)
        if table["axes"]["resolution"] == [0]:
            del table["axes"]["resolution"]  # has no spelling in a file
        return tomli_w.dumps(table)

    @property
    def sweep_hash(self) -> str:
        """Hash of the canonical form: the same for any order of keys, tables and axis values."""
        form = self.model_dump(mode="json")
        for points in (form["axes"], *form["exclude"], *form["include"]):
            for axis, values in points.items():
                points[axis] = values and sorted(values)
        for table in ("exclude", "include"):
            form[table].sort(key=canonical_json)
        return digest(form, 12)

    def with_data(self, data: Mapping[str, str]) -> Self:
        """Return the sweep with other `data` of models, by their names."""
        models = {
            name: spec.model_copy(update={"data": data.get(name, spec.data)})
            for name, spec in self.models.items()
        }
        if models == self.models:
            return self
        sweep = self.model_copy(update={"models": models})
        sweep._text = ""  # the file says otherwise
        return sweep

    @model_validator(mode="after")
    def _models_are_declared(self) -> Self:
        wanted = [(name, "[axes] model") for name in self.axes.model]
        for table in ("exclude", "include"):
            for points in getattr(self, table):
                wanted += [(name, f"[[{table}]] model") for name in points.model or ()]
        for name, where in wanted:
            if name not in self.models:
                known = tuple(self.models)
                hint = nearest(name, known) if known else f"Add a table [models.{name}]."
                raise ValueError(f"{where}: there is no table [models.{name}]. {hint}")
        return self

    @classmethod
    def load(cls, path: Path | str, folder: Path | None = None) -> Self:
        """Read a sweep from a TOML file.

        Parameters
        ----------
        folder
            Where relative paths in it start from; by default the file's own folder.

        Raises
        ------
        UserError
            If the file cannot be read, is not TOML, or is not a sweep.
        """
        path = Path(path)
        text, table = read_toml(path, "sweep")
        try:
            sweep = cls.model_validate(table)
        except ValidationError as error:
            raise UserError(explain(error, path, _TABLES)) from error
        sweep._folder = folder or path.resolve().parent
        sweep._text = text
        return sweep


_TABLES: Mapping[str, type[BaseModel]] = {
    "": Sweep,
    "axes": Axes,
    "measure": Measure,
    "models.*": ModelSpec,
    "preprocess": Preprocess,
    "fine_tune": FineTune,
    "exclude": Points,
    "include": Points,
}
