"""The site profile: what a cluster offers, in one TOML file, read into frozen objects."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import archspec.cpu
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from suite.errors import UserError, nearest
from suite.files import read_file
from suite.sweep import Name, Seconds
from suite.toml_errors import explain
from suite.toml_file import read_toml

FILE_NAME = "site.toml"
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / FILE_NAME

KEYRING = "keyring"

MpiType = Literal["pmi2", "pmix", "none", "mpirun"]


def _one_line(value: str) -> str:
    # These end up in an sbatch script or on a command line.
    if not value or not value.isprintable():
        raise ValueError(f"{value[:40]!r} must be one line of text")
    return value


def _with_ranks(value: str) -> str:
    if "{" in value.replace("{ranks}", ""):
        raise ValueError(f"{value!r}: there is nothing but {{ranks}} to be filled in")
    return value


def _microarchitecture(value: str) -> str:
    if value not in archspec.cpu.TARGETS:
        raise ValueError(
            f"archspec knows no microarchitecture {value!r}. {nearest(value, archspec.cpu.TARGETS)}"
        )
    return value


def _local_folder(value: str) -> str:
    # A shell on the node fills the variable in, and nothing else.
    if not re.fullmatch(r"(\$[A-Za-z_]\w*(/|$)|/)[\w.+@%=/-]*", value, re.ASCII):
        raise ValueError(
            f"{value[:40]!r} must be the path of a folder on the nodes, such as '/tmp', or begin "
            "with a variable that is set there, as '$TMPDIR'"
        )
    return value


Line = Annotated[str, Field(strict=True, max_length=4096), AfterValidator(_one_line)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Option = Line | int | bool


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CpuType(_Table):
    """Nodes of one kind, and how to ask Slurm for them."""

    partition: Line | None = None
    """sbatch's `--partition`."""
    constraint: Line | None = None
    """sbatch's `--constraint`."""
    account: Line | None = None
    """sbatch's `--account`."""
    qos: Line | None = None
    """sbatch's `--qos`."""
    nodes: Count = 1
    """Nodes of a job."""
    cpus: Count
    """CPUs of a node that a job is granted."""
    expect: Annotated[str, Field(strict=True), AfterValidator(_microarchitecture)] | None = None
    """archspec's name of the microarchitecture; trials on another one are not valid."""
    exclusive: Annotated[bool, Field(strict=True)] = True
    """Share the nodes with no other job. A timing on a shared node says little."""
    time_limit: Seconds | None = None
    """Most that a job may take; by default the sweep's budget and what it takes to end."""
    image: Line | None = None
    """An image of its own, for nodes of another architecture."""
    sbatch: dict[Name, Option] = {}
    """Further options of sbatch, without their dashes."""


class Container(_Table):
    """What the jobs run in."""

    runtime: Literal["apptainer", "singularity", "none"] = "apptainer"
    """The command; `none` runs on the bare nodes."""
    image: Line | None = None
    """Relative to the site file."""
    verify: Line | None = None
    """Whose signature an image must bear before jobs are sent: a file with a public key (PEM),
    relative to the site file, or `keyring` for any key in the user's own. Absent: no one's."""
    binds: tuple[Line, ...] = ()
    """Further folders, as `SOURCE[:TARGET[:ro]]`. The run and the artifacts are bound anyway."""
    arguments: tuple[Line, ...] = ()
    """Further arguments of `exec`."""
    python: Line = "python3"
    """The interpreter in the image; without a container, that of the environment on the nodes."""


class Mpi(_Table):
    """How the ranks of a job find each other."""

    type: MpiType = "pmi2"
    """srun's `--mpi`; `none` for jobs of one node, `mpirun` where Slurm has no MPI support."""
    mpirun: Annotated[Line, AfterValidator(_with_ranks)] = "mpirun -n {ranks}"
    """The command for `type = "mpirun"`, which must start one rank on each node."""


class Slurm(_Table):
    """What Slurm allows here, and what a job needs before it starts."""

    setup: tuple[Line, ...] = ()
    """Lines of the batch script in front of srun: modules, variables."""
    cpu_bind: Line | None = None
    """srun's `--cpu-bind`."""
    srun: tuple[Line, ...] = ()
    """Further arguments of srun."""
    array: Count | None = None
    """Most jobs in an array; by default what the cluster says (MaxArraySize)."""
    submitted: Count | None = None
    """Most jobs that may wait or run at a time; the rest is sent by `submit --wait` or `resume`."""
    parallel: Count | None = None
    """Most jobs of an array that run at a time."""
    stage: Annotated[Line, AfterValidator(_local_folder)] | None = None
    """A folder on storage of the node's own, as `/tmp` or `$TMPDIR`: a job copies its artifacts
    there when it begins."""


