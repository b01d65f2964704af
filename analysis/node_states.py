"""What nodes were like while they measured, state by state."""

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.measured import measured
from analysis.naming import node_names

COUNTERS = {"steal_ns": "stolen_cpus", "throttled_ns": "throttled_cpus"}
"""Counters that run since boot, and how fast each grew since the state before."""


def states(path: Path | str) -> pd.DataFrame:
    """Return the states of the nodes of a run: before each round, and after a job's last one.

    Parameters
    ----------
    path
        A run's folder, or a file of results.

    Returns
    -------
    pandas.DataFrame
        A row a state, in order of time: `node` (its name, as in `analysis.open_results`), `job`,
        `round` that it precedes, `unix_ns`, `probe_ns` and `probe_least_ns` (a fixed piece of
        work), `load` (of the last minute), `frequency_hz`, `temperature_degc`, `governor`,
        `turbo`; `stolen_cpus` and `throttled_cpus`, the CPUs' worth of time that the hypervisor
        took, and that a quota withheld, since the state before in the same job. NaN is not known.

    Raises
    ------
    UserError
        If there are no results.
    """
    stored = measured(path).stored
    names = np.array([*node_names(stored), ""])
    columns = (
        *("job", "round", "unix_ns", "probe_ns", "probe_least_ns", "load", *COUNTERS),
        *("frequency_hz", "temperature_degc", "governor", "turbo"),
    )
    text = ("governor", "turbo")
    frame = pd.DataFrame(
        {
            "node": names[stored["state_node_index"]].astype(object),
            **{
                name: stored.texts(f"state_{name}")
                if name in text
                else stored[f"state_{name}"].tolist()
                for name in columns
            },
        }
    ).sort_values("unix_ns", kind="stable", ignore_index=True)
    by_job = frame.groupby(["node", "job"])
    for counter, rate in COUNTERS.items():
        frame[rate] = by_job[counter].diff() / by_job["unix_ns"].diff()
    return frame.drop(columns=[*COUNTERS])
