"""How much two sets of trials differ, as a log ratio with its error, and what is to be made of it.

Student's t on logarithms throughout (Hoefler and Belli, SC'15, doi 10.1145/2807591.2807644);
families of comparisons by Holm (Scand. J. Stat. 6, 1979).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from suite.errors import UserError

ALPHA = 0.05
"""Chance, at most, that any of a family's differences is called where there is none."""
MOST_REPLICATES = 1000
"""What needs more than so many replicates is not going to be decided."""

Floats = npt.NDArray[np.float64]


def check_threshold(threshold: float) -> None:
    """Raise a UserError where a threshold is none: below 0, or no number."""
    if not 0 <= threshold < math.inf:
        raise UserError(
            f"The threshold {threshold:g} is no relative difference.", "Give one, as 0.01."
        )


@dataclass(frozen=True)
class Difference:
    """The log of a ratio, known from replicates; its error is NaN where they are too few."""

    log_ratio: float
    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom of the error."""
    replicates: int
    """Trials, or nodes, on the side that has fewer."""

    @property
    def p_value(self) -> float:
        """Chance of a log ratio as far from 0 where there is no difference; NaN if unknown."""
        if self.error == 0:
            return float(self.log_ratio == 0)
        return 2 * float(stdtr(self.freedom, -abs(self.log_ratio) / self.error))

    def half_width(self, alpha: float) -> float:
        """Return half the width of the interval of level 1 - alpha, on logs."""
        return float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error


def paired(log_ratios: npt.ArrayLike) -> Difference:
    """Return the difference that log ratios of pairs tell: one or more, none of them NaN."""
    values = np.asarray(log_ratios, np.float64)
    count = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Difference(float(values.mean()), error, count - 1, count)


def unpaired(a: npt.ArrayLike, b: npt.ArrayLike) -> Difference:
    """Return the difference of logs `b` to logs `a` without pairs (Welch, Biometrika 34, 1947)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    log_ratio, least = float(b.mean() - a.mean()), min(len(a), len(b))
    if least < 2:
        return Difference(log_ratio, math.nan, math.nan, least)
    of_a, of_b = (float(side.var(ddof=1)) / len(side) for side in (a, b))
    total = of_a + of_b
    if not total:
        return Difference(log_ratio, 0.0, len(a) + len(b) - 2, least)
    freedom = total**2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return Difference(log_ratio, math.sqrt(total), freedom, least)


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Return the alpha that Holm's procedure tests each hypothesis of a family at.

    The smallest p value of m at alpha / m, the next at alpha / (m - 1), until one fails; all that
    are left at that one's. So a hypothesis is rejected just where the interval at its level
    excludes it. NaN is not of the family, and stays NaN.
    """
    levels = [math.nan] * len(p_values)
    ranked = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    left, failed = len(ranked), False
    for p, place in ranked:
        levels[place] = alpha / left
        failed = failed or p > levels[place]
        left -= not failed
    return levels


def outcome(
    difference: Difference, alpha: float, threshold: float, floor: Callable[[Floats], Floats]
) -> tuple[str, float]:
    """Say what a difference amounts to, and how many further replicates would decide it.

    Parameters
    ----------
    alpha
        Of the interval that a difference is called by, as Holm's procedure has it. To say `same`
        is no discovery, and takes the interval of `ALPHA` however many are compared.
    threshold
        What matters, on logs.
    floor
        What a cell seems to differ from itself by, on logs, with so many times the replicates; NaN
        for not known. A difference counts beyond the larger of this and the threshold.

    Returns
    -------
    outcome
        `slower` or `faster` where the interval excludes no difference and the estimate is beyond
        the limit; `same` where the whole interval is within the limit, unless it excludes no
        difference and goes beyond the threshold; `undecided` otherwise.
    more
        0 where it is decided, infinity beyond `MOST_REPLICATES`: the least number with which, if
        estimate and spread stay what they are, it would be. Chance has it either way, so that
        about half of the cells will need more.
    """
    counts = np.arange(difference.replicates, MOST_REPLICATES + 1, dtype=np.float64)
    growth = counts / difference.replicates
    corrected, plain = (
        stdtrit(difference.freedom * growth, 1 - of / 2) * difference.error / np.sqrt(growth)
        for of in (alpha, ALPHA)
    )
    limits = np.fmax(threshold, floor(growth))
    distance = abs(difference.log_ratio)
    differs = (distance > limits) & (corrected < distance)
    same = distance + plain <= np.where(plain < distance, threshold, limits)
    decided = differs | same
    if not decided.any():
        return "undecided", math.inf
    more = int(decided.argmax())
    if more:
        return "undecided", more
    if same[0]:
        return "same", 0
    return ("slower" if difference.log_ratio > 0 else "faster"), 0
