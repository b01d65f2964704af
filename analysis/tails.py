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

CONFIDENCE = 0.99
"""That the true percentile is not above what is reported, as in MLPerf."""

Floats = npt.NDArray[np.float64]


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
    tails = [_on_node([np.asarray(t, np.float64) for t in trials], quantile) for trials in nodes]
    lacking = next((found for found in tails if found.lack), None)
    return lacking or max(tails, key=lambda found: found.value_ns, default=Tail(np.nan))


def _on_node(trials: Sequence[Floats], quantile: float) -> Tail:
    pooled = np.sort(np.concatenate(trials))
    if len(trials) < 2:
        return Tail(np.nan, "needs 2 trials, has 1")
    independent = effective_count(trials, float(np.quantile(pooled, quantile)))
    over = overlatency(independent, quantile)
    if not over:
        needed = math.ceil(queries_needed(quantile) * len(pooled) / independent)
        return Tail(np.nan, f"needs {needed} invocations, has {len(pooled)}")
    return Tail(float(pooled[-max(1, math.floor(over / independent * len(pooled)))]))


def overlatency(queries: float, quantile: float) -> int:
    """Return how many of so many independent queries may exceed the percentile; 0: too few.

    Examples
    --------
    >>> overlatency(63, 0.9), overlatency(64, 0.9), overlatency(24576, 0.9)
    (0, 1, 2348)
    """
    counts = np.arange(1, max(1, math.ceil(queries * (1 - quantile))))
    passes = betainc(queries - counts, counts + 1, quantile) <= 1 - CONFIDENCE
    return int(passes.sum())


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


def effective_count(trials: Sequence[Floats], threshold_ns: float) -> float:
    """Return how many independent invocations tell as much of the share above a latency.

    The variance of that share over two trials or more, as clusters, over what independent
    invocations would have (the design effect, at least 1), and the loss to estimating it.
    """
    sizes = np.array([len(trial) for trial in trials])
    over = np.array([(trial >= threshold_ns).sum() for trial in trials])
    count, clusters = sizes.sum(), len(trials)
    share = over.sum() / count
    between = clusters / (clusters - 1) * ((over - sizes * share) ** 2).sum() / count**2
    alone = share * (1 - share) / count
    design_effect = max(1.0, between / alone) if alone else 1.0
    of_few_trials = (stdtrit(clusters - 1, CONFIDENCE) / ndtri(CONFIDENCE)) ** 2
    return float(count / design_effect / of_few_trials)
