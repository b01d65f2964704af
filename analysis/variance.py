"""Where the variation of a cell's latency comes from: nodes, trials, invocations.

Kalibera and Jones, ISMM'13 (doi 10.1145/2464157.2464160): the level that varies most is the one to
repeat. All on logarithms, so that a component is a relative standard deviation.
"""

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.naming import host_of
from analysis.runs import check_cells, check_trials

LEVELS = ("node", "trial", "invocation")

Floats = npt.NDArray[np.float64]


def components(results: xr.Dataset) -> xr.Dataset:
    """Split the variance of each cell's latency into its levels.

    Nested analysis of variance of the logs of trial medians, trials within nodes, by the method of
    moments for unequal counts (Searle, Casella and McCulloch, Variance Components, 1992, chapter
    3); what the trials' own invocations account for (`trial_median_error`) is taken off the trial
    level.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes, relative standard deviations of unit "1": `node_sd` of nodes,
        `trial_sd` of trials on one node, `invocation_sd` of single invocations such that the
        median of n of them has the error `invocation_sd / sqrt(n)` although they are alike. NaN
        where a level is not replicated. `nodes`, `trials`, `invocations` are the counts in all.
        `negative` names the levels whose estimate came out negative, which is less than the level
        below it explains, and is given as 0.

    Raises
    ------
    UserError
        If there is no cell or no node to be asked about.

    Examples
    --------
    >>> components(results)["trial_sd"].sel(threads=1)  # doctest: +SKIP
    """
    check_trials(results)
    check_cells(results)
    axes = results["median_ns"].dims
    hosts = np.array([host_of(node) for node in results["node"].values])
    by_cell = results.transpose(*axes, "node", "trial")
    logs = np.log(by_cell["trial_median_ns"].values)
    errors = by_cell["trial_median_error"].values
    counts = by_cell["trial_invocations"].values
    names = [*(f"{level}_sd" for level in LEVELS), *(f"{level}s" for level in LEVELS), "negative"]
    shape = results["median_ns"].shape
    found = {name: np.full(shape, "" if name == "negative" else np.nan, object) for name in names}
    for place in np.ndindex(shape):
        for name, value in _of_cell(logs[place], errors[place], counts[place], hosts).items():
            found[name][place] = value
    numeric = {
        name: (axes, values.astype(np.float64), {"units": "1"})
        for name, values in found.items()
        if name != "negative"
    }
    coords = {name: results[name] for name in axes}
    return xr.Dataset({**numeric, "negative": (axes, found["negative"])}, coords)


def _of_cell(
    logs: Floats, errors: Floats, counts: Floats, hosts: npt.NDArray[np.str_]
) -> dict[str, float | str]:
    """Return the components of one cell; arrays are of shape (node, trial), NaN for no trial."""
    groups = [logs[hosts == host] for host in dict.fromkeys(hosts)]
    groups = [kept for group in groups if len(kept := group[~np.isnan(group)])]
    sizes = np.array([len(group) for group in groups])
    nodes, trials = len(groups), int(sizes.sum())
    own = errors**2  # variance of each trial's median by its invocations
    variances = {
        "node": np.nan,
        "trial": np.nan,
        "invocation": _mean(own * counts),
    }
    if trials > nodes:
        within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (trials - nodes)
        variances["trial"] = within - np.nan_to_num(_mean(own))
        if nodes > 1:
            means = np.array([group.mean() for group in groups])
            total = (sizes * means).sum() / trials
            between = (sizes * (means - total) ** 2).sum() / (nodes - 1)
            typical = (trials - (sizes**2).sum() / trials) / (nodes - 1)
            variances["node"] = (between - within) / typical
    return {
        **{f"{level}_sd": np.sqrt(np.maximum(0, v)) for level, v in variances.items()},
        "nodes": nodes,
        "trials": trials,
        "invocations": float(np.nansum(counts)),
        "negative": " ".join(level for level, v in variances.items() if v < 0),
    }


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
