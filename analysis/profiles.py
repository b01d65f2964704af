"""Where the time of an inference goes: the operators of each cell's graph."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.measured import Measured, measured
from analysis.slices import known_values, parse
from suite.errors import UserError
from suite.results.normal import KINDS
from suite.results.rows import Column, OperatorRow

COLUMNS = ("node", "place", "type", "run_by", "ns", "share", "runs", "latency_ns")
"""Of a frame of operators, behind the axes."""
OWN = "litert"
"""Whatever no delegate has run."""
TOLD = ("model", "quantization", "threads", "delegate")
"""Axes that a cell's name tells even where all cells have the same place on them."""
OF_TYPE = ("type", "run_by", "count", "ns", "share", "latency_ns")


def operators(path: Path | str) -> pd.DataFrame:
    """Return what each operator takes, of a run that was swept with `profile = true`.

    Shares are what a profile is for: it changes the timing, so that the sum of its times is near
    the latency and not the same. XNNPACK's times are whole microseconds to the runtime, the rest
    cut off and half of one added here: an operator of less may be off by as much.

    Parameters
    ----------
    path
        A run's folder or file of results; after a colon, axes and their values, as
        `RUN:threads=1,model=m`.

    Returns
    -------
    pandas.DataFrame
        A row for each operator of each cell on each node, in the order of execution: the axes;
        `node`; `place`, from 0; `type`, as the runtime calls it; `run_by` ("xnnpack", or "litert"
        for its own kernels); `ns`, the mean of the middle half of its durations; `share` of the
        sum over its cell's operators, from 0 to 1; `runs`, how many invocations were profiled; and
        `latency_ns`, the median of the cell's trials on that node, which were not.

        `attrs["unprofiled"]` has a sentence for each cell that could not be profiled. Cells of
        another runtime than LiteRT are not there.

    Raises
    ------
    UserError
        If there are no results, no such axis or value, or no profile.

    Examples
    --------
    >>> found = operators("runs/mnist-profile")  # doctest: +SKIP
    >>> found.groupby(["quantization", "type"])["ns"].sum()  # doctest: +SKIP
    """
    found, unprofiled = _open(str(path))
    if found is None:
        raise UserError(
            f"{str(path)!r}: no cell was profiled{f': {unprofiled[0]}' if unprofiled else ''}.",
            "Put profile = true under [measure] of the sweep and run it, or give a .tflite file.",
        )
    return found


def operators_if_any(path: Path | str) -> pd.DataFrame | None:
    """Return the same, or None where no cell was profiled."""
    return _open(str(path))[0]


def _open(path: str) -> tuple[pd.DataFrame | None, list[str]]:
    file, fixed = parse(path)
    of = measured(file)
    rows = _rows(of, known_values(path, fixed, of.axes))
    unprofiled = [f"{_name(point)}: {row.operator_error}" for point, row in rows if _failed(row)]
    frames = [
        frame([row for _, row in group], point, node, latency_ns)
        for point, node, latency_ns, group in _profiles(of, rows)
    ]
    if not frames:
        return None, unprofiled
    found = pd.concat(frames, ignore_index=True)
    found.attrs = dict(of.stored.provenance) | {"unprofiled": unprofiled}
    return found, unprofiled


def frame(
    rows: Sequence[OperatorRow],
    point: Mapping[str, Any],
    node: str,
    latency_ns: float = np.nan,
) -> pd.DataFrame:
    """Return one profile, in the order of execution, as `operators` does.

    Parameters
    ----------
    point
        The cell's place on each axis.
    """
    total_ns = sum(row.operator_ns for row in rows)
    return pd.DataFrame(
        [
            {
                **point,
                "node": node,
                "place": row.operator_place,
                "type": row.operator_type,
                "run_by": row.operator_delegate or OWN,
                "ns": row.operator_ns,
                "share": row.operator_ns / total_ns if total_ns else np.nan,
                "runs": row.operator_runs,
                "latency_ns": latency_ns,
            }
            for row in sorted(rows, key=lambda row: row.operator_place)
        ]
    )


