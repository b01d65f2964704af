"""Several runs as one Dataset, along a `run` dimension."""

from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from analysis.lazy import Key, Lazy, lazy
from analysis.planes import PLANE
from suite.errors import UserError
from suite.results.axes import LATER_AXES

AXES = ("model", *PLANE, "cpu_type", *LATER_AXES)
"""All that there are, in the order in which a cell is named by them."""


def combine(runs: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Lay runs beside each other along `run`.

    Parameters
    ----------
    runs
        Of each name its Dataset, as `analysis.open_results` returns it.

    Returns
    -------
    xarray.Dataset
        Over the union of the runs' grids; where a run has no such cell there is NaN, 0 trials and
        "" as its status. A run that lacks an axis of another one, as `batch`, is at the axis's
        default on it. What differs in the runs' provenance is a coordinate along `run`, what they
        share is an attribute.

    Raises
    ------
    UserError
        If a run has an axis that another one lacks, and that has no default.
    """
    runs = {name: with_verdict(dataset) for name, dataset in runs.items()}
    axes = axes_of(runs.values())
    # What each is on all axes, without any of its values.
    outlines = {name: on_axes(_outline(dataset), axes) for name, dataset in runs.items()}
    _check_axes(outlines)
    datasets, outline = list(runs.values()), next(iter(outlines.values()))
    grid = {str(dim): _union(str(dim), [*outlines.values()]) for dim in outline.sizes}
    variables = {
        name: lazy(
            ("run", *map(str, of.dims)),
            Lazy(
                (len(runs), *(len(grid[str(dim)]) for dim in of.dims)),
                datasets[0][name].dtype,
                partial(_of_runs, datasets, axes, grid, str(name)),
            ),
            of.attrs.get("units", ""),
        )
        for name, of in outline.data_vars.items()
    }
    together = xr.Dataset(variables, grid)
    keys = dict.fromkeys(str(key) for dataset in datasets for key in dataset.attrs)
    values = {key: [str(dataset.attrs.get(key, "")) for dataset in datasets] for key in keys}
    shared = {key: of_runs[0] for key, of_runs in values.items() if len({*of_runs}) == 1}
    differing = {
        key: ("run", of_runs)
        for key, of_runs in values.items()
        if key not in shared and key not in together  # a name of the Dataset's own stays its
    }
    return together.assign_coords({"run": list(runs), **differing}).assign_attrs(shared)


def _outline(dataset: xr.Dataset) -> xr.Dataset:
    """Return a Dataset of the same form and no values to speak of: to lay it out costs nothing."""
    return dataset.map(lambda of: of.copy(data=np.broadcast_to(np.nan, of.shape)), keep_attrs=True)


def _of_runs(
    datasets: list[xr.Dataset],
    axes: list[str],
    grid: Mapping[str, np.ndarray[Any, Any]],
    name: str,
    key: Key,
) -> np.ndarray[Any, Any]:
    """Compute the part of a variable that a key selects, of the runs that it selects."""

    def of_run(run: int) -> np.ndarray[Any, Any]:
        own = datasets[run][[*dict.fromkeys([name, "status"])]]
        spread = _spread(on_axes(own, axes)[[name]], grid)[name]
        order = [dim for dim in (*axes, "node", "trial") if dim in spread.dims]
        return np.asarray(spread.transpose(*order).values[key[1:]])

    chosen = range(len(datasets))[key[0]]
    if isinstance(chosen, int):
        return of_run(chosen)
    return np.stack([of_run(run) for run in chosen or [0]])[: len(chosen)]


def _check_axes(runs: Mapping[str, xr.Dataset]) -> None:
    known = {name: {str(dim) for dim in dataset.sizes} for name, dataset in runs.items()}
    every = set().union(*known.values())
    for name, dims in known.items():
        if lacking := sorted(every - dims):
            other = next(run for run, has in known.items() if lacking[0] in has)
            raise UserError(
                f"Run {name!r} has no axis {lacking[0]!r}, which run {other!r} has.",
                "Open them apart, and select one point of that axis before you compare.",
            )


def _union(dim: str, datasets: list[xr.Dataset]) -> np.ndarray[Any, Any]:
    """Return the values of all on a dimension: numbers ascending, text as it comes first."""
    values = [value for dataset in datasets for value in dataset[dim].values.tolist()]
    distinct = list(dict.fromkeys(values))
    numbers = not any(isinstance(value, str) for value in distinct)
    return np.array(sorted(distinct) if numbers else distinct)


def _spread(dataset: xr.Dataset, grid: Mapping[Any, np.ndarray[Any, Any]]) -> xr.Dataset:
    """Return a run on a larger grid, its provenance left off."""
    nothing: dict[str, Any] = {"O": "", "U": "", "i": 0}
    fill = {
        str(name): nothing.get(variable.dtype.kind, np.nan)
        for name, variable in dataset.data_vars.items()
    }
    known = {dim: values for dim, values in grid.items() if dim in dataset.dims}
    return dataset.drop_attrs(deep=False).reindex(known, fill_value=fill)


def axes_of(datasets: Iterable[xr.Dataset]) -> list[str]:
    """Return the axes that any of them has, in the order in which a cell is named by them."""
    found = dict.fromkeys(str(dim) for dataset in datasets for dim in dataset["status"].dims)
    later = [axis for axis in LATER_AXES if axis in found]
    return [*(axis for axis in found if axis not in LATER_AXES), *later]


def on_axes(dataset: xr.Dataset, axes: Iterable[Hashable]) -> xr.Dataset:
    """Return a run over those of `axes` too that came later than it, where it is at the default.

    An axis that was fixed by a selection stays fixed.
    """
    dataset = with_verdict(dataset)
    lacking = {
        axis: [LATER_AXES[str(axis)]]
        for axis in axes
        if axis in LATER_AXES and axis not in dataset.coords
    }
    own = dataset["status"].dims
    over = [name for name, of in dataset.data_vars.items() if {*own} <= {*of.dims}]
    if not lacking or not own:
        return dataset
    wide = dataset[over].expand_dims(lacking)
    order = [axis for axis in axes if axis in wide.dims]
    return dataset.drop_vars(over).merge(wide.transpose(*order, ...))


def with_verdict(results: xr.Dataset) -> xr.Dataset:
    """Return results whose verdict is a variable, which is laid out and filled as others are."""
    if "verdict" not in results.coords:
        return results
    plain = results.reset_coords("verdict")
    status = plain["status"]
    if plain["verdict"].dims == status.dims:
        return plain
    # An axis that was added by hand has not reached the coordinates.
    return plain.assign(verdict=plain["verdict"].broadcast_like(status).transpose(*status.dims))


def as_grid(results: xr.Dataset) -> xr.Dataset:
    """Return what was selected from results as a grid again.

    An axis that a selection has fixed has one value; where `where` has left nothing is no cell.

    Raises
    ------
    UserError
        If a selection has fixed the node or the trial: see `check_trials`.
    """
    check_trials(results)
    results = with_verdict(results)
    if results["status"].isnull().any():
        masked = [name for name, of in results.data_vars.items() if of.dtype == object]
        results = results.assign(results[masked].fillna(""))
    fixed = [axis for axis in AXES if axis in results.coords and axis not in results.dims]
    if not fixed:
        return results
    of_nodes = [n for n, of in results.data_vars.items() if of.dims in (("node",), ("run", "node"))]
    wide = results.drop_vars(of_nodes).expand_dims(fixed)
    order = [axis for axis in ("run", *AXES) if axis in wide.dims]
    return wide.transpose(*order, ...).assign(results[of_nodes].drop_vars(fixed))


def to_look_at(results: xr.Dataset) -> xr.Dataset:
    """Return the same as a grid whose cells are at hand: they are looked at one by one.

    Raises
    ------
    UserError
        As of `as_grid`.
    """
    results = as_grid(results)
    of_cells = [
        name for name, of in results.data_vars.items() if of.chunks and "trial" not in of.dims
    ]
    return results.assign(results[of_cells].compute())


def as_asked(found: xr.Dataset, results: xr.Dataset) -> xr.Dataset:
    """Return what was found on the grid of `results` without the axes that a selection fixed."""
    return found.squeeze([dim for dim in found.dims if dim not in results.dims])


def check_trials(results: xr.Dataset) -> None:
    """Check that results are still over axes, nodes and trials.

    Raises
    ------
    UserError
        If axes are stacked, or a selection has fixed the node or the trial.
    """
    _check_apart(results)
    for dim in ("node", "trial"):
        if dim not in results.dims:
            value = results[dim].item() if dim in results.coords else "..."
            raise UserError(
                f"These results have no dimension {dim!r}.", f"Select a list: {dim}=[{value!r}]."
            )


def _check_apart(results: xr.Dataset) -> None:
    """Raise a UserError where axes are stacked."""
    for axis in (*AXES, "node", "trial"):
        if axis in results.coords and results[axis].dims not in ((), (axis,)):
            dim = results[axis].dims[0]
            raise UserError(
                f"{axis!r} of these results lies along {dim!r}.",
                f"Take it apart again: results.unstack({dim!r}).",
            )


def check_cells(results: xr.Dataset) -> None:
    """Raise a UserError where a selection, or the file, has left nothing to be asked about."""
    _check_apart(results)
    empty = {str(dim) for dim, size in results.sizes.items() if not size and dim != "trial"}
    if empty - {"node"} or not {*AXES} & {*results.coords}:
        raise UserError("There is no cell in these results.")
    if empty:
        raise UserError("There is no node in these results.")
