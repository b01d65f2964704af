"""Whether a cell's number is to be trusted, and if not, why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from suite.intervals import median
from suite.results.rows import CellRow, TrialFlag, TrialRow

LEAST_TRIALS = 6
"""Six is the least for a distribution-free 95 % interval of a median: 2 x 0.5^6 < 0.05."""

OF_NOISE = TrialFlag.NO_STEADY_STATE | TrialFlag.THREADS_NOT_USED | TrialFlag.CLOCK_COARSE
"""Flags that a disturbance can raise in a trial or two of a good cell; any other counts at once."""
SHARE_OF_TRIALS = 0.25
"""A flag of noise is the cell's when more than this share of its trials has it."""

REASONS = {
    "failed": "no trial ran to its end",
    "missing": "not measured yet",
    "no_steady_state": "no steady state: latencies still drifted when the warm-up reached its cap",
    "affinity_mismatch": "affinity mismatch: ran on other CPUs than it was to be pinned to",
    "threads_not_used": "threads not used: fewer threads worked than were asked for",
    "clock_coarse": "clock coarse: samples are too short for the clock",
    "output_not_finite": "output not finite: NaN or infinity among the outputs",
    "cpu_type_mismatch": "CPU type mismatch: measured on another microarchitecture than expected",
    "failed_trials": "failed trials: some trials did not run to their end",
    "output_differs": "output differs: not all trials computed the same",
    "few_trials": f"few trials: under {LEAST_TRIALS}, the least for an interval to rely on",
    "unresolved": "unresolved: the interval is wider than the precision asked for",
}
"""What can stand in a verdict, in words."""


@dataclass(frozen=True)
class Judgement:
    """A cell's status, the trials that count, and the reasons against it."""

    status: Literal["ok", "failed", "missing"]
    counted: tuple[TrialRow, ...]
    reasons: tuple[str, ...]
    error: str = ""


def judge(cell: CellRow, trials: Sequence[TrialRow], precision: float) -> Judgement:
    """Judge a cell by its trials.

    Every trial that ran to its end counts, flagged or not: to leave out what looks bad would bias
    the estimate. What is flagged is said.

    Parameters
    ----------
    precision
        Relative half-width of the 95 % interval that the run asked for.
    """
    if cell.build_error:
        return Judgement("failed", (), ("failed",), cell.build_error)
    if not trials:
        return Judgement("missing", (), ("missing",))
    # A trial may end well with nothing left after its warm-up: then it says nothing.
    counted = tuple(t for t in trials if t.status == "ok" and t.median_ns > 0)
    if not counted:
        return Judgement("failed", (), ("failed",), trials[-1].error)
    reasons = [*_flags(counted)]
    if len(counted) < len(trials):
        reasons.append("failed_trials")
    if len({trial.output_digest for trial in counted}) > 1:
        reasons.append("output_differs")
    if len(counted) < LEAST_TRIALS:
        reasons.append("few_trials")
    medians = [trial.median_ns for trial in counted]
    if not median(medians).relative_half_width <= precision:  # nor if there is no interval
        reasons.append("unresolved")
    error = next((trial.error for trial in trials if trial.status != "ok"), "")
    return Judgement("ok", counted, tuple(reasons), error)


def _flags(trials: Sequence[TrialRow]) -> list[str]:
    """Return the names of the flags that the cell as a whole deserves."""
    deserved = TrialFlag(0)
    for flag in TrialFlag:
        share = np.mean([flag in TrialFlag(trial.validity) for trial in trials])
        if share > (SHARE_OF_TRIALS if flag in OF_NOISE else 0):
            deserved |= flag
    return deserved.reasons()
