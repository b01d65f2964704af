"""Cells: the points of a sweep's grid."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, product
from math import prod
from typing import Any

from suite.canonical import digest
from suite.errors import UserError
from suite.optimizations.names import NONE
from suite.results.axes import LATER_AXES
from suite.runtimes.names import LITERT, XNNPACK
from suite.scenarios import SINGLE_STREAM
from suite.sweep import Points, Sweep

AXES = ("model", "quantization", "threads", "cpu_type")
"""The axes that every cell has, in the order in which the grid is walked."""

MOST_CELLS = 2_000_000
MOST_COMPARISONS = 100_000_000

OwnQuantization = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid.

    An axis that comes later has a default here and leaves the canonical form while it has it, so
    that the `cell_id` of a cell never changes. It is an axis of a sweep, and of its results, as
    soon as one of the sweep's cells is elsewhere on it.
    """

    model: str
    quantization: str
    threads: int
    cpu_type: str
    cell_id: str = ""
    optimization: str = NONE
    resolution: int = 0
    """Side of the images in pixels; 0 for the model's own."""
    batch: int = 1
    instances: int = 1
    """Processes that run the model at the same time, each with its threads, on CPUs of its own."""
    scenario: str = SINGLE_STREAM
    runtime: str = LITERT
    delegate: str = XNNPACK

    @property
    def cpus(self) -> int:
        """CPUs that it takes."""
        return self.threads * self.instances

    @property
    def axes(self) -> dict[str, str | int]:
        """The cell's place on each axis, but for later ones on which it has the default."""
        return self.place(axes_of([self]))

    def place(self, axes: Iterable[str]) -> dict[str, str | int]:
        """Return the cell's place on each of `axes`."""
        return {axis: getattr(self, axis) for axis in axes}

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + "s" * (self.threads > 1)
        run = (
            self.model,
            form(self.quantization, self.optimization, self.resolution, self.batch),
            f"{self.instances} × {threads}" if self.instances > 1 else threads,
            self.scenario * (self.scenario != SINGLE_STREAM),
            f"by {self.runtime}" * (self.runtime != LITERT),
            f"delegate {self.delegate}" * (self.delegate != XNNPACK),
            f"on {self.cpu_type}",
        )
        return " ".join(part for part in run if part)


def form(quantization: str, optimization: str, resolution: int, batch: int) -> str:
    """Return what is made of a model, for messages: what is as usual is left out."""
    parts = (
        optimization * (optimization != NONE),
        f"{resolution}px" * bool(resolution),
        f"batch {batch}" * (batch != 1),
        quantization,
    )
    return " ".join(part for part in parts if part)


def axes_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the axes of a sweep with these cells."""
    used = {
        axis for cell in cells for axis, plain in LATER_AXES.items() if getattr(cell, axis) != plain
    }
    return (*AXES, *(axis for axis in LATER_AXES if axis in used))


def identified(cell: Cell, model: Mapping[str, Any]) -> Cell:
    """Give `cell` its id: a hash of its axes and of its model as declared."""
    return replace(cell, cell_id=digest({"axes": cell.axes, "model": model}, 16))


def expand(sweep: Sweep, own_quantization: OwnQuantization) -> tuple[Cell, ...]:
    """Return the cells of `sweep`: the product of its axes, less `exclude`, with `include`.

    Parameters
    ----------
    own_quantization
        Called with a model's name where the sweep names no quantization: what the model comes
        with, "float32" or what a ready .tflite holds.

    Raises
    ------
    UserError
        If nothing is left of the grid, or it is too large.
    """
    _check_size(sweep)
    declared = {
        name: spec.model_dump(mode="json", exclude_defaults=True)
        for name, spec in sweep.models.items()
    }
    grid = (
        cell
        for cell in _product(Points(model=sweep.axes.model), sweep, own_quantization)
        if not any(_matches(points, cell) for points in sweep.exclude)
    )
    added = (_product(points, sweep, own_quantization) for points in sweep.include)
    cells = {
        cell.cell_id: cell
        for cell in (identified(cell, declared[cell.model]) for cell in chain(grid, *added))
    }
    if not cells:
        raise UserError(
            f"The sweep {sweep.name!r} has no cells: [[exclude]] takes every one of them away."
        )
    return tuple(cells.values())


def _check_size(sweep: Sweep) -> None:
    """Refuse what would take all memory, or for ever, before the first cell is made."""
    sizes = {axis: len(getattr(sweep.axes, axis) or " ") for axis in (*AXES[1:], *LATER_AXES)}
    grid = len(sweep.axes.model) * prod(sizes.values())
    for points in sweep.include:
        own = {axis: len(getattr(points, axis) or ()) or size for axis, size in sizes.items()}
        grid += len(points.model or sweep.axes.model) * prod(own.values())
    if grid > MOST_CELLS:
        raise UserError(
            f"The sweep {sweep.name!r} has {grid:,} cells; {MOST_CELLS:,} is the most.",
            "Make sweeps of its parts.",
        )
    if grid * len(sweep.exclude) > MOST_COMPARISONS:
        raise UserError(
            f"The sweep {sweep.name!r} has {grid:,} cells, each to be held against "
            f"{len(sweep.exclude):,} tables [[exclude]]: that is too many.",
            "Name more values in each table, or make sweeps of its parts.",
        )


def _product(points: Points, sweep: Sweep, own: OwnQuantization) -> Iterator[Cell]:
    axes = sweep.axes
    for model in points.model or axes.model:
        quantizations = points.quantization or axes.quantization or (own(model),)
        later = [getattr(points, axis) or getattr(axes, axis) for axis in LATER_AXES]
        yield from (
            Cell(model, quantization, threads, cpu_type, "", *places)
            for *places, quantization, threads, cpu_type in product(
                *later,
                quantizations,
                points.threads or axes.threads,
                points.cpu_type or axes.cpu_type,
            )
        )


def _matches(points: Points, cell: Cell) -> bool:
    return all(
        getattr(cell, axis) in values
        for axis in (*AXES, *LATER_AXES)
        if (values := getattr(points, axis)) is not None
    )
