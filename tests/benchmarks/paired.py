"""Two ways to get a number, taken in turn, and their ratio with its interval."""

from collections.abc import Callable
from dataclasses import dataclass

from suite.intervals import geometric_mean


@dataclass(frozen=True)
class Finding:
    """A ratio, the interval that it is known to, and what it was to be."""

    what: str
    ratio: float
    low: float
    high: float
    wanted: str
    pairs: int

    @classmethod
    def of(cls, what: str, wanted: str, ratios: list[float]) -> "Finding":
        """Summarise ratios of pairs: geometric mean and 95 % t interval on their logs."""
        found = geometric_mean(ratios)
        bounds = (float(found.estimate), float(found.low), float(found.high))
        return cls(what, *bounds, wanted, len(ratios))


def ratios_in_turn(a: Callable[[], float], b: Callable[[], float], pairs: int) -> list[float]:
    """Return a/b for each of `pairs`; who goes first changes, so that drift hits both alike."""
    ratios = []
    for pair in range(pairs):
        first, second = (a, b) if pair % 2 == 0 else (b, a)
        x, y = first(), second()
        ratios.append(x / y if pair % 2 == 0 else y / x)
    return ratios
