"""What another tool has measured, in the words of a run's table, and what it lacks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LACKS = {
    "invalid": "the tool itself calls it invalid",
    "single_process": "one process: how much processes differ is unknown, so there is no interval",
    "few_processes": "fewer than six processes: the interval is less sure",
    "no_samples": "a summary alone was kept: no other can be made of it",
    "no_median": "a mean stands in for the median: slow invocations pull it",
    "rounded": "written to 0.01 ms",
    "mean_of_loops": "each value is the mean of several calls, which hide the slowest",
    "warmup_by_count": "no rule on the data has ended its warm-up",
    "placement_unknown": "on which CPUs it ran is not said",
    "threads_unknown": "how many threads it had is not said",
    "machine_unknown": "on which machine it ran is not said",
    "several_samples": "a query is several samples",
    "queueing": "latencies have the waiting for others in them",
    "no_latency": "all queries came at once: only the throughput tells",
}
"""Each thing that a measurement may lack, in words."""


class ForeignError(Exception):
    """A file is not what a tool writes; the message says why, without the file's name."""


@dataclass(frozen=True)
class Measurement:
    """One measurement of another tool; NaN where it does not tell."""

    tool: str
    name: str
    """What it calls what it measured."""
    lacks: tuple[str, ...]
    """Names in `LACKS`."""
    threads: float = math.nan
    median_ns: float = math.nan
    mean_ns: float = math.nan
    ci_low_ns: float = math.nan
    ci_high_ns: float = math.nan
    min_ns: float = math.nan
    p90_ns: float = math.nan
    p99_ns: float = math.nan
    throughput_per_s: float = math.nan
    processes: float = math.nan
    invocations: float = math.nan


def number(said: Mapping[str, Any], key: str) -> float:
    """Return a positive number that a file must have.

    Raises
    ------
    ForeignError
        If it has none.
    """
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ForeignError(f"it has no number {key!r}")
    number = as_float(value)
    if not (math.isfinite(number) and number > 0):
        raise ForeignError(f"its {key!r} is {number:g}")
    return number


def as_float(value: float) -> float:
    """Return a number of a JSON file, where whole ones have any number of digits."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def per_second(latency_ns: float) -> float:
    """Return how many invocations of a mean latency, one after the other, a second has."""
    return 1e9 / latency_ns
