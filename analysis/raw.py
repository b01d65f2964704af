"""The raw latencies, sample by sample."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.naming import axis_names, coordinates, node_names, results_file
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


def quantiles(
    path: Path | str, shares: Sequence[float] = tuple(np.linspace(0.01, 0.99, 50))
) -> xr.DataArray:
    """Return quantiles of each trial's samples after the warm-up, in ns.

    Parameters
    ----------
    path
        A run's folder, or a file of results.
    shares
        Which, from 0 to 1.

    Returns
    -------
    xarray.DataArray
        Over the sweep's axes, `node`, `trial` and `quantile`; NaN where there is no trial.

    Raises
    ------
    UserError
        If there are no results.
    """
    results = read_results(results_file(path))
    axes, nodes = coordinates(results), node_names(results)
    rounds = max((trial.round + 1 for trial in results.trials), default=0)
    shape = (*(len(values) for values in axes.values()), len(nodes), rounds, len(shares))
    found = np.full(shape, np.nan)
    cells = {
        cell.cell_id: tuple(axes[axis].index(value) for axis, value in cell.axes.items())
        for cell in results.cells
    }
    node_place = {node_id: place for place, node_id in enumerate(nodes)}
    for trial in results.trials:
        kept = trial.latency_ns[trial.warmup_count :]
        if trial.status == "ok" and len(kept):
            place = (*cells[trial.cell_id], node_place[trial.node_id], trial.round)
            found[place] = np.quantile(kept, shares)
    coords = {"node": list(nodes.values()), "trial": np.arange(rounds), "quantile": list(shares)}
    return xr.DataArray(
        found, coords={**axes, **coords}, dims=(*axes, *coords), attrs={"units": "ns"}
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
