"""Values in segments of unequal length, all segments at once: no loop over a million of them.

Segments of one length go through numpy together. Segments of n different lengths hold n (n + 1) / 2
values at least, so that there are never many lengths for the values that there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from suite.intervals import Intervals

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SHORT = 1 << 16
LONG = 2048
"""To merge sorted stretches of more values is two to four times as fast as to sort anew."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Where segments lie in an array, one behind the other; there may be gaps between them."""

    starts: Ints
    sizes: Ints

    @classmethod
    def end_to_end(cls, sizes: npt.ArrayLike) -> "Segments":
        """Return segments that leave no gaps."""
        lengths = np.asarray(sizes, np.int64)
        return cls(lengths.cumsum() - lengths, lengths)

    @cached_property
    def numbers(self) -> Ints:
        """Of each value the segment that it is in; they lie end to end."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def joined(self, groups: "Segments") -> "Segments":
        """Return groups of these segments, as segments of the values; both lie end to end."""
        bounds = np.append(0, self.sizes.cumsum())
        starts = bounds[groups.starts]
        return Segments(starts, bounds[groups.starts + groups.sizes] - starts)

    def that(self, chosen: Bools | Ints) -> "Segments":
        """Return some of these segments."""
        return Segments(self.starts[chosen], self.sizes[chosen])

    def alike(self) -> Iterator[tuple[Ints, int]]:
        """Yield the numbers of the segments of each length, and the length; not of empty ones."""
        short = self.sizes.max(initial=0) < SHORT  # then numpy sorts by radix
        order = np.argsort(self.sizes.astype(np.uint16) if short else self.sizes, kind="stable")
        lengths, firsts = np.unique(self.sizes[order], return_index=True)
        for length, places in zip(lengths.tolist(), np.split(order, firsts[1:]), strict=False):
            if length:
                yield places, length

    def stacks(self, values: Array) -> Iterator[tuple[Ints, Array]]:
        """Yield the same, and a copy of their values, of shape (segments, length)."""
        for places, length in self.alike():
            yield places, _windows(values, length)[self.starts[places]]

    def gathered(self, values: Array) -> Array:
        """Return the values of all segments, end to end; `values` themselves where they are so."""
        ends = self.starts + self.sizes
        if len(ends) and (self.starts[1:] == ends[:-1]).all():
            return values[self.starts[0] : ends[-1]]
        packed = Segments.end_to_end(self.sizes)
        places = np.repeat(self.starts - packed.starts, self.sizes)
        places += np.arange(len(places))
        return values[places]

    def put(self, places: Ints, rows: Array, values: Array) -> None:
        """Put rows to where the segments of their numbers are in `values`."""
        _windows(values, rows.shape[1])[self.starts[places]] = rows

    def sort(self, values: Array, *, in_stretches: bool = False) -> None:
        """Sort the values of each segment, in place.

        Parameters
        ----------
        in_stretches
            Whether stretches of them are in order already.
        """
        for places, length in self.alike():
            starts = self.starts[places]
            first, last = starts[0], starts[-1] + length
            if last - first == length * len(places):
                sort(values[first:last].reshape(-1, length), in_stretches=in_stretches)
            else:
                windows = _windows(values, length)
                rows = windows[starts]
                sort(rows, in_stretches=in_stretches)
                windows[starts] = rows

    def median(self, ordered: Array) -> Floats:
        """Return the median of each segment; none is empty, and `ordered` is sorted in each."""
        low, high = (
            ordered[self.starts + place].astype(np.float64)
            for place in ((self.sizes - 1) // 2, self.sizes // 2)
        )
        found: Floats = (low + high) / 2
        return found

    def quantile(self, ordered: Array, share: npt.ArrayLike) -> Floats:
        """Return a quantile of each segment; none is empty, and `ordered` is sorted in each.

        Parameters
        ----------
        share
            From 0 to 1; several, with a dimension more.
        """
        at = (self.sizes - 1) * np.asarray(share)
        below = np.floor(at).astype(np.int64)
        above = np.minimum(below + 1, self.sizes - 1)
        return between(ordered[self.starts + below], ordered[self.starts + above], at - below)

    def at_least(self, ordered: Array, thresholds: Floats) -> Ints:
        """Return how many values of each segment are not below its threshold, by bisection."""
        low, high = np.zeros_like(self.sizes), self.sizes
        while (left := low < high).any():
            half = (low + high) // 2
            # A segment that is done is compared with something, in vain.
            value = ordered[np.minimum(self.starts + half, len(ordered) - 1)]
            below = left & (value < thresholds)
            low, high = np.where(below, half + 1, low), np.where(left & ~below, half, high)
        return self.sizes - low


def _windows(values: Array, length: int) -> Array:
    """Return every stretch of a length, without a copy: `sliding_window_view`, without its cost."""
    shape, step = (len(values) - length + 1, length), values.itemsize
    return np.ndarray(shape, values.dtype, values, strides=(step, step))


def sort(rows: Array, *, in_stretches: bool = False) -> None:
    """Sort rows, in place: what is in order in long stretches by merging these."""
    merge = in_stretches and rows.shape[1] > LONG
    rows.sort(axis=1, kind="stable" if merge else None)


def middle(ordered: Array) -> Floats:
    """Return the medians of rows that are sorted."""
    length = ordered.shape[-1]
    low, high = ordered[..., (length - 1) // 2], ordered[..., length // 2]
    found: Floats = (low.astype(np.float64) + high.astype(np.float64)) / 2
    return found


def between(low: Array, high: Array, rest: npt.ArrayLike) -> Floats:
    """Return what is `rest` of the way from one to the other, rounded as `numpy.quantile` does."""
    low, high, rest = low.astype(np.float64), high.astype(np.float64), np.asarray(rest)
    step = high - low
    found: Floats = np.where(rest >= 0.5, high - step * (1 - rest), low + step * rest)
    return found


def changes(values: Array) -> Bools:
    """Say of each value whether it is another than the one before it; the first is."""
    found = np.ones(len(values), bool)
    if values.dtype.kind == "S":  # by their bytes: as texts, numpy compares them one by one
        word = np.dtype("u8" if values.itemsize % 8 == 0 else "u1")
        shape = len(values), values.itemsize // word.itemsize
        values = np.ascontiguousarray(values).view(word).reshape(shape)
        np.any(values[1:] != values[:-1], axis=1, out=found[1:])
    else:
        np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def pooled(group: Ints, kind: Ints) -> tuple[Ints, Segments]:
    """Put what is of one kind next to each other in each group, kinds as they come first.

    Parameters
    ----------
    group
        Of each, ascending.

    Returns
    -------
    order
        The places, in that order.
    pools
        The segments of it that are of one kind in one group.
    """
    code = group * (int(kind.max(initial=0)) + 1) + kind
    _, firsts, codes, sizes = np.unique(
        code, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(firsts[codes], kind="stable")
    return order, Segments.end_to_end(sizes[np.argsort(firsts)])


def among(groups: Segments, known: Bools) -> Segments:
    """Return the groups of the values that are known, end to end as the groups are."""
    return Segments.end_to_end(np.bincount(groups.numbers[known], minlength=len(groups.sizes)))


def medians(values: Array, groups: Segments) -> Floats:
    """Return the median of each group's values; NaN where there is none, or one is NaN."""
    found = np.full(len(groups.sizes), np.nan)
    for places, rows in groups.stacks(values):
        found[places] = np.median(rows, axis=1)
    return found


def intervals(values: Array, groups: Segments, estimate: Callable[[Array], Intervals]) -> Intervals:
    """Return what is estimated of each group's values; NaN where there is none."""
    found = np.full((3, len(groups.sizes)), np.nan)
    for places, rows in groups.stacks(values):
        of_rows = estimate(rows)
        found[:, places] = of_rows.estimate, of_rows.low, of_rows.high
    return Intervals(*found)
