"""What things of a run are called: its file, its axes and their values, its nodes."""

import itertools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.results.rows import Results

RESULTS_FILE = "results.h5"


def results_file(path: Path | str) -> Path:
    """Return the file of results that `path` names: itself, or the one in a run's folder."""
    path = Path(path)
    if path.is_dir():
        if not (path / RESULTS_FILE).exists():
            raise UserError(
                f"The folder {str(path)!r} has no {RESULTS_FILE}.",
                "Give the folder of a run that has measured something.",
            )
        return path / RESULTS_FILE
    return path


def run_name(file: Path) -> str:
    return file.absolute().parent.name if file.name == RESULTS_FILE else file.stem


def numbered(names: Iterable[str]) -> list[str]:
    """Return names that differ: where one comes again, with its number behind it."""
    found: list[str] = []
    for name in names:
        numbers = (f"{name}#{count}" for count in itertools.count(2))
        found.append(next(n for n in itertools.chain([name], numbers) if n not in found))
    return found


def axis_names(results: Results) -> tuple[str, ...]:
    """Return the axes of the sweep; none where it has no cells."""
    return tuple(results.cells[0].axes) if results.cells else ()


def coordinates(results: Results) -> dict[str, list[Any]]:
    """Return each axis's values: numbers ascending, text in the sweep's own order."""
    declared = tomllib.loads(results.provenance.get("sweep", "")).get("axes", {})

    def rank(axis: str, value: Any) -> tuple[int, Any]:
        order = declared.get(axis, [])
        known = isinstance(value, str) and value in order
        return (order.index(value), "") if known else (len(order), value)

    return {
        axis: sorted(
            {cell.axes[axis] for cell in results.cells}, key=lambda value: rank(axis, value)
        )
        for axis in axis_names(results)
    }


def host_of(node: str) -> str:
    """Return the host of a node: one that was described twice is two nodes, but one machine."""
    return node.partition("#")[0]


def node_names(results: Results) -> dict[str, str]:
    """Return a name for each node: its host name, with a number where two nodes share one."""
    names = numbered(node.host for node in results.nodes)
    return {node.node_id: name for node, name in zip(results.nodes, names, strict=True)}
