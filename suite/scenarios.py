"""The names on the scenario axis: how invocations come, as MLPerf Inference has the words.

Reddi et al., arXiv 1911.02549, section III.
"""

import re
from dataclasses import dataclass

from suite.errors import nearest

SINGLE_STREAM = "single-stream"
"""Each invocation begins when the one before has ended; what counts is its latency."""
OFFLINE = "offline"
"""All invocations are there at once; what counts is how many are done in a second."""
SERVER = "server"
"""Invocations come at random, as those of many users do (a Poisson process), and wait for their
turn. `server@50/s` has them come at that rate; `server@20ms` looks for the highest rate at which
99 % of them are done within that time of their coming."""

_SERVER = re.compile(r"server@([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(/s|us|ms|s)")
_UNITS_NS = {"us": 1e3, "ms": 1e6, "s": 1e9}


@dataclass(frozen=True)
class Scenario:
    """How invocations come."""

    kind: str
    """`SINGLE_STREAM`, `OFFLINE` or `SERVER`."""
    rate_per_s: float | None = None
    """Of a server whose rate is given."""
    bound_ns: float | None = None
    """Of a server whose highest rate is searched: the most that the 99th percentile may be."""


def parse(name: str) -> Scenario:
    """Read a name on the axis.

    Raises
    ------
    ValueError
        If it is none.
    """
    if name in (SINGLE_STREAM, OFFLINE):
        return Scenario(name)
    match = _SERVER.fullmatch(name)
    if not match or not float(match[1]):
        hint = nearest(name, (SINGLE_STREAM, OFFLINE, SERVER))
        if name.startswith(SERVER):
            hint = "Write 'server@50/s' for a rate, 'server@20ms' for a bound at p99."
        raise ValueError(f"there is no scenario {name!r}. {hint}")
    if match[2] == "/s":
        return Scenario(SERVER, rate_per_s=float(match[1]))
    return Scenario(SERVER, bound_ns=float(match[1]) * _UNITS_NS[match[2]])


def canonical(name: str) -> str:
    """Return `name` as it is always written: one scenario has one name.

    Raises
    ------
    ValueError
        If it is none.
    """
    parse(name)
    if match := _SERVER.fullmatch(name):
        return f"{SERVER}@{float(match[1]):.15g}{match[2]}"
    return name
