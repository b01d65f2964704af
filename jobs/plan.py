"""The plan of a run: all that its jobs need to know, in one file.

It is one JSON array, an element a line: first what the whole run has, with where each slice's line
begins; then for each slice the slice, its cells and their artifacts; last the cells of no slice. So
a job reads what is its own, however many cells the run has.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from suite.atomic import whole_file
from suite.cells import AXES, Cell
from suite.errors import UserError
from suite.files import open_file
from suite.results.axes import LATER_AXES
from suite.results.rows import LOCAL, ArtifactRow, CellRow, Results
from suite.sweep import Measure

T = TypeVar("T")


@dataclass(frozen=True)
class PlannedArtifact:
    """An artifact that cells of the run use."""

    path: Path
    row: ArtifactRow


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell, and what it runs; without an artifact, why there is none."""

    cell: Cell
    artifact_key: str
    build_error: str
    trial_seconds: float
    """What a trial is expected to take."""

    def row(self, axes: Iterable[str]) -> CellRow:
        """Return the cell as it stands in a result with these axes."""
        cell = self.cell
        return CellRow(cell.cell_id, cell.place(axes), self.artifact_key, self.build_error)


@dataclass(frozen=True)
class Slice:
    """The cells that one job measures, and the nodes that it measures them on."""

    cell_ids: tuple[str, ...]
    budget_s: float
    """For all trials of a node."""
    cpu_type: str = LOCAL
    nodes: int = 1
    """Nodes of the job."""
    copies: int = 1
    """Nodes that each cell is measured on: all of the job's, or one where they share the cells."""
    cpus: int = 0
    """CPUs that a node must grant; 0 where it is taken as it is."""
    expect: str = ""
    """archspec's name of the nodes' microarchitecture; empty where any will do."""
    image: str = ""
    """Path of the image that the job runs in; empty without one."""
    image_sha256: str = ""
    seconds: float = 0.0
    """What the job is expected to take."""


@dataclass(frozen=True)
class Plan:
    """A sweep with its artifacts built, cut into slices."""

    provenance: dict[str, str]
    measure: Measure
    axes: tuple[str, ...]
    """Of the sweep, in order."""
    cells: tuple[PlannedCell, ...]
    artifacts: dict[str, PlannedArtifact]
    """By artifact key."""
    slices: Mapping[int, Slice]
    """One for each job, by its number."""

    @property
    def run_id(self) -> str:
        """The run's id, of which every trial's id is made."""
        return self.provenance["run_id"]

    def slice_cells(self, index: int) -> tuple[PlannedCell, ...]:
        """Return the cells of a slice, in its order."""
        return tuple(self._by_id[cell_id] for cell_id in self.slices[index].cell_ids)

    @cached_property
    def _by_id(self) -> dict[str, PlannedCell]:
        return {planned.cell.cell_id: planned for planned in self.cells}

    def with_images(self, paths: Mapping[str, Path]) -> "Plan":
        """Return the plan with other paths of the images `paths` (by CPU type): they have moved.

        What is there is the same image, or the jobs will refuse it.
        """
        moved = {
            index: replace(each, image=str(paths[each.cpu_type]))
            for index, each in self.slices.items()
            if each.cpu_type in paths
        }
        return replace(self, slices={**self.slices, **moved})

    def with_files(self, paths: Mapping[str, Path]) -> "Plan":
        """Return the plan with other paths of the artifacts `paths` (by key): the store has moved.

        What is there is the same file, or the jobs will refuse it.
        """
        moved = {key: replace(self.artifacts[key], path=path) for key, path in paths.items()}
        return replace(self, artifacts=self.artifacts | moved)

    def rows(self, cells: Iterable[PlannedCell]) -> tuple[CellRow, ...]:
        """Return cells of the plan as they stand in a result, all with the plan's axes."""
        return tuple(planned.row(self.axes) for planned in cells)

    def results(self) -> Results:
        """Return the run's results before anything is measured: all cells, no trial."""
        return Results(
            cells=self.rows(self.cells),
            artifacts=tuple(artifact.row for artifact in self.artifacts.values()),
            nodes=(),
            trials=(),
            provenance=self.provenance,
        )

    def write(self, path: Path) -> None:
        """Write the plan as JSON, whole or not at all."""
        lines = [_line(_PART, part) for part in self._parts()]
        starts = (0, *accumulate(len(line) + len(",\n") for line in lines))
        head = _Head(self.provenance, self.measure, self.axes, len(self.cells), starts[:-1])
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(b"[" + _line(_HEAD, head))
            for line in lines:
                file.write(b",\n" + line)
            file.write(b"]\n")

    def _parts(self) -> Iterator["_Part"]:
        for index, slice_ in self.slices.items():
            cells = self.slice_cells(index)
            keys = dict.fromkeys(planned.artifact_key for planned in cells)
            yield _Part(slice_, cells, {key: self.artifacts[key] for key in keys})
        sliced = {cell_id for slice_ in self.slices.values() for cell_id in slice_.cell_ids}
        yield _Part(None, tuple(c for c in self.cells if c.cell.cell_id not in sliced), {})

    @staticmethod
    def read(path: Path) -> "Plan":
        """Read a plan that `write` wrote.

        Raises
        ------
        UserError
            If another release wrote it.
        """
        with open_file(path) as file:
            head = _head(file, path)
            parts = [_parsed(_PART, line, path) for line in file]
        return _checked(head.plan(dict(enumerate(parts))), path)

    @staticmethod
    def read_slice(path: Path, index: int) -> "Plan":
        """Read one slice of a plan, with its cells and artifacts and no others.

        Raises
        ------
        UserError
            If another release wrote it.
        """
        with open_file(path) as file:
            head = _head(file, path)
            file.seek(head.starts[index], 1)
            return _checked(head.plan({index: _parsed(_PART, file.readline(), path)}), path)

    @staticmethod
    def read_slices(path: Path) -> tuple[dict[int, Slice], int]:
        """Read the slices of a plan without what is in them, and how many cells it has in all.

        Raises
        ------
        UserError
            If another release wrote it.
        """
        with open_file(path) as file:
            cells = _head(file, path).cells
            found = [_parsed(_SLICE, line, path).slice for line in file]
        return {index: slice_ for index, slice_ in enumerate(found) if slice_}, cells


