"""Whether nodes of one CPU type are alike."""

import numpy as np
import xarray as xr

from analysis.runs import check_trials
from suite.intervals import geometric_mean

ROBUST_Z = 3.5
"""Beyond it a value is an outlier: Iglewicz and Hoaglin, 1993."""
SD_OF_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
LEAST_NODES = 5
"""Of fewer, no median absolute deviation tells which one is the outlier."""
LEAST_EFFECT = 0.01
"""Less than one percent is nobody's concern, however alike the other nodes are."""


def node_variability(results: xr.Dataset) -> xr.Dataset:
    """Return how much slower or faster each node is than is usual for its CPU type.

    In each cell a node's trials are set against the median of the nodes that measured it, as the
    ratio of latencies; over the cells of one round the geometric mean is taken, so that rounds are
    the replicates.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.

    Returns
    -------
    xarray.Dataset
        Over `cpu_type` and `node` (and `run`, where there are several): `effect` (1.05: 5 %
        slower than is usual) with `effect_low` and `effect_high`, its 95 % interval over rounds;
        `cells`, how many it shares with other nodes; `robust_z`, the distance from the nodes'
        median in robust standard deviations; `outlier`, whether that exceeds 3.5 and the effect
        1 %, among 5 nodes or more. Over `cpu_type`: `spread`, the robust standard deviation of the
        effects between nodes. Units "1"; NaN where nothing is known.

    References
    ----------
    Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993: the modified z-score.

    Examples
    --------
    >>> nodes = node_variability(results)  # doctest: +SKIP
    >>> nodes["node"][nodes["outlier"].sel(cpu_type="skylake")]  # doctest: +SKIP
    """
    check_trials(results)
    medians = results["trial_median_ns"]
    logs = medians.copy(data=np.log(medians.values))
    of_nodes = logs.mean("trial")
    shared = of_nodes.notnull().sum("node") > 1
    away: xr.DataArray = (logs - of_nodes.median("node")).where(shared)
    keep = [dim for dim in ("run", "cpu_type", "node") if dim in away.dims]
    cells = [str(dim) for dim in away.dims if dim not in (*keep, "trial")]
    rounds = away.mean(cells).transpose(*keep, "trial")
    found = geometric_mean(np.exp(rounds.values))
    like = rounds.sum("trial")
    effect = like.copy(data=found.estimate)
    log_effect = like.copy(data=np.log(found.estimate))
    off = log_effect - log_effect.median("node")
    spread = SD_OF_MAD * abs(off).median("node")
    with np.errstate(divide="ignore", invalid="ignore"):
        z = off / spread
    enough = effect.notnull().sum("node") >= LEAST_NODES
    variables = {
        "effect": effect,
        "effect_low": like.copy(data=found.low),
        "effect_high": like.copy(data=found.high),
        "cells": away.notnull().any("trial").sum(cells).transpose(*keep),
        "robust_z": z.where(enough),
        "spread": spread,
    }
    outlier = enough & (abs(z) > ROBUST_Z) & (abs(off) > np.log1p(LEAST_EFFECT))
    return xr.Dataset(
        {name: values.assign_attrs(units="1") for name, values in variables.items()}
    ).assign(outlier=outlier)
