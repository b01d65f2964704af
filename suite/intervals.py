"""Intervals over trials: pure functions that the stopping rule and the analysis share.

The trial is the replicate, never the invocation: Hoefler and Belli, SC'15 (doi
10.1145/2807591.2807644); Kalibera and Jones, ISMM'13 (doi 10.1145/2464157.2464160).

Trial medians have outliers and more than one mode, and a t interval then misses their median (in
docs/trust.md: more than a third of the time where trials have two speeds). So the interval of a
median is that of order statistics, which asks nothing of the distribution. Ratios of neighbours are
far better behaved: theirs is Student's t on logarithms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, stdtrit

CONFIDENCE = 0.95
LOOKING = 0.965
"""Confidence at which the interval of a median is computed, to hold the median 95 times in 100 of a
cell that may stop after any round: such a cell stops when its trials happen to lie close together.
By the simulation in docs/trust.md."""
LEAST_TRIALS = 6
"""Six is the least for a distribution-free 95 % interval of a median: 2 x 0.5^6 < 0.05."""

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

    The interval is between order statistics, interpolated on logs (Hettmansperger and Sheather,
    Statistics & Probability Letters 4, 1986, doi 10.1016/0167-7152(86)90021-0). Below six values
    there is none of that kind, and the t interval on logs, widened to hold the median, stands in.

    Parameters
    ----------
    values
        Shape (..., n), positive; NaN stands for no value.

    Raises
    ------
    ValueError
        If a value is not positive.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)  # NaN last
    counts = (~np.isnan(ordered)).sum(axis=-1)
    found = np.full((3, *counts.shape), np.nan)
    for count in np.unique(counts[counts > 0]):
        among = ordered[counts == count][:, :count]
        middle = np.median(among, axis=-1)
        low, high = _between_order(among) if count >= LEAST_TRIALS else _around(among)
        # minimum and maximum hand NaN on: a single value keeps no interval.
        found[:, counts == count] = middle, np.minimum(low, middle), np.maximum(high, middle)
    return Intervals(*found)


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


def _around(values: Floats) -> tuple[Floats, Floats]:
    found = geometric_mean(values)
    return found.low, found.high


def _between_order(ordered: Floats) -> tuple[Floats, Floats]:
    """Return the interval of the median of ascending values, shape (..., n)."""
    _logs(ordered)
    depth, share = _depth(ordered.shape[-1])
    low = ordered[..., depth - 1] ** (1 - share) * ordered[..., depth] ** share
    high = ordered[..., -depth] ** (1 - share) * ordered[..., -depth - 1] ** share
    return low, high


@cache
def _depth(count: int) -> tuple[int, float]:
    """Return the order statistic that bounds the interval, and the way from it to the next one.

    The interval from the d-th smallest to the d-th largest holds the median with the probability
    1 - 2 P(B < d) for B binomial; d is the largest for which that is enough.
    """

    def confidence(depth: int) -> float:
        return float(1 - 2 * bdtr(depth - 1, count, 0.5))

    depth = max([1, *(d for d in range(1, count // 2 + 1) if confidence(d) >= LOOKING)])
    wide, narrow = confidence(depth), confidence(depth + 1)
    excess = (wide - LOOKING) / (wide - narrow)
    return depth, (count - depth) * excess / (depth + (count - 2 * depth) * excess)
