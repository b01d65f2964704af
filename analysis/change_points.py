"""Step changes in a series of runs. The run is the replicate: how runs differ is learnt from runs.

A series of logs is tested for a step, one mean before and another after (Worsley, J. Am. Stat.
Assoc. 74, 1979: the largest two-sample t over all places, by Bonferroni's bound), and for a stretch
whose mean differs from that of all else (Levin and Kline, Stat. Med. 4, 1985; Olshen et al.,
Biostatistics 5, 2004, circular binary segmentation), so that a slower week that was mended is found
too. Where one is found, its parts are searched in turn (binary segmentation), each at its share of
the level: without any change, a step is found in no more series than the level says.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from analysis.differences import ALPHA

LEAST_RUNS = 4
"""Of fewer, no step could ever be told from noise."""
LEAST_SEGMENT = 2
"""A single run that is off the others may be an outlier: a change is told by two in a row."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segments:
    """A series cut where its mean changes.

    `starts` has the first place of each segment, 0 among them.
    """

    starts: tuple[int, ...]
    means: tuple[float, ...]
    counts: tuple[int, ...]
    error: float
    """Standard deviation of a single run around the mean of its segment."""
    freedom: int

    def of(self, place: int) -> int:
        """Return the segment that a place is in."""
        return int(np.searchsorted(self.starts, place, side="right")) - 1

    def between(self, a: int, b: int, alpha: float = ALPHA) -> tuple[float, float, float]:
        """Return the difference of the means of segments b and a, and its interval's ends.

        A segment differs from itself by 0, about which there is nothing to estimate: NaN.
        """
        if a == b:
            return 0.0, math.nan, math.nan
        difference = self.means[b] - self.means[a]
        spread = self.error * math.sqrt(1 / self.counts[a] + 1 / self.counts[b])
        half = float(stdtrit(self.freedom, 1 - alpha / 2)) * spread
        return difference, difference - half, difference + half


def first_p_value(values: Floats) -> float:
    """Return the chance of such a change anywhere in a series that has none; NaN for too few."""
    return _search(values)[0] if len(values) >= LEAST_RUNS else math.nan


def segments(values: Floats, alpha: float) -> Segments:
    """Cut a series where its mean changes, at a level: none of the values is NaN.

    Parameters
    ----------
    alpha
        Chance, at most, of finding a step where there is none.
    """
    starts = (0, *sorted({*_steps(values, 0, alpha)}))
    parts = np.split(values, starts[1:])
    means = tuple(float(part.mean()) for part in parts)
    counts = tuple(map(len, parts))
    freedom = len(values) - len(parts)
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    error = math.sqrt(squares / freedom) if freedom else math.nan
    return Segments(starts, means, counts, error, freedom)


def _steps(values: Floats, offset: int, alpha: float) -> Iterator[int]:
    if len(values) < LEAST_RUNS:
        return
    p_value, cuts = _search(values)
    if not p_value <= alpha:
        return
    yield from (offset + cut for cut in cuts)
    ends = [0, *cuts, len(values)]
    for start, end in pairwise(ends):
        yield from _steps(values[start:end], offset + start, alpha / (len(ends) - 1))


def _search(values: Floats) -> tuple[float, list[int]]:
    """Return the p value of the likeliest change, and where it cuts the series."""
    count = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    total = float(((values - values.mean()) ** 2).sum())
    start, end = np.triu_indices(count + 1, 1)
    length = end - start
    long_enough = (length >= LEAST_SEGMENT) & (count - length >= LEAST_SEGMENT)
    step = (start == 0) & long_enough
    stretch = (start > 0) & (end < count) & long_enough
    # Of all that is around: how far the mean of a part is from that of the rest.
    found: list[tuple[float, list[int]]] = []
    for kind in (step, stretch):
        inside, size = sums[end[kind]] - sums[start[kind]], length[kind]
        between = inside**2 * count / (size * (count - size))
        if not len(between):
            continue
        best = int(between.argmax())
        explained = min(float(between[best]), total)
        p_value = _p_value(explained, total - explained, count - 2)
        cuts = [int(cut) for cut in (start[kind][best], end[kind][best]) if 0 < cut < count]
        # Two kinds of change share the level, and so do all the places of each.
        found.append((min(1.0, 2 * int(kind.sum()) * p_value), cuts))
    return min(found)


def _p_value(explained: float, left: float, freedom: int) -> float:
    if left <= 1e-12 * explained:
        return 0.0 if explained > 0 else 1.0
    return 2 * float(stdtr(freedom, -math.sqrt(explained * freedom / left)))
