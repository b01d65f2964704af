"""When a server's queries come, and how many of them make a trial."""

import math

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

QUERIES = 662
"""From so many independent queries a 99th percentile can be told with 99 % confidence, by MLPerf's
early stopping (`analysis.tails.queries_needed`)."""
LEAST_QUERIES = 100
"""Below, a 99th percentile is not even among the latencies."""
MOST_QUERIES = 12_000
"""A pipe of Linux holds them, at 4 bytes each, while nobody reads, and 4096 signs of the end."""
LEAST_NS = 2_000_000_000
"""Queries come for at least this long: a short run's queue is that of its luck."""


def unit_arrivals(queries: int, seed: int) -> npt.NDArray[np.float64]:
    """Return so many arrivals of a Poisson process of rate 1, ascending.

    They fall within exactly as much time as they take on average: a Poisson process given its
    count, whose rate is then what it is called. Multiplied by another mean gap, the same arrivals
    come at another rate: common random numbers.

    Parameters
    ----------
    queries
        How many.
    seed
        The same seed, the same arrivals.
    """
    gaps = np.random.default_rng(seed).exponential(size=queries + 1)
    arrivals: npt.NDArray[np.float64] = gaps[:-1].cumsum() * (queries / gaps.sum())
    return arrivals


def arrivals_ns(unit: npt.NDArray[np.float64], rate_per_s: float) -> Times:
    """Return arrivals of rate 1 at another rate, in ns."""
    return np.round(unit * (1e9 / rate_per_s)).astype(np.int64)


def query_count(rate_per_s: float, least_ns: float, allowed_ns: float) -> int:
    """Return how many queries of a rate are to come.

    As many as a 99th percentile asks for and no fewer than come in `least_ns`, if they come within
    `allowed_ns`; at least `LEAST_QUERIES`, whatever they take.
    """
    wanted = max(QUERIES, math.ceil(rate_per_s * max(LEAST_NS, least_ns) / 1e9))
    possible = max(LEAST_QUERIES, math.floor(rate_per_s * allowed_ns / 1e9))
    return min(wanted, possible, MOST_QUERIES)
