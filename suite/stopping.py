"""When enough trials of a cell have been taken: rules on the trials alone, free of any clock."""

import math
from collections.abc import Sequence

from suite.intervals import relative_half_width
from suite.results.rows import TrialRow
from suite.sweep import Measure

GIVE_UP_AFTER = 2
"""A cell whose first trials all fail is given up after this many."""


def finished(trials: Sequence[TrialRow], measure: Measure) -> bool:
    """Say whether a cell needs no further trial; asked only between rounds.

    It is done at `max_trials`, or from `min_trials` on once the 95 % interval of its latency is
    within the precision asked for. The outcome of a comparison between cells never enters: that
    would bias the comparison. To look after every round favours trials that happen to lie close
    together; the interval allows for that (`suite.intervals.LOOKING`).
    """
    if len(trials) >= measure.max_trials:
        return True
    ok = [trial for trial in trials if trial.status == "ok"]
    if not ok:
        return len(trials) >= GIVE_UP_AFTER
    return len(ok) >= measure.min_trials and _half_width(ok) <= measure.precision


def trials_wanted(trials: Sequence[TrialRow], measure: Measure) -> int:
    """Estimate how many more trials a cell needs: its interval shrinks with their square root."""
    if finished(trials, measure):
        return 0
    ok = [trial for trial in trials if trial.status == "ok"]
    least = measure.min_trials - len(ok)
    if len(ok) >= 2:
        needed = math.ceil(len(ok) * (_half_width(ok) / measure.precision) ** 2)
        least = max(least, needed - len(ok))
    return max(1, min(least, measure.max_trials - len(trials)))


def imprecision(trials: Sequence[TrialRow], measure: Measure) -> float:
    """Return how many times wider a cell's interval is than asked for; infinity without one."""
    ok = [trial for trial in trials if trial.status == "ok"]
    if len(ok) < max(2, measure.min_trials):
        return math.inf
    return _half_width(ok) / measure.precision


def _half_width(trials: Sequence[TrialRow]) -> float:
    half_width = relative_half_width([trial.figure_ns for trial in trials])
    return half_width if math.isfinite(half_width) else math.inf
