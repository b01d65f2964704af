"""Cells: the points of a sweep's grid."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product

from suite.canonical import digest
from suite.errors import UserError
from suite.sweep import ModelSpec, Points, Sweep

AXES = ("model", "quantization", "threads", "cpu_type")
"""The axes, in the order in which the grid is walked."""

OwnQuantization = Callable[[str], str]


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    An axis that comes later has a default here and leaves the canonical form while it has it, so
    that the `cell_id` of a cell never changes.
    """

    model: str
    quantization: str
    threads: int
    cpu_type: str
    cell_id: str = ""

    @property
    def axes(self) -> dict[str, str | int]:
        """The cell's place on each axis."""
        return {axis: getattr(self, axis) for axis in AXES}

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + "s" * (self.threads > 1)
        return f"{self.model} {self.quantization} {threads} on {self.cpu_type}"


def identified(cell: Cell, spec: ModelSpec) -> Cell:
    """Give `cell` its id: a hash of its axes and of its model as declared."""
    form = {"axes": cell.axes, "model": spec.model_dump(mode="json", exclude_defaults=True)}
    return Cell(**{**asdict(cell), "cell_id": digest(form, 16)})


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
        If nothing is left of the grid.
    """
    everything = Points(model=sweep.axes.model)
    cells = dict.fromkeys(
        cell
        for cell in _product(everything, sweep, own_quantization)
        if not any(_matches(points, cell) for points in sweep.exclude)
    )
    for points in sweep.include:
        cells |= dict.fromkeys(_product(points, sweep, own_quantization))
    if not cells:
        raise UserError(
            f"The sweep {sweep.name!r} has no cells: [[exclude]] takes every one of them away."
        )
    return tuple(identified(cell, sweep.models[cell.model]) for cell in cells)


def _product(points: Points, sweep: Sweep, own: OwnQuantization) -> Iterator[Cell]:
    axes = sweep.axes
    for model in points.model or axes.model:
        quantizations = points.quantization or axes.quantization or (own(model),)
        yield from (
            Cell(model, quantization, threads, cpu_type)
            for quantization, threads, cpu_type in product(
                quantizations, points.threads or axes.threads, points.cpu_type or axes.cpu_type
            )
        )


def _matches(points: Points, cell: Cell) -> bool:
    return all(
        cell_value in values
        for axis, cell_value in cell.axes.items()
        if (values := getattr(points, axis)) is not None
    )
