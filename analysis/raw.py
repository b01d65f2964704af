"""The raw latencies, sample by sample."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.dataset import axis_names, node_names, results_file
from suite.errors import UserError, nearest
from suite.results.read import read_results
from suite.results.rows import CellRow, Results


def samples(path: Path | str, *, warm_up: bool = False, **axes: Any) -> xr.DataArray:
    """Return the raw latencies of the cells that `axes` select, in ns, in order of execution.

    Parameters
    ----------
    path
        A run's folder, or a file of results.
    warm_up
        Whether samples that the warm-up rule cut off are among them.
    **axes
        Values on the sweep's axes, as `model="resnet50", threads=1`.

    Returns
    -------
    xarray.DataArray
        Along `sample`, with the coordinates `trial_id`, `node`, `round`, `invocation` (the
        sample's place in its trial, warm-up counted) and one for each axis.

    Raises
    ------
    UserError
        If there are no results, no such axis, or no such cell.
    """
    results = read_results(results_file(path))
    cells = {cell.cell_id: cell for cell in _selected(results, axes)}
    hosts = node_names(results)
    parts: list[Any] = []
    names = ("trial_id", "node", "round", "invocation", *axis_names(results))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for trial in results.trials:
        if trial.cell_id not in cells:
            continue
        cut = 0 if warm_up else trial.warmup_count
        kept = trial.latency_ns[cut:]
        parts.append(kept)
        described = {
            "trial_id": trial.trial_id,
            "node": hosts[trial.node_id],
            "round": trial.round,
            **cells[trial.cell_id].axes,
        }
        for name, value in described.items():
            columns[name].append(np.full(len(kept), value))
        columns["invocation"].append(np.arange(cut, cut + len(kept)))
    return xr.DataArray(
        np.concatenate([np.empty(0, "u8"), *parts]),
        dims="sample",
        coords={
            name: ("sample", np.concatenate(values) if values else [])
            for name, values in columns.items()
        },
        name="latency_ns",
        attrs={"units": "ns"},
    )


def _selected(results: Results, axes: dict[str, Any]) -> list[CellRow]:
    for axis, value in axes.items():
        if axis not in axis_names(results):
            raise UserError(f"There is no axis {axis!r}.", nearest(axis, axis_names(results)))
        known = sorted({cell.axes[axis] for cell in results.cells})
        if value not in known:
            names = tuple(map(str, known))
            raise UserError(
                f"There is no {axis} {value!r} in these results.",
                # "1" is not near to 1: it is another type.
                f"Known: {', '.join(names)}."
                if str(value) in names
                else nearest(str(value), names),
            )
    return [
        cell
        for cell in results.cells
        if all(cell.axes[axis] == value for axis, value in axes.items())
    ]
