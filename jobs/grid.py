"""A sweep laid out: where its models come from, its cells, and the artifact that each needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from suite.artifacts.request import ArtifactRequest
from suite.cells import Cell, expand
from suite.errors import UserError
from suite.models.source import resolve_source
from suite.results.rows import LOCAL
from suite.runtimes.names import ABOUT
from suite.sweep import Measure, Sweep
from suite.topology import format_cpu_list, granted_cpus


@dataclass(frozen=True)
class Grid:
    """A sweep's cells and the requests for their artifacts."""

    sweep: Sweep
    cells: tuple[Cell, ...]
    requests: Mapping[str, ArtifactRequest]
    """By `cell_id`; cells that differ in threads alone share one."""

    @property
    def artifact_keys(self) -> tuple[str, ...]:
        """The key of each artifact, once."""
        return (*dict.fromkeys(request.key for request in self.requests.values()),)


def lay_out(sweep: Sweep) -> Grid:
    """Find the sweep's models and expand its cells.

    Raises
    ------
    UserError
        If a model is not there or cannot be read, no cell is left, or none of them can be made.
    """
    used = dict.fromkeys(sweep.axes.model)
    used |= dict.fromkeys(name for points in sweep.include for name in points.model or ())
    sources = {name: resolve_source(name, sweep.models[name], sweep.folder) for name in used}
    cells = expand(sweep, lambda name: sources[name].own_quantization)

    @cache
    def request(model: str, *form: Any) -> ArtifactRequest:
        return ArtifactRequest(model, sweep.models[model], sources[model], *form)

    requests = {
        cell.cell_id: request(
            cell.model,
            cell.quantization,
            cell.optimization,
            cell.resolution,
            cell.batch,
            cell.runtime,
            cell.delegate,
        )
        for cell in cells
    }
    if all(request.refusal for request in requests.values()):
        why = next(iter(requests.values())).refusal
        raise UserError(f"No cell of the sweep {sweep.name!r} can be measured: {why}")
    return Grid(sweep, cells, requests)


def check_runtimes(cells: tuple[Cell, ...]) -> None:
    """Refuse cells of runtimes that are not installed here, before anything is built.

    Raises
    ------
    UserError
        If one is not.
    """
    for name in dict.fromkeys(cell.runtime for cell in cells):
        about = ABOUT[name]
        for module in about.modules:
            if find_spec(module) is None:
                raise UserError(
                    f"The sweep asks for runtime {name!r}, and the package {module!r} is not "
                    "installed here.",
                    f"Install it with: pip install 'litesweep[{about.extra}]'.",
                )


def check_machine(grid: Grid) -> None:
    """Refuse cells that this machine cannot measure.

    Raises
    ------
    UserError
        If a cell is for another CPU type, asks for more threads than there are CPUs, or for a
        runtime that is not installed.
    """
    check_runtimes(grid.cells)
    cpus = granted_cpus()
    for cell in grid.cells:
        if cell.cpu_type != LOCAL:
            raise UserError(
                f"The sweep asks for cpu_type {cell.cpu_type!r}; this machine is {LOCAL!r}.",
                'Set cpu_type = ["local"] under [axes] to measure here; `litesweep submit`, and '
                "`plan --site`, are for a cluster.",
            )
        grants = f"this machine grants {cpu_count(len(cpus))} ({format_cpu_list(cpus)})"
        check_cpus(cell, len(cpus), grid.sweep.measure, grants)


def check_cpus(cell: Cell, granted: int, measure: Measure, grants: str) -> None:
    """Refuse a cell that asks for more CPUs than are granted.

    Parameters
    ----------
    grants
        Who grants how many, for the message.

    Raises
    ------
    UserError
        If it does, and not by instances whose sharing is asked for.
    """
    if cell.threads > granted:
        raise UserError(
            f"The sweep asks for {cell.threads} threads, but {grants}.",
            "Lower threads under [axes], or run where more CPUs are granted.",
        )
    if cell.cpus > granted and not measure.oversubscribe:
        raise UserError(
            f"The sweep asks for {cell.instances} instances of {cell.threads} "
            f"thread{'s' * (cell.threads > 1)}, {cell.cpus} CPUs in all, but {grants}.",
            "Lower instances or threads under [axes], take such cells out with [[exclude]], or "
            "have instances share CPUs with oversubscribe = true under [measure].",
        )


def cpu_count(count: float) -> str:
    """Write how many CPUs."""
    return f"{count:g} CPU{'s' * (count != 1)}"
