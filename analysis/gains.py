"""What quantization gains on each CPU type."""

import xarray as xr

from analysis.runs import as_asked, as_grid, check_cells
from analysis.speedups import hosts, over_replicates
from suite.errors import UserError, nearest


def quantization_gain(results: xr.Dataset, over: str = "float32") -> xr.Dataset:
    """Return how many times faster, and smaller, each quantization is than another.

    Trials of one round are paired; where several hosts measured both, these are the replicates,
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
        95 % t interval on logs; `replicates`, how many it is over, and `nodes`, how many hosts
        measured both; `size_ratio`, how many times smaller the artifact is. Units "1".

    Raises
    ------
    UserError
        If the results have no such quantization, no cell or no node.

    References
    ----------
    As of `analysis.speedup`.

    Examples
    --------
    >>> quantization_gain(results)["gain"].sel(quantization="int8")  # doctest: +SKIP
    """
    check_cells(results)
    asked, results = results, as_grid(results)
    known = [str(name) for name in results["quantization"].values]
    if over not in known:
        raise UserError(f"There is no quantization {over!r}.", nearest(over, known))
    axes = results["median_ns"].dims
    medians = results["trial_median_ns"].transpose(*axes, "node", "trial")
    ratios = medians.sel(quantization=over, drop=True) / medians
    gain, replicates, nodes = over_replicates(
        ratios.transpose(*medians.dims).values, hosts(results)
    )
    found = {
        "gain": gain.estimate,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "replicates": replicates,
        "nodes": nodes,
    }
    bytes_ = results["artifact_bytes"]
    ratio = (bytes_.sel(quantization=over, drop=True) / bytes_).transpose(*axes)
    units = {"units": "1"}
    gains = xr.Dataset(
        {name: (axes, values, units) for name, values in found.items()},
        coords={axis: results[axis] for axis in axes},
    ).assign(size_ratio=ratio.assign_attrs(units))
    return as_asked(gains, asked)
