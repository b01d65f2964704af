"""The plan of a run: all that its jobs need to know, in one file."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from suite.atomic import write_whole
from suite.cells import Cell, axes_of
from suite.errors import UserError
from suite.results.rows import LOCAL, ArtifactRow, CellRow, Results
from suite.sweep import Measure


@dataclass(frozen=True)
class PlannedArtifact:
    """An artifact that cells of the run use."""

    path: Path
    row: ArtifactRow


@dataclass(frozen=True)
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
    cells: tuple[PlannedCell, ...]
    artifacts: dict[str, PlannedArtifact]
    """By artifact key."""
    slices: tuple[Slice, ...]
    """One for each job."""

    @property
    def run_id(self) -> str:
        """The run's id, of which every trial's id is made."""
        return self.provenance["run_id"]

    def slice_cells(self, index: int) -> tuple[PlannedCell, ...]:
        """Return the cells of a slice, in its order."""
        cells = {planned.cell.cell_id: planned for planned in self.cells}
        return tuple(cells[cell_id] for cell_id in self.slices[index].cell_ids)

    def with_images(self, paths: Mapping[str, Path]) -> "Plan":
        """Return the plan with other paths of the images `paths` (by CPU type): they have moved.

        What is there is the same image, or the jobs will refuse it.
        """
        slices = (
            replace(each, image=str(paths[each.cpu_type])) if each.cpu_type in paths else each
            for each in self.slices
        )
        return replace(self, slices=tuple(slices))

    def with_files(self, paths: Mapping[str, Path]) -> "Plan":
        """Return the plan with other paths of the artifacts `paths` (by key): the store has moved.

        What is there is the same file, or the jobs will refuse it.
        """
        moved = {key: replace(self.artifacts[key], path=path) for key, path in paths.items()}
        return replace(self, artifacts=self.artifacts | moved)

    def rows(self, cells: Iterable[PlannedCell]) -> tuple[CellRow, ...]:
        """Return cells of the plan as they stand in a result, all with the plan's axes."""
        axes = axes_of(planned.cell for planned in self.cells)
        return tuple(planned.row(axes) for planned in cells)

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
        # Not pydantic's own JSON, which turns NaN (no reference to compare with) into null.
        write_whole(path, json.dumps(_PLAN.dump_python(self, mode="json"), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> "Plan":
        """Read a plan that `write` wrote.

        Raises
        ------
        UserError
            If another release wrote it.
        """
        try:
            return _PLAN.validate_python(json.loads(path.read_text()))
        except ValueError as error:
            raise UserError(
                f"The plan {str(path)!r} was written by another release of litesweep.",
                "Go on with that release, or choose another folder with --out.",
            ) from error


_PLAN = TypeAdapter(Plan)