class Build(_Table):
    """A job that builds the artifacts, where the machine that submits has no TensorFlow."""

    image: Line
    """One with TensorFlow."""
    cpu_type: Name
    """Where it runs: one of `[cpu_types.NAME]`."""
    time_limit: Seconds = 3600.0
    """Most that it may take."""


class Site(_Table):
    """A cluster, as its users see it."""

    cpu_types: Annotated[dict[Name, CpuType], Field(min_length=1)]
    """What the axis `cpu_type` names."""
    container: Container = Container()
    """What the jobs run in."""
    mpi: Mpi = Mpi()
    """How ranks find each other."""
    slurm: Slurm = Slurm()
    """What Slurm allows here."""
    build: Build | None = None
    """A job that builds the artifacts, where the submitting machine has no TensorFlow."""

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.mpi.type == "none":
            for name, cpu_type in self.cpu_types.items():
                if cpu_type.nodes > 1:
                    raise ValueError(
                        f"[cpu_types.{name}] nodes = {cpu_type.nodes} needs MPI: with [mpi] type = "
                        "'none' a job has one node"
                    )
        if self.container.runtime != "none":
            for name, cpu_type in self.cpu_types.items():
                if not (cpu_type.image or self.container.image):
                    raise ValueError(
                        f"[container] image is missing, and [cpu_types.{name}] has none"
                    )
        if self.build and self.container.runtime == "none":
            raise ValueError("[build] image needs a [container] runtime to run it")
        if self.build and self.build.cpu_type not in self.cpu_types:
            hint = nearest(self.build.cpu_type, self.cpu_types)
            raise ValueError(f"[build] cpu_type: there is no {self.build.cpu_type!r}. {hint}")
        return self

    def image(self, cpu_type: str) -> Path | None:
        """Return the absolute path of the image for a CPU type; none without a container."""
        image = self.cpu_types[cpu_type].image or self.container.image
        return self._path(image) if image and self.container.runtime != "none" else None

    @property
    def verify_key(self) -> Path | None:
        """The absolute path of the key that images must be signed with."""
        key = self.container.verify
        return self._path(key) if key and key != KEYRING else None

    @property
    def build_image(self) -> Path | None:
        """The absolute path of the image that builds artifacts."""
        return self._path(self.build.image) if self.build else None

    def _path(self, said: str) -> Path:
        # Not expanduser() of Path, which raises where there is no such user.
        return (self._folder / os.path.expanduser(said)).absolute()  # noqa: PTH111

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a profile from a TOML file.

        Raises
        ------
        UserError
            If the file cannot be read, is not TOML, or is no profile.
        """
        _, table = read_toml(path, "site")
        return cls.of(table, path, path.absolute().parent)

    @classmethod
    def of(cls, table: Any, path: Path, folder: Path) -> Self:
        """Make a profile of a table that stands in `path`; images are relative to `folder`."""
        try:
            site = cls.model_validate(table)
        except ValidationError as error:
            raise UserError(explain(error, path, _TABLES)) from error
        site._folder = folder
        return site

    def dump(self) -> dict[str, Any]:
        """Return the profile as JSON types, with its folder; `restore` reads it."""
        return {"folder": str(self._folder), "site": self.model_dump(mode="json")}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `dump` returned out of a run's folder.

        Raises
        ------
        UserError
            If the file holds something else.
        """
        try:
            return cls.restore(json.loads(read_file(path)))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(
                f"{str(path)!r} is damaged, or of another release of litesweep.",
                "Give the site file to `litesweep resume` with --site.",
            ) from error

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> Self:
        """Return what `dump` was called on."""
        site = cls.model_validate(dumped["site"])
        site._folder = Path(dumped["folder"])
        return site


def find_site(given: str | None, sweep_folder: Path) -> Path:
    """Return the site file that is meant.

    Parameters
    ----------
    given
        A path, or the name of a profile in the user's configuration folder (NAME.toml there).
        None: `site.toml` beside the sweep, then in that folder.

    Raises
    ------
    UserError
        If there is none.
    """
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    configured = Path(home) / "litesweep"
    if given is None:
        candidates = [sweep_folder / FILE_NAME, configured / FILE_NAME]
    else:
        candidates = [Path(given), configured / f"{given}.toml"]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(
        f"There is no site file: neither {' nor '.join(str(path) for path in candidates)}.",
        f"Give one with --site; {EXAMPLE} has every key, docs/cluster.md explains them.",
    )


_TABLES: Mapping[str, type[BaseModel]] = {
    "": Site,
    "cpu_types.*": CpuType,
    "container": Container,
    "mpi": Mpi,
    "slurm": Slurm,
    "build": Build,
}
