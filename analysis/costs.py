"""What inferences cost: core-seconds, node-hours, joules."""

import numpy as np
import xarray as xr

MILLION = 1e6
NS_PER_S = 1e9
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

        - `core_seconds_per_million` (s): the threads asked for, times the latency: what a
          scheduler bills;
        - `cpu_seconds_per_million` (s): the CPU time that was used, from the trials' effective
          parallelism;
        - `node_hours_per_million` (h): one instance has the node to itself;
        - `packed_node_hours_per_million` (h): as many instances as the node has cores for, if none
          disturbed another: a lower bound;
        - `joules_per_million` (J): from `energy_j`, joules an invocation, where there are any.

        Each that follows from the latency or the energy alone has `_low` and `_high`, from its 95 %
        interval. An invocation of a batch is as many inferences. NaN where something is not known.

    Examples
    --------
    >>> cost(results)["core_seconds_per_million"].sel(quantization="int8")  # doctest: +SKIP
    """
    dims = results["median_ns"].dims
    batch = results["batch"] if "batch" in dims else 1
    threads = results["threads"]
    instances = np.maximum(1, np.floor(_cores(results) / threads))
    found = {}
    for end, name in (("", "median_ns"), ("_low", "ci_low_ns"), ("_high", "ci_high_ns")):
        seconds = results[name] / NS_PER_S / batch * MILLION
        hours = seconds / S_PER_HOUR
        found[f"core_seconds_per_million{end}"] = (seconds * threads).assign_attrs(units="s")
        found[f"node_hours_per_million{end}"] = hours.assign_attrs(units="h")
        found[f"packed_node_hours_per_million{end}"] = (hours / instances).assign_attrs(units="h")
    parallelism = results["effective_parallelism"].median(("node", "trial"))
    used = results["median_ns"] / NS_PER_S / batch * MILLION * parallelism
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
