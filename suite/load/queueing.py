"""The queue before a server's instances: first come, first served."""

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from suite.load.arrivals import Times

QUANTILE = 0.99


@dataclass(frozen=True)
class Served:
    """What became of queries, in the order of their arrival; times in ns from one zero."""

    arrival_ns: Times
    begin_ns: Times
    end_ns: Times
    instance: npt.NDArray[np.int64]
    """Which of the instances has served each."""

    @property
    def latency_ns(self) -> Times:
        """From the arrival that was scheduled, so that a late start is not left out."""
        return self.end_ns - self.arrival_ns

    @property
    def occupied_ns(self) -> Times:
        """How long each query has kept an instance from the next: from its arrival, or from when
        that instance was free.
        """
        free = np.full(len(self.end_ns), np.iinfo(np.int64).min)
        for number in np.unique(self.instance):
            mine = np.flatnonzero(self.instance == number)
            free[mine[1:]] = self.end_ns[mine[:-1]]
        occupied: Times = self.end_ns - np.maximum(self.arrival_ns, free)
        return occupied

    def tail_ns(self) -> float:
        """Return the 99th percentile of the latency."""
        return float(np.quantile(self.latency_ns, QUANTILE))

    def load(self, rate_per_s: float, instances: int) -> float:
        """Return the share of the instances' time that queries of this rate ask for.

        From 1 on, the queue grows for as long as queries come.
        """
        return float(rate_per_s * self.occupied_ns.mean() / 1e9 / instances)


def ends_ns(arrival_ns: Times, service_ns: Times, instances: int) -> Times:
    """Return when each query is done, if the first that is free takes the next one.

    For one instance Lindley's recursion (Proc. Camb. Phil. Soc. 48, 1952), for more that of Kiefer
    and Wolfowitz (Trans. Am. Math. Soc. 78, 1955).

    Parameters
    ----------
    arrival_ns
        Ascending.
    service_ns
        How long each query keeps an instance.
    """
    free = [0] * instances
    ends = np.empty(len(arrival_ns), np.int64)
    for query, (arrival, service) in enumerate(
        zip(arrival_ns.tolist(), service_ns.tolist(), strict=True)
    ):
        end = max(arrival, free[0]) + service
        heapq.heapreplace(free, end)
        ends[query] = end
    return ends


def is_overloaded(served: Served, rate_per_s: float, instances: int) -> bool:
    """Say whether queries came faster than the instances could serve them."""
    return served.load(rate_per_s, instances) >= 1
