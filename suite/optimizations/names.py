"""The names on the optimization axis, as `prune@0.5+cluster@16`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from suite.errors import nearest

NONE = "none"


@dataclass(frozen=True)
class Known:
    """An optimisation that there is."""

    turn: int
    """Its place in a chain: what comes later must not undo what came before."""
    parameter: str = ""
    """What stands behind the @; empty for those that take nothing."""
    least: float = 0.0
    most: float = 0.0
    whole: bool = False


OPTIMIZATIONS: Mapping[str, Known] = {
    "fine-tune": Known(0, "times that it is trained on", 1, 9, True),
    "low-rank": Known(1, "share of a layer's weights that its factors have", 0.05, 0.95),
    "prune": Known(2, "share of the weights that become zero", 0.01, 0.99),
    "deep-compression": Known(2),
    "cluster": Known(3, "values that the weights of a kernel share", 2, 256, True),
    "ternary": Known(3),
}
"""Each is in the module of its name."""


@dataclass(frozen=True)
class Step:
    """One optimisation of a chain."""

    name: str
    parameter: float | None

    def __str__(self) -> str:
        return self.name if self.parameter is None else f"{self.name}@{self.parameter:g}"


def steps(text: str) -> tuple[Step, ...]:
    """Read a chain; "none" has no steps.

    Raises
    ------
    ValueError
        If there is no such optimisation, a parameter is missing or out of range, or the order is
        one in which a step undoes another.
    """
    if text == NONE:
        return ()
    chain = tuple(_step(part.strip()) for part in text.split("+"))
    for before, after in pairwise(chain):
        if OPTIMIZATIONS[before.name].turn >= OPTIMIZATIONS[after.name].turn:
            raise ValueError(
                f"{text!r}: {after} would undo {before}. The order is fine-tune, low-rank, "
                "prune, then cluster or ternary, each at most once"
            )
    return chain


def canonical(text: str) -> str:
    """Return the one spelling of a chain; raise as `steps` does."""
    return "+".join(map(str, steps(text))) or NONE


def _step(text: str) -> Step:
    name, at, value = text.partition("@")
    known = OPTIMIZATIONS.get(name)
    if known is None:
        raise ValueError(
            f"there is no optimization {name!r}. {nearest(name, (NONE, *OPTIMIZATIONS))}"
        )
    if not known.parameter:
        if at:
            raise ValueError(f"{text!r}: {name} takes no parameter")
        return Step(name, None)
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not known.least <= number <= known.most or (known.whole and number % 1):
        kind = "whole number" if known.whole else "number"
        raise ValueError(
            f"{text!r}: write {name}@ and a {kind} from {known.least:g} to {known.most:g}, the "
            f"{known.parameter}"
        )
    return Step(name, number)
