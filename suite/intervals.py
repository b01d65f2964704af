"""Intervals over trials: pure functions that the stopping rule and the analysis share.

The trial is the replicate. Latencies are positive and multiplicative (what slows a machine slows
everything by a factor), so intervals are t intervals on logs: Hoefler and Belli, SC'15
(doi 10.1145/2807591.2807644); Kalibera and Jones, ISMM'13 (doi 10.1145/2464157.2464160).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it; `low` and `high` are NaN for fewer than 2 values."""

    estimate: float
    low: float
    high: float


def log_t_interval(values: Sequence[float] | npt.NDArray[np.float64]) -> Interval:
    """Return the geometric mean of positive `values` and its 95 % t interval on their logs.

    Raises
    ------
    ValueError
        If there is no value, or one is not positive and finite.
    """
    logs = _logs(values)
    centre = float(logs.mean())
    if len(logs) < 2:
        return Interval(math.exp(centre), math.nan, math.nan)
    quantile = float(stdtrit(len(logs) - 1, 0.5 + CONFIDENCE / 2))
    half = quantile * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return Interval(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def relative_half_width(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return half the width of the interval over its estimate; NaN for fewer than 2 values.

    Raises
    ------
    ValueError
        As `log_t_interval`.
    """
    interval = log_t_interval(values)
    return (interval.high - interval.low) / 2 / interval.estimate


def _logs(values: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("an interval needs at least one value")
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("an interval on logs needs positive, finite values")
    return np.log(array)
