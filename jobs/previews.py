"""A look at a sweep before anything is built or measured."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.cluster.packing import Jobs, check_budget, limit_minutes, node_hours, pack
from jobs.cluster.partitions import check_time_limit, meant, partitions
from jobs.cluster.site import Site, find_site
from jobs.cluster.slurm import DEFAULT_MAX_ARRAY, max_array
from jobs.display import duration
from jobs.grid import Grid, check_machine, lay_out
from jobs.projection import planned_cells, project
from suite.artifacts.store import ArtifactStore
from suite.cells import axes_of
from suite.errors import UserError
from suite.sweep import Sweep


def preview_on_site(
    sweep: Sweep, site: str | None, jobs: Jobs, store: Path | str | None = None
) -> dict[str, Any]:
    """Return what `preview` does, for a cluster: the jobs that the sweep becomes, and their cost.

    Returns
    -------
    dict
        As `preview` returns it, and `jobs`, a list of objects with `cpu_type`, `nodes`, `cells`,
        `projected_seconds` and `limit_minutes`; `node_hours` and, if every job took its time limit,
        `node_hours_at_most`; `sbatch_calls`; `max_array` and `max_submitted` (null if unlimited);
        `partitions`, the limits of those that the jobs go to (empty where Slurm cannot be asked).

    Raises
    ------
    UserError
        If a model is not there, the site cannot measure a cell, or the budget or a partition's time
        limit would be exceeded.
    """
    grid = lay_out(sweep)
    profile = Site.load(find_site(site, sweep.folder))
    artifacts = ArtifactStore.at(store)
    cells = {planned.cell.cell_id: planned for planned in planned_cells(grid, artifacts)}
    slices = pack(list(cells.values()), sweep.measure, profile, jobs, {})
    check_budget(slices, jobs.budget_node_hours)
    limits = [
        limit_minutes(s, [cells[c] for c in s.cell_ids], sweep.measure, profile) for s in slices
    ]
    try:
        most, known = max_array(profile), partitions()
    except UserError:  # a look needs no cluster
        most, known = profile.slurm.array or DEFAULT_MAX_ARRAY, []
    for slice_, limit in zip(slices, limits, strict=True):
        check_time_limit(profile, slice_.cpu_type, limit, known)
    kinds = Counter((s.cpu_type, limit) for s, limit in zip(slices, limits, strict=True))
    return {
        **_preview(grid, artifacts),
        "projected_measure_seconds": sum(slice_.seconds for slice_ in slices),
        "jobs": [
            {
                "cpu_type": slice_.cpu_type,
                "nodes": slice_.nodes,
                "cells": list(slice_.cell_ids),
                "projected_seconds": slice_.seconds,
                "limit_minutes": limit,
            }
            for slice_, limit in zip(slices, limits, strict=True)
        ],
        "node_hours": node_hours(slices),
        "node_hours_at_most": sum(
            s.nodes * limit / 60 for s, limit in zip(slices, limits, strict=True)
        ),
        "sbatch_calls": sum(-(-count // most) for count in kinds.values()),
        "max_array": most,
        "max_submitted": profile.slurm.submitted,
        "partitions": [
            {"name": p.name, "nodes": p.nodes, "limit_minutes": p.limit_min}
            for p in dict.fromkeys(p for kind in kinds for p in meant(profile, kind[0], known))
        ],
    }


def preview(sweep: Sweep, store: Path | str | None = None) -> dict[str, Any]:
    """Return the cells of a sweep, the artifacts that they need and the projected time.

    Returns
    -------
    dict
        `cells`, a list of objects with a key for each axis and `cell_id`; `artifacts`, a list of
        objects with `artifact_key`, `model`, `quantization`, `name`, `built` and `refusal` (why
        nobody can make it; its cells will fail);
        `projected_seconds`, and its parts `projected_build_seconds` and
        `projected_measure_seconds`.

    Raises
    ------
    UserError
        If a model is not there, or this machine cannot measure a cell.
    """
    grid = lay_out(sweep)
    check_machine(grid)
    return _preview(grid, ArtifactStore.at(store))


def _preview(grid: Grid, artifacts: ArtifactStore) -> dict[str, Any]:
    sweep, projection = grid.sweep, project(grid, artifacts)
    requests = {request.key: request for request in grid.requests.values()}
    axes = axes_of(grid.cells)
    return {
        "name": sweep.name,
        "sweep_hash": sweep.sweep_hash,
        "cells": [{**cell.place(axes), "cell_id": cell.cell_id} for cell in grid.cells],
        "artifacts": [
            {
                "artifact_key": key,
                "model": request.model,
                "quantization": request.quantization,
                "name": request.name,
                "built": key not in projection.to_build,
                "refusal": request.refusal,
            }
            for key, request in requests.items()
        ],
        "projected_seconds": projection.seconds,
        "projected_build_seconds": projection.build_seconds,
        "projected_measure_seconds": projection.measure_seconds,
    }


def print_preview(seen: dict[str, Any], console: Console) -> None:
    """Print what `preview` returned, for people."""
    cells = seen["cells"]
    # On a terminal there is no room for axes that tell no cells apart.
    alike = {name: v for name, v in cells[0].items() if all(cell[name] == v for cell in cells)}
    alike = {name: v for name, v in alike.items() if name not in ("model", "cell_id")}
    table = Table(title=f"{seen['name']}: {len(cells)} cells", title_justify="left")
    for column in (name for name in cells[0] if name not in alike):
        table.add_column(column.replace("_", " "), overflow="fold")
    for cell in cells:
        table.add_row(*(str(value) for name, value in cell.items() if name not in alike))
    console.print(table)
    if alike:
        said = (f"{name.replace('_', ' ')} {value}" for name, value in alike.items())
        console.print(f"All: {', '.join(said)}.")
    waiting = [a for a in seen["artifacts"] if not a["built"] and not a["refusal"]]
    plural = "s" * (len(seen["artifacts"]) != 1)
    console.print(f"{len(seen['artifacts'])} artifact{plural}, {len(waiting)} of them to build:")
    for artifact in seen["artifacts"]:
        state = artifact["refusal"] or ("in the store" if artifact["built"] else "to build")
        console.print(f"  {artifact['name']}: {state}", markup=False)
    console.print(
        f"Projected: {duration(seen['projected_build_seconds'])} to build, "
        f"{duration(seen['projected_measure_seconds'])} to measure."
    )
    if "jobs" in seen:
        _print_jobs(seen, console)


def _print_jobs(seen: dict[str, Any], console: Console) -> None:
    table = Table("CPU type", "jobs", "nodes each", "cells", "time limit", box=None)
    kinds: dict[tuple[str, int, int], list[int]] = {}
    for job in seen["jobs"]:
        kind = job["cpu_type"], job["nodes"], job["limit_minutes"]
        kinds.setdefault(kind, []).append(len(job["cells"]))
    for (cpu_type, nodes, limit), cells in kinds.items():
        table.add_row(cpu_type, str(len(cells)), str(nodes), str(sum(cells)), f"{limit} min")
    console.print(table)
    for partition in seen["partitions"]:
        limit = partition["limit_minutes"]
        console.print(
            f"Partition {partition['name']}: {partition['nodes']} nodes, jobs of up to "
            f"{'any length' if limit is None else duration(60 * limit)}."
        )
    most = seen["max_submitted"]
    console.print(
        f"{len(seen['jobs'])} jobs in {seen['sbatch_calls']} calls of sbatch (arrays of up to "
        f"{seen['max_array']}{f', {most} submitted at a time' if most else ''}); "
        f"{seen['node_hours']:.3g} node-hours, at most {seen['node_hours_at_most']:.3g}."
    )
