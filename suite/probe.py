"""A probe: how long a fixed piece of work takes on one CPU, to see whether the node has changed."""

import hashlib
import os
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns

REPETITIONS = 11
ITERATIONS = 2000
"""Half a millisecond where the CPU has instructions for SHA-256."""


@dataclass(frozen=True)
class Probe:
    """What a fixed piece of work has taken."""

    cpu: int
    least_ns: int
    """The CPU's own speed: what disturbs it can only lengthen the work."""
    median_ns: int

    @property
    def spread(self) -> float:
        """How much longer than the least the median is, as a share of it."""
        return self.median_ns / self.least_ns - 1


def run_probe(cpu: int) -> Probe:
    """Do the work on `cpu`, repeatedly, and return what it took. Not for while a trial runs.

    The work lies in registers and first-level cache, a chain of steps that each need the one
    before: its duration is the inverse of the CPU's frequency, whatever the memory does.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        times_ns = [_work() for _ in range(REPETITIONS)]
    finally:
        os.sched_setaffinity(0, before)
    return Probe(cpu, min(times_ns), int(median(times_ns)))


def _work() -> int:
    begin = perf_counter_ns()
    hashlib.pbkdf2_hmac("sha256", b"litesweep's probe", b"of the same work", ITERATIONS)
    return perf_counter_ns() - begin
