"""Quantiles of values that lie in two sorted halves: they are found without merging the halves."""

from dataclasses import dataclass

import numpy as np

from analysis.segments import Array, Bools, Floats, Ints, Segments, between


@dataclass(frozen=True, eq=False)
class TwoSorted:
    """Many unions, each of two segments whose values are in order; one of the two may be empty."""

    values: Array
    one: Segments
    other: Segments

    @classmethod
    def of(cls, values: Array, parts: Segments, unions: Segments) -> "TwoSorted":
        """Return unions of parts that are in order.

        Parameters
        ----------
        values
            Are changed where a union has more than two parts.
        parts
            Where each part's values are.
        unions
            Which parts are a union's; both lie end to end.
        """
        counts = np.stack([(unions.sizes + 1) // 2, unions.sizes // 2], axis=1).ravel()
        halves = parts.joined(Segments.end_to_end(counts))
        halves.that(counts > 1).sort(values, in_stretches=True)
        first = np.arange(0, len(counts), 2)
        return cls(values, halves.that(first), halves.that(first + 1))

    def that(self, chosen: Bools | Ints) -> "TwoSorted":
        """Return some of these unions."""
        return TwoSorted(self.values, self.one.that(chosen), self.other.that(chosen))

    def quantile(self, share: float) -> Floats:
        """Return a quantile of each union; none is empty."""
        sizes = self.one.sizes + self.other.sizes
        at = (sizes - 1) * share
        rank = np.floor(at).astype(np.int64)
        taken = self._of_the_least(rank)
        below, above = self._next(taken, rank - taken)
        return between(below, np.where(rank + 1 < sizes, above, below), at - rank)

    def _of_the_least(self, rank: Ints) -> Ints:
        """Return how many of the `rank` least values are in the first half, by bisection."""
        low: Ints = np.maximum(0, rank - self.other.sizes)
        high: Ints = np.minimum(rank, self.one.sizes)
        last = len(self.values) - 1
        while (left := low < high).any():
            half = (low + high) // 2
            # A union that is done compares something, in vain.
            there = self.values[np.minimum(self.one.starts + half, last)]
            beside = self.values[np.minimum(self.other.starts + rank - half - 1, last)]
            more = left & (there < beside)
            low, high = np.where(more, half + 1, low), np.where(left & ~more, half, high)
        return low

    def _next(self, taken: Ints, of_other: Ints) -> tuple[Array, Array]:
        """Return the two least of the values behind those that are taken from the halves."""
        first, second = _at(self.values, self.one, taken), _at(self.values, self.other, of_other)
        ours = first <= second
        behind = np.minimum(
            _at(self.values, self.one, taken + ours), _at(self.values, self.other, of_other + ~ours)
        )
        return np.minimum(first, second), behind


def _at(values: Array, segments: Segments, place: Ints) -> Array:
    """Return the value at a place of each segment; behind its end, what no value exceeds."""
    top = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else np.inf
    there = values[np.minimum(segments.starts + place, len(values) - 1)]
    found: Array = np.where(place < segments.sizes, there, values.dtype.type(top))
    return found
