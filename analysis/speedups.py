"""How much faster one cell is than another of the same run."""

from typing import Any

import xarray as xr

from analysis.runs import check_trials
from suite.errors import UserError, nearest
from suite.intervals import geometric_mean


def speedup(results: xr.Dataset, **baseline: Any) -> xr.Dataset:
    """Return how many times faster each cell is than the one at `baseline` on the given axes.

    Trials of one round are neighbours in time, so their ratios are taken round by round, node by
    node, and a drift of the machine falls out: `ratio` is the geometric mean of these ratios,
    `ratio_low` and `ratio_high` its 95 % t interval on logs (google/benchmark and nanobench pair
    in the same way). NaN where a cell or its baseline has no trial in common rounds.

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
        If there is no such axis.

    Examples
    --------
    >>> speedup(results, quantization="float32")["ratio"].sel(threads=1)  # doctest: +SKIP
    """
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
    ratios = (times.sel(baseline) / times).transpose(*times.dims)
    flat = ratios.stack(pair=("node", "trial"), create_index=False)
    found = geometric_mean(flat.values)
    like = results["median_ns"]
    return _dataset(*(like.copy(data=v) for v in (found.estimate, found.low, found.high)))


def _dataset(ratio: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> xr.Dataset:
    variables = {"ratio": ratio, "ratio_low": low, "ratio_high": high}
    return xr.Dataset({name: values.assign_attrs(units="1") for name, values in variables.items()})
