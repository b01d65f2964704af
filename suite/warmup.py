"""When a process has warmed up: a rule on the latencies alone, free of any clock."""

from collections.abc import Sequence

MEDIAN_TOLERANCE = 0.02
SPREAD_FACTOR = 3.0
LEAST_SPREAD_SAMPLES = 5
LEAST_WINDOW_NS = 20_000_000
SLOW_NS = 250_000_000


def window_size(latency_ns: int) -> int:
    """Return how many samples make a window for a model of about this latency.

    At least 5 and at least 20 ms of them, so that a window of a quick model is not all within one
    tick of the scheduler; 2 for a model so slow that 5 would cost more than they tell.
    """
    if latency_ns > SLOW_NS:
        return 2
    return min(500, max(LEAST_SPREAD_SAMPLES, -(-LEAST_WINDOW_NS // max(1, latency_ns))))


def windows_agree(earlier: Sequence[int], later: Sequence[int]) -> bool:
    """Say whether two adjacent windows of latencies look like one steady state.

    Their medians differ by less than 2 % or by less than the windows' own spread, and neither
    spread is more than three times the other (spreads below 2 % of the median count as equal, and
    windows of fewer than 5 samples have none to speak of).
    A variant of the rule of Georges, Buytaert and Eeckhout (OOPSLA'07, doi 10.1145/1297027.1297033)
    on robust statistics: one spike must neither end nor prolong the warm-up.

    Parameters
    ----------
    earlier, later
        Latencies in ns, not empty.
    """
    a, b = _median(earlier), _median(later)
    floor = MEDIAN_TOLERANCE * min(a, b)
    if min(len(earlier), len(later)) < LEAST_SPREAD_SAMPLES:
        return abs(a - b) <= floor
    spread_a = max(floor, _median([abs(x - a) for x in earlier]))
    spread_b = max(floor, _median([abs(x - b) for x in later]))
    if max(spread_a, spread_b) > SPREAD_FACTOR * min(spread_a, spread_b):
        return False
    return abs(a - b) <= max(spread_a, spread_b)


def _median(values: Sequence[float]) -> float:
    # The statistics module would cost the timed process several imports.
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
