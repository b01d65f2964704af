"""What a cell's invocations tell beside their medians: least, spread and tails."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analysis.tails import Tail, tail
from suite.results.rows import TrialRow

QUANTILES = {"p90": 0.90, "p99": 0.99}

INVOCATION_VARIABLES = {"min_ns": "ns", "spread": "1", **{f"{name}_ns": "ns" for name in QUANTILES}}
"""Over the invocations of all trials after their warm-up; `spread` is their interquartile range
over their median."""


BLOCKS = 10
"""Of a trial's invocations. Few and long, since neighbours are alike; enough for a variance."""


def steady(trial: TrialRow) -> npt.NDArray[np.uint64]:
    """Return a trial's samples after its warm-up, in ns."""
    return trial.latency_ns[trial.warmup_count :]


def of_invocations(trials: Sequence[TrialRow]) -> dict[str, float | str]:
    """Return the `INVOCATION_VARIABLES` of a cell, and what each percentile lacks."""
    if not trials:
        return {}
    nodes: dict[str, list[npt.NDArray[np.uint64]]] = {}
    for trial in trials:
        nodes.setdefault(trial.node_id, []).append(steady(trial))
    pooled = np.concatenate([kept for of_node in nodes.values() for kept in of_node])
    lower, middle, upper = np.quantile(pooled, [0.25, 0.5, 0.75])
    found: dict[str, float | str] = {"min_ns": pooled.min(), "spread": (upper - lower) / middle}
    loops = max(trial.inner_loops for trial in trials)
    # The slowest invocation hides in the mean of many.
    of_means = Tail(np.nan, f"each sample is the mean of {loops} invocations")
    for name, quantile in QUANTILES.items():
        known = of_means if loops > 1 else tail([*nodes.values()], quantile)
        found |= {f"{name}_ns": known.value_ns, f"{name}_lack": known.lack}
    return found


def median_error(latency_ns: npt.ArrayLike) -> float:
    """Return the relative standard error of a trial's median that its own invocations account for.

    Invocations that follow each other are alike, so the spread of single ones tells too little.
    The medians of about `BLOCKS` stretches of them vary by what outlasts single invocations too
    (batch means: Law and Kelton, Simulation Modeling and Analysis, 9.5.3). What outlasts a stretch
    is not seen here, and counts as the trial's.

    Parameters
    ----------
    latency_ns
        Latencies in order of execution, after the warm-up.

    Returns
    -------
    float
        On the scale of logarithms; NaN for fewer than two invocations.
    """
    latencies = np.asarray(latency_ns, np.float64)
    if len(latencies) < 2:
        return float("nan")
    length = max(1, len(latencies) // BLOCKS)
    count = len(latencies) // length
    # What does not fill a stretch is left out, at the end.
    blocks = latencies[: count * length].reshape(count, length)
    logs = np.log(np.maximum(np.median(blocks, axis=1), 1))
    return float(np.std(logs, ddof=1) / np.sqrt(count))
