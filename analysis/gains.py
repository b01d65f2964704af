"""What quantization gains on each CPU type."""

import numpy as np
import xarray as xr

from analysis.runs import as_asked, as_grid
from analysis.scalability import replicates
from suite.errors import UserError, nearest
from suite.intervals import geometric_mean


def quantization_gain(results: xr.Dataset, over: str = "float32") -> xr.Dataset:
    """Return how many times faster, and smaller, each quantization is than another.

    Trials of one round are paired; where several nodes measured both, the node is the replicate,
    so that the interval speaks of the CPU type, and not of the nodes that happened to measure.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    over
        The quantization to compare with.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes: `gain` (2: half the latency) with `gain_low` and `gain_high`, its
        95 % t interval on logs; `replicates`, how many it is over, and `nodes`, how many measured
        both; `size_ratio`, how many times smaller the artifact is. Units "1".

    Raises
    ------
    UserError
        If the results have no such quantization.

    Examples
    --------
    >>> quantization_gain(results)["gain"].sel(quantization="int8")  # doctest: +SKIP
    """
    asked, results = results, as_grid(results)
    known = [str(name) for name in results["quantization"].values]
    if over not in known:
        raise UserError(f"There is no quantization {over!r}.", nearest(over, known))
    axes = results["median_ns"].dims
    medians = results["trial_median_ns"].transpose(*axes, "node", "trial")
    ratios = medians.sel(quantization=over, drop=True) / medians
    logs = np.log(ratios.transpose(*medians.dims).values)
    shape = logs.shape[: len(axes)]
    found = {name: np.full(shape, np.nan) for name in ("gain", "gain_low", "gain_high")}
    counts = {name: np.zeros(shape, dtype=int) for name in ("replicates", "nodes")}
    for place in np.ndindex(*shape):
        rows = replicates(logs[place][..., None])
        counts["replicates"][place] = len(rows)
        counts["nodes"][place] = np.isfinite(logs[place]).any(axis=1).sum()
        if len(rows):
            gain = geometric_mean(np.exp(rows[:, 0]))
            values = (gain.estimate, gain.low, gain.high)
            for name, value in zip(found, values, strict=True):
                found[name][place] = value
    bytes_ = results["artifact_bytes"]
    ratio = (bytes_.sel(quantization=over, drop=True) / bytes_).transpose(*axes)
    units = {"units": "1"}
    gains = xr.Dataset(
        {name: (axes, values, units) for name, values in {**found, **counts}.items()},
        coords={axis: results[axis] for axis in axes},
    ).assign(size_ratio=ratio.assign_attrs(units))
    return as_asked(gains, asked)
