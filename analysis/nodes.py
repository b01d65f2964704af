"""Whether nodes of one CPU type are alike."""

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import stdtrit

from analysis.runs import check_cells, check_trials
from suite.intervals import CONFIDENCE, geometric_mean

FREEDOM_OF_MAD = 0.6
"""Degrees of freedom that a node more gives to the median absolute deviation, so that of 5 to 3000
nodes whose effects are normal none is an outlier in 95 of 100 cases (by simulation)."""
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
        median in robust standard deviations; `outlier`, whether that exceeds what the farthest of
        so many nodes that are alike is off in 95 of 100 cases, the effect 1 %, and its interval
        excludes the nodes' median, among 5 nodes or more. Over `cpu_type`: `spread`, the robust
        standard deviation of the effects between nodes. Units "1"; NaN where nothing is known.

    Raises
    ------
    UserError
        If there is no cell or no node to be asked about.

    References
    ----------
    Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993: the modified z-score. What it
    must exceed is Student's t, by Bonferroni's bound, for how little few nodes tell of its scale.

    Examples
    --------
    >>> nodes = node_variability(results)  # doctest: +SKIP
    >>> nodes["node"][nodes["outlier"].sel(cpu_type="skylake")]  # doctest: +SKIP
    """
    check_trials(results)
    check_cells(results)
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
    effect, low, high = (like.copy(data=v) for v in (found.estimate, found.low, found.high))
    log_effect = like.copy(data=np.log(found.estimate))
    off = log_effect - log_effect.median("node")
    spread = SD_OF_MAD * abs(off).median("node")
    with np.errstate(divide="ignore", invalid="ignore"):
        z = off / spread
    nodes = effect.notnull().sum("node")
    enough = nodes >= LEAST_NODES
    farthest = xr.apply_ufunc(_farthest, nodes.where(enough))
    variables = {
        "effect": effect,
        "effect_low": low,
        "effect_high": high,
        "cells": away.notnull().any("trial").sum(cells).transpose(*keep),
        "robust_z": z.where(enough),
        "spread": spread,
    }
    usual = effect.median("node")
    apart = (low > usual) | (high < usual)
    outlier = (abs(z) > farthest) & (abs(off) > np.log1p(LEAST_EFFECT)) & apart
    return xr.Dataset(
        {name: values.assign_attrs(units="1") for name, values in variables.items()}
    ).assign(outlier=outlier)


def _farthest(nodes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far the farthest of so many nodes is off, in robust standard deviations."""
    chance = 1 - (1 - CONFIDENCE) / 2 / nodes
    found: npt.NDArray[np.float64] = stdtrit(FREEDOM_OF_MAD * (nodes - 1), chance)
    return found