def by_type(found: pd.DataFrame) -> pd.DataFrame:
    """Return what the operators of each type take together, the most first.

    Parameters
    ----------
    found
        As `operators` returns it.

    Returns
    -------
    pandas.DataFrame
        The axes; `type`; `run_by`; `count` of operators; `ns`, `share` and `latency_ns`, the
        medians over nodes.
    """
    axes = axes_of(found)
    of_node = found.groupby([*axes, "node", "type", "run_by"], sort=False).agg(
        count=("ns", "size"),
        ns=("ns", "sum"),
        share=("share", "sum"),
        latency_ns=("latency_ns", "first"),
    )
    over_nodes = of_node.groupby([*axes, "type", "run_by"], sort=False).median().reset_index()
    over_nodes["count"] = over_nodes["count"].astype(int)
    parts = [
        cell.sort_values("ns", ascending=False, kind="stable")
        for _, cell in over_nodes.groupby(axes, sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def axes_of(found: pd.DataFrame) -> list[str]:
    """Return the axes of a frame of operators, of the whole or by type."""
    others = {*COLUMNS, *OF_TYPE}
    return [name for name in found.columns if name not in others]


def cells_of(found: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each cell's name and what of `found` is of it."""
    axes = axes_of(found)
    telling = [a for a in axes if a in TOLD or found[a].nunique() > 1]
    for _, cell in found.groupby(axes, sort=False):
        yield _name({axis: cell[axis].iloc[0] for axis in telling}), cell


def _name(point: Mapping[str, Any]) -> str:
    plain = ("model", "quantization", "cpu_type")
    return ", ".join(str(v) if axis in plain else f"{axis} {v}" for axis, v in point.items())


def _failed(row: OperatorRow) -> bool:
    return bool(row.operator_error)


Placed = list[tuple[dict[str, Any], OperatorRow]]


def _rows(of: Measured, chosen: Mapping[str, Any]) -> Placed:
    """Return the rows of the cells that `chosen` leaves, with where they are in the grid."""
    stored = of.stored
    cells, nodes = stored["operator_cell_index"], stored["operator_node_index"]
    kept = np.ones(len(cells), bool)
    places = {axis: place[cells].tolist() for axis, place in zip(of.axes, of.places, strict=True)}
    for axis, value in chosen.items():
        kept &= np.array(places[axis]) == of.axes[axis].index(value)
    fields: dict[str, Sequence[Any]] = {
        name: stored.texts(name) if kind.dtype == "str" else stored[name].tolist()
        for name, kind in KINDS[OperatorRow].items()
        if isinstance(kind, Column)
    }
    # By number, which is all that is asked of an id here.
    fields |= {"operator_cell_id": cells.tolist(), "operator_node_id": nodes.tolist()}
    points = [
        {axis: of.axes[axis][place] for axis, place in zip(places, point, strict=True)}
        for point in zip(*places.values(), strict=True)
    ]
    rows = (
        OperatorRow(**dict(zip(fields, values, strict=True)))
        for values in zip(*fields.values(), strict=True)
    )
    return [at for at, is_kept in zip(zip(points, rows, strict=True), kept, strict=True) if is_kept]


def _profiles(of: Measured, rows: Placed) -> Iterator[tuple[dict[str, Any], str, float, Placed]]:
    """Yield the rows of each cell on each node, in the order of the sweep's own axes."""
    groups: dict[tuple[int, int], Placed] = {}
    for point, row in rows:
        if not _failed(row):
            key = int(row.operator_cell_id), int(row.operator_node_id)
            groups.setdefault(key, []).append((point, row))
    for cell, node in sorted(groups, key=lambda key: int(of.point[key[0]])):
        group = groups[cell, node]
        yield group[0][0], of.nodes[node], _latency_ns(of, cell, node), group


def _latency_ns(of: Measured, cell: int, node: int) -> float:
    """Return the median of a cell's trials on a node, whatever it is that counts in the cell."""
    trials = of.trials
    first, last = np.searchsorted(trials.cell, (cell, cell + 1))
    here = np.arange(first, last)[trials.ran[first:last] & (trials.node[first:last] == node)]
    return float(np.median(of.found.median_ns[here])) if len(here) else math.nan
