"""What several instances do in the time that they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suite.load.arrivals import Times


@dataclass(frozen=True)
class Timeline:
    """The samples of one instance, one behind the other, on the clock that all share, in ns."""

    end_ns: Times
    duration_ns: Times

    @property
    def begin_ns(self) -> Times:
        """When each began."""
        return self.end_ns - self.duration_ns

    def within(self, begin_ns: int, end_ns: int) -> Times:
        """Return the durations of the samples that lie wholly in a window."""
        inside = (self.begin_ns >= begin_ns) & (self.end_ns <= end_ns)
        return self.duration_ns[inside]

    def work(self, begin_ns: int, end_ns: int) -> float:
        """Return how many samples were done in a window; those at its edges by their share."""
        overlap = np.minimum(self.end_ns, end_ns) - np.maximum(self.begin_ns, begin_ns)
        shares = np.maximum(overlap, 0) / np.maximum(self.duration_ns, 1)
        return float(shares.sum())


def rate_per_s(instances: Sequence[Timeline], begin_ns: int, end_ns: int) -> float:
    """Return how many samples a second instances have done together in a window."""
    work = sum(timeline.work(begin_ns, end_ns) for timeline in instances)
    return work / (end_ns - begin_ns) * 1e9
