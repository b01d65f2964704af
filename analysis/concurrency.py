"""What several instances of a model do to each other: one by one, and all together."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from analysis.measured import measured
from analysis.runs import check_cells, check_trials
from analysis.speedups import between
from suite.errors import UserError
from suite.results.normal import KINDS
from suite.results.rows import InstanceRow

COLUMNS = {
    name: name.removeprefix("instance_")
    for name in KINDS[InstanceRow]
    if name not in ("instance_id", "instance_trial_id", "instance_number")
}
"""Of a row, and what they are called beside `instance`."""


def instances(path: Path | str) -> pd.DataFrame:
    """Return what each process of each trial has done.

    Parameters
    ----------
    path
        A run's folder, or a file of results.

    Returns
    -------
    pandas.DataFrame
        A row for each: the cell's place on the axes, `node`, `round`, `trial_id`, `instance` (its
        number), `cpus`, `warmup` and `samples` (how many), `median_ns`, `parallelism` and
        `peak_rss_bytes`. No row of cells with one instance that is invoked back to back.

    Raises
    ------
    UserError
        If there are no results.

    Examples
    --------
    >>> of_trials = instances("runs/served").groupby("trial_id")  # doctest: +SKIP
    >>> of_trials["median_ns"].max() / of_trials["median_ns"].min()  # doctest: +SKIP
    """
    of = measured(path)
    stored = of.stored
    trial = stored["instance_trial_index"]
    cell = of.trials.cell[trial]
    columns = {
        **{
            axis: np.array(values)[place[cell]]
            for (axis, values), place in zip(of.axes.items(), of.places, strict=True)
        },
        "node": np.array(of.nodes, object)[of.trials.node[trial]],
        "round": of.trials.round[trial],
        "trial_id": np.array(stored.texts("trial_id"), object)[trial],
        # "instances" is an axis, and "instance" one of them.
        "instance": stored["instance_number"].tolist(),
        **{
            called: stored.texts(name) if name == "instance_cpus" else stored[name].tolist()
            for name, called in COLUMNS.items()
        },
    }
    return pd.DataFrame(columns)


def instance_scaling(results: xr.Dataset) -> xr.Dataset:
    """Return how throughput grows with the number of instances, and what memory they take.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them, of a sweep with an axis `instances`.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes: `throughput_ratio`, the throughput over that of one instance, with
        `throughput_ratio_low` and `throughput_ratio_high` (geometric mean over pairs of trials of
        one round, and its 95 % interval, as in `analysis.speedup`); `efficiency`, the same over the
        number of instances, with `_low` and `_high`: 1 where none disturbs another; and
        `peak_rss_bytes`, the memory of all. NaN where there is no cell with one instance.

    Raises
    ------
    UserError
        If the sweep has no axis `instances`; if there is no cell or no node.

    References
    ----------
    As of `analysis.speedup`.

    Examples
    --------
    >>> scaled = instance_scaling(results)  # doctest: +SKIP
    >>> scaled["efficiency"].sel(model="resnet50", threads=1)  # doctest: +SKIP
    """
    check_trials(results)
    check_cells(results)
    if "instances" not in results["status"].dims:
        raise UserError(
            "There is no axis 'instances' in these results.",
            "Give it several values, 1 among them, under [axes].",
        )
    # Time for each example, so that more throughput is a higher ratio.
    over_one = between(1 / _done_per_s(results), results, instances=1)
    found = {}
    for end in ("", "_low", "_high"):
        ratio = over_one[f"ratio{end}"]
        found[f"throughput_ratio{end}"] = ratio
        found[f"efficiency{end}"] = (ratio / results["instances"]).transpose(*ratio.dims)
    for name, values in found.items():
        found[name] = values.assign_attrs(units="1")
    return xr.Dataset({**found, "peak_rss_bytes": results["peak_rss_bytes"]})


def _done_per_s(results: xr.Dataset) -> xr.DataArray:
    """Return the throughput of trials by what was done in a time, that of one instance too.

    What one does back to back is told by its median elsewhere, which pauses do not move.
    """
    wall_s = results["sampling_wall_ns"] / 1e9
    alone = results["window_ns"].isnull() & (wall_s > 0)
    done_per_s = results["trial_invocations"] * results.coords.get("batch", 1) / wall_s
    rates: xr.DataArray = results["trial_throughput_per_s"].where(~alone, done_per_s)
    return rates
