"""Axes that came later than others, and where a cell is on them that says nothing else."""

from collections.abc import Mapping

from suite.optimizations.names import NONE
from suite.runtimes.names import LITERT, XNNPACK
from suite.scenarios import SINGLE_STREAM

LATER_AXES: Mapping[str, str | int] = {
    "optimization": NONE,
    "resolution": 0,
    "batch": 1,
    "instances": 1,
    "scenario": SINGLE_STREAM,
    "runtime": LITERT,
    "delegate": XNNPACK,
}
"""Results have such an axis as soon as one of their cells is elsewhere on it."""
