"""Several runs as one Dataset, along a `run` dimension."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from suite.errors import UserError


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
        "" as its status. What differs in the runs' provenance is a coordinate along `run`, what
        they share is an attribute.

    Raises
    ------
    UserError
        If a run has an axis that another one lacks.
    """
    _check_axes(runs)
    datasets = list(runs.values())
    grid = {str(dim): _union(str(dim), datasets) for dim in datasets[0].sizes}
    parts = [_spread(dataset, grid) for dataset in datasets]
    together = xr.concat(
        parts, "run", data_vars="all", coords="minimal", compat="override", join="exact"
    )
    keys = dict.fromkeys(str(key) for dataset in datasets for key in dataset.attrs)
    values = {key: [str(dataset.attrs.get(key, "")) for dataset in datasets] for key in keys}
    shared = {key: of_runs[0] for key, of_runs in values.items() if len({*of_runs}) == 1}
    differing = {
        key: ("run", of_runs)
        for key, of_runs in values.items()
        if key not in shared and key not in together  # a name of the Dataset's own stays its
    }
    return together.assign_coords({"run": list(runs), **differing}).assign_attrs(shared)


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
    return dataset.drop_attrs(deep=False).reindex(grid, fill_value=fill)
