"""The highest rate that instances can serve with a bound on the latency's 99th percentile.

A run at a rate says how long each of its queries has kept an instance. With these times, and the
same arrivals at another rate, the queue there can be computed (common random numbers: the 99th
percentile then rises with the rate). So each run tells the rate at which the bound would just be
held, and the next run is made there. The search ends when the runs that tell of no higher rate than
the best that has held lead those that do by `LEAD`: where service times do not hang on the rate and
nothing disturbs a run, that is the second or the third. What is reported has been run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from suite.load.arrivals import arrivals_ns
from suite.load.queueing import QUANTILE, Served, ends_ns, is_overloaded

TOLERANCE = 0.02
MOST_RUNS = 12
LEAD = 2
"""Runs that tell of no higher rate, beyond those that tell of one: one run may be disturbed."""
RECENT = 5
"""Runs that are asked: the rates of earlier ones are too far away."""
FIRST_SHARE = 0.7
"""Of the rate that instances could serve without a pause: where the first run is made."""
LEAST_SHARE = 0.02
"""Of that rate: a query then hardly ever waits for another."""
MOST_SHARE = 0.99
"""Of that rate: close to it queues are so long that a run ends before a loose bound is broken."""
STEPS = 24
"""Halvings of the span of rates on a log scale: to a millionth of it."""

Serve = Callable[[float], Served]
"""Runs the queries at a rate; each call the same ones."""


class UnattainableError(ValueError):
    """No rate, however low, holds the bound."""


@dataclass(frozen=True)
class Found:
    """The highest rate that held the bound, and the run that showed it."""

    rate_per_s: float
    served: Served
    run: int
    """Which of the runs, from 0."""
    runs: int
    converged: bool
    """Whether a run, or the computed queue, tells that `TOLERANCE` more would not hold."""


def search(
    serve: Serve,
    service_ns: float,
    instances: int,
    bound_ns: float,
    *,
    may_run: Callable[[float], bool] = lambda rate: True,
) -> Found:
    """Find the highest rate at which 99 % of the queries are done within a bound of their coming.

    Parameters
    ----------
    serve
        Runs the queries at a rate per second.
    service_ns
        How long a query takes, roughly.
    bound_ns
        The most that the 99th percentile may be.
    may_run
        Asked before each run but the first: whether there is the time for one at that rate.

    Raises
    ------
    UnattainableError
        If one query alone takes longer than the bound, or one in a hundred does; if no run has held
        the bound.
    """
    if service_ns > bound_ns:
        raise UnattainableError(
            f"one invocation alone takes {_ms(service_ns)}, more than the bound of {_ms(bound_ns)}"
        )
    rate = FIRST_SHARE * instances * 1e9 / service_ns
    best: Found | None = None
    told: list[float] = []
    reason = ""
    runs = 0
    while runs < MOST_RUNS and (not runs or may_run(rate)):
        served = serve(rate)
        runs += 1
        holds = served.tail_ns() <= bound_ns and not is_overloaded(served, rate, instances)
        if holds and (best is None or rate > best.rate_per_s):
            best = Found(rate, served, runs - 1, runs, converged=False)
        told = [*told, highest_rate(served, rate, instances, bound_ns)][-RECENT:]
        more = [each for each in told if best is None or each > best.rate_per_s * (1 + TOLERANCE)]
        if best and len(told) - 2 * len(more) >= LEAD:
            return Found(best.rate_per_s, best.served, best.run, runs, converged=True)
        if not holds and not told[-1]:
            if reason:  # twice: it is no moment's disturbance
                break
            reason = _why(served, bound_ns)
        wanted = min(more, default=best.rate_per_s if best else 0.0)
        rate = wanted if holds else min(wanted, rate * (1 - TOLERANCE / 2)) or rate / 4
    if best is None:
        raise UnattainableError(reason or f"no rate that was run held the bound of {_ms(bound_ns)}")
    return Found(best.rate_per_s, best.served, best.run, runs, converged=False)


def highest_rate(served: Served, rate_per_s: float, instances: int, bound_ns: float) -> float:
    """Return the rate at which queries that take as long as those served would just hold a bound.

    Parameters
    ----------
    rate_per_s
        The rate that they were served at.

    Returns
    -------
    float
        0 if not even `LEAST_SHARE` of what the instances can serve holds it.
    """
    occupied_ns = served.occupied_ns
    unit = served.arrival_ns.astype(np.float64) * (rate_per_s / 1e9)

    def holds(rate: float) -> bool:
        arrivals = arrivals_ns(unit, rate)
        latency = ends_ns(arrivals, occupied_ns, instances) - arrivals
        return bool(np.quantile(latency, QUANTILE) <= bound_ns)

    capacity = instances * 1e9 / occupied_ns.mean()
    low, high = LEAST_SHARE * capacity, MOST_SHARE * capacity
    if holds(high):
        return float(high)
    if not holds(low):
        return 0.0
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(low)


def _why(served: Served, bound_ns: float) -> str:
    """Say why no rate holds a bound."""
    alone_ns = float(np.quantile(served.occupied_ns, QUANTILE))
    if alone_ns > bound_ns:
        said = f"one invocation in a hundred takes {_ms(alone_ns)} alone"
        return f"{said}, more than the bound of {_ms(bound_ns)}"
    return f"no rate above {LEAST_SHARE:.0%} of what can be served holds {_ms(bound_ns)}"


def _ms(time_ns: float) -> str:
    return f"{time_ns / 1e6:.3g} ms"
