"""Packing: a sweep's cells cut into slices, each as long as a job is meant to be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.cluster.site import Site
from jobs.grid import check_cpus
from jobs.plan import PlannedCell, Slice
from suite.cells import Cell
from suite.errors import UserError, nearest
from suite.sweep import Measure

Mode = Literal["replicate", "partition"]
"""Over a job's nodes: each measures every cell, or they share the cells out."""

END_S = 120.0
"""What a job needs beside its trials: container, MPI, checks of the artifacts, gather, shard."""
SLACK = 1.1
MINUTE_S = 60


@dataclass(frozen=True)
class Jobs:
    """How a sweep becomes jobs."""

    mode: Mode = "replicate"
    target_s: float = 1800.0
    """What a job is meant to take."""
    budget_node_hours: float | None = None
    """Nothing is sent that is projected to take more."""


def pack(
    cells: Sequence[PlannedCell],
    measure: Measure,
    site: Site,
    jobs: Jobs,
    digests: Mapping[str, str],
) -> tuple[Slice, ...]:
    """Cut `cells` into slices by CPU type, each projected to take `jobs.target_s` or less.

    Cells stay in the order of the grid, so that those that are compared with each other (one
    model's quantizations and threads) are in one job. A cell that takes longer has a job to itself.

    Parameters
    ----------
    digests
        SHA-256 of each image, by its path; none for a mere look.

    Raises
    ------
    UserError
        If the site has no such CPU type, or grants fewer CPUs than a cell has threads.
    """
    slices: list[Slice] = []
    for name in dict.fromkeys(planned.cell.cpu_type for planned in cells):
        mine = [planned for planned in cells if planned.cell.cpu_type == name]
        check_cpu_types([planned.cell for planned in mine], measure, site)
        cpu_type = site.cpu_types[name]
        budget_s = measure.budget
        if cpu_type.time_limit:
            budget_s = min(budget_s, cpu_type.time_limit - end_seconds(cpu_type.time_limit))
        # A job must have the time for the least number of rounds of all its cells.
        sharing = cpu_type.nodes if jobs.mode == "partition" else 1
        room_s = min(jobs.target_s, budget_s) * sharing
        image = site.image(name)
        for group in _groups(mine, measure, room_s):
            seconds = sum(_cost_s(planned, measure) for planned in group)
            slices.append(
                Slice(
                    cell_ids=tuple(planned.cell.cell_id for planned in group),
                    budget_s=budget_s,
                    cpu_type=name,
                    nodes=cpu_type.nodes,
                    copies=1 if jobs.mode == "partition" else cpu_type.nodes,
                    cpus=cpu_type.cpus,
                    expect=cpu_type.expect or "",
                    image=str(image or ""),
                    image_sha256=digests.get(str(image), ""),
                    seconds=seconds / sharing,
                )
            )
    return tuple(slices)


def check_cpu_types(cells: Sequence[Cell], measure: Measure, site: Site) -> None:
    """Refuse cells that no node of the site can measure.

    Raises
    ------
    UserError
        As `pack` does.
    """
    for cell in cells:
        cpu_type = site.cpu_types.get(cell.cpu_type)
        if cpu_type is None:
            raise UserError(
                f"The sweep asks for cpu_type {cell.cpu_type!r}, which the site file has not.",
                nearest(cell.cpu_type, site.cpu_types),
            )
        grants = f"the site file says cpus = {cpu_type.cpus} for {cell.cpu_type!r}"
        check_cpus(cell, cpu_type.cpus, measure, grants)


def _cost_s(planned: PlannedCell, measure: Measure) -> float:
    return planned.trial_seconds * measure.min_trials


def _groups(
    cells: Sequence[PlannedCell], measure: Measure, room_s: float
) -> list[list[PlannedCell]]:
    groups: list[list[PlannedCell]] = []
    filled_s = 0.0
    for planned in cells:
        cost_s = _cost_s(planned, measure)
        if not groups or filled_s + cost_s > room_s:
            groups.append([])
            filled_s = 0.0
        groups[-1].append(planned)
        filled_s += cost_s
    return groups


def end_seconds(limit_s: float) -> float:
    """Return what a job of at most `limit_s` keeps back for what is not a trial."""
    return min(END_S, limit_s / 4)


def limit_minutes(slice_: Slice, cells: Sequence[PlannedCell], measure: Measure, site: Site) -> int:
    """Return the time limit of a slice's job, in whole minutes.

    It ends a job that has gone wrong; one that goes well ends by its budget, and the round that
    it was in.
    """
    trials_s = [planned.trial_seconds for planned in cells]
    sharing = slice_.nodes // slice_.copies
    cells_s = max([*trials_s, sum(trials_s) / sharing])
    # Jobs of one limit go in one array: a full slice's round is the least, and twice that the next.
    round_s = slice_.budget_s / measure.min_trials
    while SLACK * round_s < cells_s:
        round_s *= 2
    round_s *= 1 + measure.profile
    minutes = math.ceil((SLACK * (slice_.budget_s + round_s) + END_S) / MINUTE_S)
    allowed_s = site.cpu_types[slice_.cpu_type].time_limit
    return minutes if allowed_s is None else max(1, min(minutes, int(allowed_s // MINUTE_S)))


def node_hours(slices: Sequence[Slice]) -> float:
    """Return what slices are projected to take, in hours of a node."""
    return sum(slice_.seconds * slice_.nodes for slice_ in slices) / 3600


def check_budget(slices: Sequence[Slice], budget_node_hours: float | None) -> None:
    """Refuse slices that are projected to take more.

    Raises
    ------
    UserError
        If they are.
    """
    hours = node_hours(slices)
    if budget_node_hours is not None and hours > budget_node_hours:
        raise UserError(
            f"The sweep is projected to take {hours:.3g} node-hours, above the "
            f"{budget_node_hours:g} that --budget allows.",
            "Measure fewer cells, lower budget or min_trials under [measure], or raise --budget.",
        )
