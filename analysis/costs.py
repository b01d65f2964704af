"""What inferences cost: core-seconds, node-hours, joules."""

import numpy as np
import xarray as xr

from analysis.runs import check_cells, check_trials

MILLION = 1e6
S_PER_HOUR = 3600.0


def cost(results: xr.Dataset) -> xr.Dataset:
    """Return what a million inferences cost in each cell.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes:

        - `core_seconds_per_million` (s): the threads asked for, of all instances, over the
          throughput (for one instance that is times the latency): what a scheduler bills;
        - `cpu_seconds_per_million` (s): the CPU time that was used, from the trials' effective
          parallelism;
        - `node_hours_per_million` (h): the cell's instances have the node to themselves;
        - `packed_node_hours_per_million` (h): as many such cells as the node has cores for, if none
          disturbed another: a lower bound;
        - `joules_per_million` (J): from `energy_j`, joules an invocation, where there are any.

        Each that follows from the throughput or the energy alone has `_low` and `_high`, from its
        95 % interval. An invocation of a batch is as many inferences. NaN where something is not
        known.

    Raises
    ------
    UserError
        If there is no cell or no node to be asked about.

    Examples
    --------
    >>> cost(results)["core_seconds_per_million"].sel(quantization="int8")  # doctest: +SKIP
    """
    check_trials(results)
    check_cells(results)
    dims = results["median_ns"].dims
    # Where a selection has fixed an axis, its value still counts.
    batch = results.coords.get("batch", 1)
    threads = results["threads"] * results.coords.get("instances", 1)
    instances = np.maximum(1, np.floor(_cores(results) / threads))
    found = {}
    ends = (("", "throughput_per_s"), ("_low", "throughput_high_per_s"))
    for end, name in (*ends, ("_high", "throughput_low_per_s")):
        seconds = MILLION / results[name]
        hours = seconds / S_PER_HOUR
        found[f"core_seconds_per_million{end}"] = (seconds * threads).assign_attrs(units="s")
        found[f"node_hours_per_million{end}"] = hours.assign_attrs(units="h")
        found[f"packed_node_hours_per_million{end}"] = (hours / instances).assign_attrs(units="h")
    parallelism = results["effective_parallelism"].median(("node", "trial"))
    used = MILLION / results["throughput_per_s"] * parallelism
    found["cpu_seconds_per_million"] = used.assign_attrs(units="s")
    if "energy_j" in results and results["energy_j"].notnull().any():
        for end in ("", "_low", "_high"):
            joules = results[f"energy{end}_j"] / batch * MILLION
            found[f"joules_per_million{end}"] = joules.assign_attrs(units="J")
    return xr.Dataset({name: values.transpose(*dims) for name, values in found.items()})


def _cores(results: xr.Dataset) -> xr.DataArray:
    """Return the physical cores of the nodes that measured each cell; their least, if they differ.

    NaN where they are not known.
    """
    cores = results["cores"].where(results["cores"] > 0)
    measured = results["trial_median_ns"].notnull().any("trial")
    return cores.where(measured).min("node")
