"""Intervals over trials: pure functions that the stopping rule and the analysis share.

The trial is the replicate, never the invocation. Latencies are positive, and what disturbs a
machine acts on them by a factor, so intervals are Student's t on logarithms: Hoefler and Belli,
SC'15 (doi 10.1145/2807591.2807644); Kalibera and Jones, ISMM'13 (doi 10.1145/2464157.2464160).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    """Estimates and the 95 % intervals around them; all three of one shape.

    `low` and `high` are NaN for fewer than two values, the estimate for none.
    """

    estimate: Floats
    low: Floats
    high: Floats

    @property
    def relative_half_width(self) -> Floats:
        """Half the interval's width over the estimate."""
        half: Floats = (self.high - self.low) / 2 / self.estimate
        return half


def geometric_mean(values: npt.ArrayLike) -> Intervals:
    """Estimate the geometric mean along the last axis, for ratios.

    Parameters
    ----------
    values
        Shape (..., n), positive; NaN stands for no value.

    Raises
    ------
    ValueError
        If a value is not positive.
    """
    logs = _logs(values)
    centre, half = _t_interval(logs)
    return Intervals(np.exp(centre), np.exp(centre - half), np.exp(centre + half))


def median(values: npt.ArrayLike) -> Intervals:
    """Estimate the median along the last axis, for trial medians of a latency.

    The interval is the t interval on logs, widened where the median falls outside: that happens
    to skewed values, and to many values around two modes; it never lowers the coverage.

    Parameters
    ----------
    values
        Shape (..., n), positive; NaN stands for no value.

    Raises
    ------
    ValueError
        If a value is not positive.
    """
    around = geometric_mean(values)
    array = np.asarray(values, dtype=np.float64)
    estimate = np.full(array.shape[:-1], np.nan)
    known = ~np.isnan(array).all(axis=-1)
    estimate[known] = np.nanmedian(array[known], axis=-1)
    # minimum and maximum hand NaN on: a single value keeps no interval.
    return Intervals(estimate, np.minimum(around.low, estimate), np.maximum(around.high, estimate))


def relative_half_width(values: Sequence[float]) -> float:
    """Return half the width of the median's interval over the median; NaN below two values."""
    return float(median(np.asarray(values, dtype=np.float64)).relative_half_width)


def _logs(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if (array <= 0).any() or np.isinf(array).any():
        raise ValueError("an interval on logarithms needs positive, finite values")
    logs: Floats = np.log(array)
    return logs


def _t_interval(logs: Floats) -> tuple[Floats, Floats]:
    """Return the mean along the last axis and half the width of its t interval."""
    count = (~np.isnan(logs)).sum(axis=-1)
    total = np.nansum(logs, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = total / count
        deviations = np.nansum((logs - centre[..., None]) ** 2, axis=-1)
        error = np.sqrt(deviations / (count - 1) / count)
        half = stdtrit(count - 1.0, 0.5 + CONFIDENCE / 2) * error
    return centre, np.where(count >= 2, half, np.nan)