@dataclass(frozen=True)
class _Head:
    """The first line of a plan's file."""

    provenance: dict[str, str]
    measure: Measure
    axes: tuple[str, ...]
    cells: int
    starts: tuple[Annotated[int, Field(ge=0, lt=2**62)], ...]
    """Of the slices' lines, in bytes behind this one."""

    def plan(self, parts: Mapping[int, "_Part"]) -> Plan:
        return Plan(
            provenance=self.provenance,
            measure=self.measure,
            axes=self.axes,
            cells=tuple(cell for part in parts.values() for cell in part.cells),
            artifacts={k: a for part in parts.values() for k, a in part.artifacts.items()},
            slices={index: part.slice for index, part in parts.items() if part.slice},
        )


@dataclass(frozen=True)
class _OnlySlice:
    """As much of another line as `status` needs."""

    slice: Slice | None
    """None for the cells that no job measures."""


@dataclass(frozen=True)
class _Part(_OnlySlice):
    """Another line."""

    cells: tuple[PlannedCell, ...]
    artifacts: dict[str, PlannedArtifact]


_HEAD, _PART, _SLICE = TypeAdapter(_Head), TypeAdapter(_Part), TypeAdapter(_OnlySlice)


def _line(adapter: TypeAdapter[T], value: T) -> bytes:
    # Not pydantic's own JSON, which turns NaN (no reference to compare with) into null.
    dumped: Any = adapter.dump_python(value, mode="json", exclude_defaults=True)
    return json.dumps(dumped, separators=(",", ":")).encode()


def _head(file: BufferedReader, path: Path) -> _Head:
    # Of a file that is no plan, the first line may have no end.
    return _parsed(_HEAD, file.readline() if file.peek(1)[:1] == b"[" else b"", path)


def _parsed(adapter: TypeAdapter[T], line: bytes, path: Path) -> T:
    try:
        return adapter.validate_json(line.strip(b"[,]\n"))
    except ValueError as error:
        raise UserError(
            f"The plan {str(path)!r} is damaged, or of another release of litesweep.",
            "Go on with that release, or choose another folder with --out.",
        ) from error


def _checked(plan: Plan, path: Path) -> Plan:
    """Refuse a plan that refers to what is not in it."""
    keys = {planned.cell.cell_id: planned.artifact_key for planned in plan.cells}
    wanted = {cell_id for slice_ in plan.slices.values() for cell_id in slice_.cell_ids}
    lacks = wanted - keys.keys() or {keys[cell_id] for cell_id in wanted} - plan.artifacts.keys()
    unknown = {*plan.axes} - {*AXES, *LATER_AXES}
    if lacks or unknown or {"run_id", "packages"} - plan.provenance.keys():
        raise UserError(f"The plan {str(path)!r} is damaged: something in it refers to nothing.")
    return plan
