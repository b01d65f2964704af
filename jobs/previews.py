"""A look at a sweep before anything is built or measured."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.display import duration
from jobs.grid import check_machine, lay_out
from jobs.projection import project
from suite.artifacts.store import ArtifactStore
from suite.cells import AXES
from suite.sweep import Sweep


def preview(sweep: Sweep, store: Path | str | None = None) -> dict[str, Any]:
    """Return the cells of a sweep, the artifacts that they need and the projected time.

    Returns
    -------
    dict
        `cells`, a list of objects with a key for each axis and `cell_id`; `artifacts`, a list of
        objects with `artifact_key`, `model`, `quantization` and `built`; `projected_seconds`,
        and its parts `projected_build_seconds` and `projected_measure_seconds`.

    Raises
    ------
    UserError
        If a model is not there, or this machine cannot measure a cell.
    """
    grid = lay_out(sweep)
    check_machine(grid.cells)
    projection = project(grid, ArtifactStore.at(store))
    requests = {request.key: request for request in grid.requests.values()}
    return {
        "name": sweep.name,
        "sweep_hash": sweep.sweep_hash,
        "cells": [{**cell.axes, "cell_id": cell.cell_id} for cell in grid.cells],
        "artifacts": [
            {
                "artifact_key": key,
                "model": request.model,
                "quantization": request.quantization,
                "built": key not in projection.to_build,
            }
            for key, request in requests.items()
        ],
        "projected_seconds": projection.seconds,
        "projected_build_seconds": projection.build_seconds,
        "projected_measure_seconds": projection.measure_seconds,
    }


def print_preview(seen: dict[str, Any], console: Console) -> None:
    """Print what `preview` returned, for people."""
    table = Table(title=f"{seen['name']}: {len(seen['cells'])} cells", title_justify="left")
    for column in (*AXES, "cell_id"):
        table.add_column(column.replace("_", " "))
    for cell in seen["cells"]:
        table.add_row(*(str(value) for value in cell.values()))
    console.print(table)
    waiting = [a for a in seen["artifacts"] if not a["built"]]
    console.print(f"{len(seen['artifacts'])} artifacts, {len(waiting)} of them to build:")
    for artifact in seen["artifacts"]:
        state = "in the store" if artifact["built"] else "to build"
        console.print(f"  {artifact['model']} {artifact['quantization']}: {state}")
    console.print(
        f"Projected: {duration(seen['projected_build_seconds'])} to build, "
        f"{duration(seen['projected_measure_seconds'])} to measure."
    )
