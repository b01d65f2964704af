"""Memory that the instances of a trial share: what each has reached, and when queries come.

Instances tell each other in it where they are, so that no parent has to wake up while they are
timed. Each place is 8 bytes, aligned, and written by one process alone: a reader sees it as it was
or as it is.
"""

import mmap
import os
from collections.abc import Sequence
from typing import Self

from suite.load.arrivals import MOST_QUERIES
from suite.trial.protocol import SAMPLE_BYTES

END = 2**32 - 1
"""On the pipe that queries are drawn from: no more of them."""


class Board:
    """Times in ns on the clock that all processes of the machine share; 0 is not yet.

    Parameters
    ----------
    fd
        A file in memory, inherited by the instances.
    """

    def __init__(self, fd: int, instances: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _size(instances))
        places = memoryview(self._memory).cast("Q")
        self.steady = places[:instances]
        """When each instance had warmed up."""
        self.enough = places[instances : 2 * instances]
        """When each had its samples of the common window."""
        self.full = places[2 * instances : 3 * instances]
        """When the memory of each was full; 0 for one whose memory is not."""
        self.arrivals = places[3 * instances :]
        """When queries come, after the start."""

    @classmethod
    def make(cls, instances: int) -> Self:
        """Make one."""
        fd = os.memfd_create("litesweep")
        os.ftruncate(fd, _size(instances))
        return cls(fd, instances)

    @property
    def window(self) -> tuple[int, int]:
        """From when all were steady to when all had enough, or the memory of one was full."""
        full = [time for time in self.full if time]
        return max(self.steady), min(full) if full else max(self.enough)

    def lay_out(self, arrivals_ns: Sequence[int]) -> None:
        """Write when queries come."""
        for query, arrival in enumerate(arrivals_ns):
            self.arrivals[query] = arrival


def _size(instances: int) -> int:
    return SAMPLE_BYTES * (3 * instances + MOST_QUERIES)
