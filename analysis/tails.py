"""Tails of latency: p90 and p99, where there is the evidence that they need.

MLPerf's early stopping rule (MLPerf Inference Rules, appendix "Early Stopping Criterion", and
LoadGen's early_stopping.cc; Reddi et al., arXiv 1911.02549): of q independent queries let t be the
largest count with I(p; q - t, t + 1) <= 1 - c, where I is the regularized incomplete beta function
and c = 99 % the confidence; discard the t - 1 slowest and report the slowest that is left. It is an
upper confidence bound of the percentile, so few queries read high, never low. Below 64 queries p90
has none, below 662 p99.

Invocations of one trial are alike, so they count as fewer: by the design effect of their shares
above the percentile between trials, and by Student's t for the few trials that it was estimated
from (Korn and Graubard, Survey Methodology 24, 1998, for the same interval in clustered samples).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, ndtri, stdtrit

from analysis.segments import Array, Floats, Ints, Segments

CONFIDENCE = 0.99
"""That the true percentile is not above what is reported, as in MLPerf."""


@dataclass(frozen=True)
class Tail:
    """A percentile of latency in ns; NaN, and what it lacks, where it is not known."""

    value_ns: float
    lack: str = ""


def tail(nodes: Sequence[Sequence[npt.ArrayLike]], quantile: float) -> Tail:
    """Return a percentile of a cell's latency that holds on each of its nodes.

    Trials are pooled on each node, and the slowest node's percentile is the cell's: nodes differ,
    and a tail that one of them hides is no promise about the others.

    Parameters
    ----------
    nodes
        For each node, for each of its trials, the latencies in ns after the warm-up.
    quantile
        As 0.99.

    Examples
    --------
    >>> tail([[range(1, 101)] * 9], 0.9)
    Tail(value_ns=94.0, lack='')
    >>> tail([[range(1, 101)] * 9], 0.99).lack
    'needs 1027 invocations, has 900'
    """
    sorted_trials = [np.sort(np.asarray(trial, np.float64)) for node in nodes for trial in node]
    if not sorted_trials:
        return Tail(np.nan)
    by_trial = np.concatenate(sorted_trials)
    trials = Segments.end_to_end([len(trial) for trial in sorted_trials])
    pools = Segments.end_to_end([len(node) for node in nodes])
    by_node = by_trial.copy()
    trials.joined(pools).sort(by_node)
    of_nodes = tails(by_trial, by_node, trials, pools, quantile)
    (value_ns,), (lack,) = slowest(*of_nodes, Segments.end_to_end([len(nodes)]))
    return Tail(float(value_ns), lack)


def tails(
    by_trial: Array, by_pool: Array, trials: Segments, pools: Segments, quantile: float
) -> tuple[Floats, Ints, Ints]:
    """Return the same of many pools, each of trials of one cell on one node.

    Parameters
    ----------
    by_trial, by_pool
        The latencies, sorted within each trial, and within each pool.
    trials
        Where a trial's latencies are.
    pools
        Which trials are a pool's.

    Returns
    -------
    value_ns
        The percentile; NaN where it is not known.
    has, needs
        How many latencies there are, and how many it would take: 0 where it is known, and -1 where
        it takes another trial.
    """
    of_pools = trials.joined(pools)
    value_ns = np.full(len(pools.sizes), np.nan)
    needs = np.full(len(pools.sizes), -1)
    enough = np.flatnonzero((pools.sizes > 1) & (of_pools.sizes > 0))
    thresholds = np.full(len(pools.sizes), np.nan)
    whole = of_pools.that(enough)
    thresholds[enough] = whole.quantile(by_pool, quantile)
    over = trials.at_least(by_trial, thresholds[pools.numbers])
    independent = _effective(trials.sizes, over, pools)[enough]
    discarded = overlatencies(independent, quantile)
    known = discarded > 0
    share = discarded[known] / independent[known]
    behind = np.maximum(1, np.floor(share * whole.sizes[known]).astype(np.int64))
    ends = (whole.starts + whole.sizes)[known]
    value_ns[enough[known]] = by_pool[ends - behind]
    needed = np.ceil(queries_needed(quantile) * whole.sizes / independent)
    needs[enough] = np.where(known, 0, needed)
    return value_ns, of_pools.sizes, needs


def slowest(
    value_ns: Floats, has: Ints, needs: Ints, cells: Segments
) -> tuple[Floats, npt.NDArray[np.object_]]:
    """Return of each cell the slowest pool's percentile, or what the first that lacks it lacks.

    Parameters
    ----------
    cells
        Which pools are a cell's; one at least.
    """
    pools = np.arange(len(needs))
    first = np.minimum.reduceat(np.where(needs != 0, pools, len(needs)), cells.starts)
    lacking = first < len(needs)
    lacks = np.full(len(cells.sizes), "", object)
    lacks[lacking] = [
        f"needs {needed} invocations, has {there}" if needed > 0 else "needs 2 trials, has 1"
        for needed, there in zip(needs[first[lacking]], has[first[lacking]], strict=True)
    ]
    return np.where(lacking, np.nan, np.maximum.reduceat(value_ns, cells.starts)), lacks


def overlatency(queries: float, quantile: float) -> int:
    """Return how many of so many independent queries may exceed the percentile; 0: too few.

    Examples
    --------
    >>> overlatency(63, 0.9), overlatency(64, 0.9), overlatency(24576, 0.9)
    (0, 1, 2348)
    """
    return int(overlatencies(np.array([queries]), quantile)[0])


def overlatencies(queries: Floats, quantile: float) -> Ints:
    """Return the same of many, by bisection: the more exceed it, the less sure it is."""
    low = np.zeros(len(queries), np.int64)
    high = np.maximum(1, np.ceil(queries * (1 - quantile)).astype(np.int64)) - 1
    while (low < high).any():
        half = (low + high + 1) // 2
        passes = betainc(queries - half, half + 1, quantile) <= 1 - CONFIDENCE
        low, high = np.where(passes, half, low), np.where(passes, high, half - 1)
    return low


@cache
def queries_needed(quantile: float) -> int:
    """Return the least number of independent queries from which a percentile can be told.

    Examples
    --------
    >>> queries_needed(0.9), queries_needed(0.99)
    (64, 662)
    """
    queries = np.arange(2, math.ceil(10 / (1 - quantile)))
    passes = betainc(queries - 1, 2, quantile) <= 1 - CONFIDENCE
    return int(queries[passes.argmax()])


def effective_count(trials: Sequence[npt.ArrayLike], threshold_ns: float) -> float:
    """Return how many independent invocations tell as much of the share above a latency.

    The variance of that share over two trials or more, as clusters, over what independent
    invocations would have (the design effect, at least 1), and the loss to estimating it.
    """
    arrays = [np.asarray(trial) for trial in trials]
    sizes = np.array([len(trial) for trial in arrays])
    over = np.array([(trial >= threshold_ns).sum() for trial in arrays])
    return float(_effective(sizes, over, Segments.end_to_end([len(arrays)]))[0])


def _effective(sizes: Ints, over: Ints, pools: Segments) -> Floats:
    """Return the same of many pools from the sizes of trials and what exceeds in each."""
    found = np.full(len(pools.sizes), np.nan)
    for places, columns in pools.stacks(np.arange(len(sizes))):
        clusters = columns.shape[1]
        if clusters < 2:
            continue
        size, exceeding = sizes[columns], over[columns]
        count = size.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # no invocations, or no variance
            share = exceeding.sum(axis=1) / count
            off = ((exceeding - size * share[:, None]) ** 2).sum(axis=1)
            between = clusters / (clusters - 1) * off / count**2
            alone = share * (1 - share) / count
            design_effect = np.where(alone > 0, np.maximum(1.0, between / alone), 1.0)
        of_few_trials = (stdtrit(clusters - 1, CONFIDENCE) / ndtri(CONFIDENCE)) ** 2
        found[places] = count / design_effect / of_few_trials
    return found
