"""How much faster one cell is than another of the same run."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.naming import host_of
from analysis.runs import check_cells, check_trials
from suite.errors import UserError, nearest
from suite.intervals import Intervals, geometric_mean

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def speedup(results: xr.Dataset, **baseline: Any) -> xr.Dataset:
    """Return how many times faster each cell is than the one at `baseline` on the given axes.

    Trials of one round are neighbours in time, so their ratios are taken round by round, node by
    node, and a drift of the machine falls out: `ratio` is the geometric mean of these ratios,
    `ratio_low` and `ratio_high` its 95 % t interval on logs (google/benchmark and nanobench pair
    in the same way). Where several hosts measured both, these are the replicates, so that the
    interval speaks of the CPU type. NaN where a cell or its baseline has no trial in common rounds.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    **baseline
        One or more axes and the value to compare with, as `threads=1`.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes, units "1".

    Raises
    ------
    UserError
        If there is no such axis, no cell or no node.

    References
    ----------
    Fleming and Wallace, CACM 29, 1986 (doi 10.1145/5666.5673): ratios are averaged by their
    geometric mean.

    Examples
    --------
    >>> speedup(results, quantization="float32")["ratio"].sel(threads=1)  # doctest: +SKIP
    """
    check_cells(results)
    return between(results["trial_median_ns"], results, **baseline)


def between(times: xr.DataArray, results: xr.Dataset, **baseline: Any) -> xr.Dataset:
    """Return the same of other times of trials, over the axes, `node` and `trial`."""
    check_trials(results)
    known = tuple(map(str, results["median_ns"].dims))
    for axis in baseline:
        if axis not in known:
            raise UserError(f"There is no axis {axis!r}.", nearest(axis, known))
    absent = [axis for axis, value in baseline.items() if value not in results[axis].values]
    if absent:
        nothing = xr.full_like(results["median_ns"], float("nan"))
        return _dataset(nothing, nothing, nothing)
    like = results["median_ns"]
    ratios = (times.sel(baseline) / times).transpose(*like.dims, "node", "trial")
    found, _, _ = over_replicates(ratios.values, hosts(results))
    return _dataset(*(like.copy(data=v) for v in (found.estimate, found.low, found.high)))


def hosts(results: xr.Dataset) -> Ints:
    """Return a number for each node, the same for those of one host."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(host_of(str(node)), len(numbers)) for node in results["node"].values],
        np.int64,
    )


def over_replicates(ratios: Floats, of_nodes: Ints) -> tuple[Intervals, Ints, Ints]:
    """Estimate ratios over hosts, where several have any, or else over rounds.

    Parameters
    ----------
    ratios
        Of trials of one round, shape (..., nodes, rounds); NaN where there is none.
    of_nodes
        The hosts, see `hosts`.

    Returns
    -------
    Intervals
        Of their geometric means.
    replicates, hosts
        Over how many, and how many hosts have any.
    """
    shape = ratios.shape[:-2]
    rounds = (~np.isnan(ratios)).sum(axis=(-2, -1))
    means = np.full((*shape, of_nodes.max(initial=-1) + 1), np.nan)
    for host in range(means.shape[-1]):
        means[..., host] = geometric_mean(_flat(ratios[..., of_nodes == host, :])).estimate
    known = (~np.isnan(means)).sum(axis=-1)
    several = known > 1
    over_hosts, over_rounds = map(geometric_mean, (means, _flat(ratios)))
    found = Intervals(
        *(
            np.where(several, getattr(over_hosts, of), getattr(over_rounds, of))
            for of in ("estimate", "low", "high")
        )
    )
    return found, np.where(several, known, rounds), known


def _flat(ratios: Floats) -> Floats:
    """Return the last two axes as one; there may be nothing of any length."""
    return ratios.reshape(*ratios.shape[:-2], math.prod(ratios.shape[-2:]))


def _dataset(ratio: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> xr.Dataset:
    variables = {"ratio": ratio, "ratio_low": low, "ratio_high": high}
    return xr.Dataset({name: values.assign_attrs(units="1") for name, values in variables.items()})
