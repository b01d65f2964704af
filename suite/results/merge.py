"""Merge results of one run: the union of their rows, whatever came how often and in which order."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from suite.errors import UserError
from suite.results.normal import (
    DIMENSIONS,
    KINDS,
    Row,
    id_of,
    in_order,
    normal,
    results_of,
    rows_of,
)
from suite.results.rows import Results

JOB_PREFIX = "job_"
"""Provenance that begins so is of one job, and differs between the shards of a run."""


class MergeConflictError(UserError):
    """Two results contradict each other.

    Parameters
    ----------
    what
        The thing that both have: a dimension and the row's id, or "provenance".
    differences
        What differs, and a short form of either's value.
    """

    def __init__(self, what: str, differences: Mapping[str, tuple[str, str]]) -> None:
        pairs = "; ".join(f"{name} is {a} and {b}" for name, (a, b) in differences.items())
        super().__init__(
            f"These results contradict each other in {what}: {pairs}.",
            "Only what one run has left can be merged, and each of its files as it was written.",
        )
        self.differences = differences


def merge(results: Iterable[Results]) -> Results:
    """Return the union of `results`, in normal form.

    It does not depend on the order of `results`, nor on how often a row is in them. Their
    provenance must agree, except for keys that begin with "job_": those become the sorted lines of
    all jobs.

    Raises
    ------
    MergeConflictError
        If two rows of one id differ, or the provenance does.
    ValueError
        If there are no results at all, or they do not fit together.
    """
    parts = list(results)
    if not parts:
        raise ValueError("there is nothing to merge")
    everything = [rows_of(part) for part in parts]
    rows = {d: _union(d, chain.from_iterable(rows[d] for rows in everything)) for d in DIMENSIONS}
    return in_order(results_of(rows, _union_of_provenance([part.provenance for part in parts])))


def _union(dimension: str, rows: Iterable[Row]) -> Iterable[Row]:
    known: dict[str, Row] = {}
    for row in rows:
        first = known.setdefault(id_of(row), row)
        if first is not row and (differences := _differences(first, row)):
            raise MergeConflictError(f"{dimension} {id_of(row)!r}", differences)
    return known.values()


def _differences(first: Row, second: Row) -> dict[str, tuple[str, str]]:
    first, second = normal(first), normal(second)
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in KINDS[type(first)]}
    return {name: (_short(a), _short(b)) for name, (a, b) in pairs.items() if not _same(a, b)}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return repr(a) == repr(b)  # unlike ==, it takes NaN for NaN, and -0.0 for another than 0.0


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.size} samples that begin {value[:3].tolist()}"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "…"


def _union_of_provenance(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    merged = {}
    for key in sorted(set().union(*parts)):
        if key.startswith(JOB_PREFIX):
            lines = {line for part in parts for line in part.get(key, "").split("\n")}
            merged[key] = "\n".join(sorted(filter(None, lines)))
            continue
        values = {part.get(key) for part in parts}
        if len(values) > 1:
            a, b, *_ = sorted(map(_short, values))
            raise MergeConflictError("provenance", {key: (a, b)})
        merged[key] = parts[0][key]
    return merged
