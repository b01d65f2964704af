"""Merge results of one run: the union of their rows, whatever came how often and in which order."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from suite.errors import UserError
from suite.results.columns import (
    MEDIAN_NS,
    SAMPLES_START,
    Array,
    Columns,
    Pile,
    Spool,
    columns_of,
    id_name,
    rows_at,
    rows_in,
    with_figures,
)
from suite.results.normal import KINDS, Row
from suite.results.order import ordered
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
        self._of = what
        self.differences = differences

    def __reduce__(self) -> tuple[Any, ...]:  # for it may come from another process
        return type(self), (self._of, self.differences)


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
    parts = map(with_figures, map(columns_of, results))
    return rows_in(united(parts, Spool(io.BytesIO())))


def united(parts: Iterable[Columns], spool: Spool) -> Columns:
    """Return the union of `parts`, as `merge` does; its samples are in `spool`."""
    return ordered(_without_twins(piled(parts, spool)))


def piled(parts: Iterable[Columns], spool: Spool) -> Columns:
    """Put `parts`, which have figures, one under the other, and unite their provenance.

    Each part is let go of before the next is asked for.
    """
    pile, provenance = Pile(spool), _Provenance()
    for part in parts:
        pile.add(part)
        provenance.add(part.provenance)
    if not provenance.parts:
        raise ValueError("there is nothing to merge")
    return pile.columns(provenance.union())


def _without_twins(columns: Columns) -> Columns:
    for dimension, table in columns.tables.items():
        number: dict[str, int] = {}
        ids = table[id_name(dimension)].tolist()
        first = np.array([number.setdefault(id_, n) for n, id_ in enumerate(ids)], "i8")
        is_twin = first != np.arange(len(ids))
        if is_twin.any():
            twins = np.flatnonzero(is_twin)
            _check_same(columns, dimension, first[twins], twins)
            table.update({name: column[~is_twin] for name, column in table.items()})
    return columns


def _check_same(columns: Columns, dimension: str, first: Array, second: Array) -> None:
    table = columns.tables[dimension]
    compared = [column for name, column in table.items() if name not in (MEDIAN_NS, SAMPLES_START)]
    differ = np.any([_differ(column[first], column[second]) for column in compared], axis=0)
    for one in np.flatnonzero(differ)[:1]:
        rows = rows_at(columns, dimension, np.array([first[one], second[one]]))
        raise MergeConflictError(
            f"{dimension} {table[id_name(dimension)][first[one]]!r}", _differences(*rows)
        )


def _differ(a: Array, b: Array) -> Array:
    if a.dtype == object:
        return np.array(a != b, bool)
    # By their bits: unlike !=, it takes NaN for NaN, and -0.0 for another than 0.0.
    shape = (len(a), a.dtype.itemsize)
    unlike = a.view("u1").reshape(shape) != b.view("u1").reshape(shape)
    return np.asarray(unlike.any(axis=1))


def _differences(first: Row, second: Row) -> dict[str, tuple[str, str]]:
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in KINDS[type(first)]}
    return {name: (_short(a), _short(b)) for name, (a, b) in pairs.items() if not _same(a, b)}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return repr(a) == repr(b)


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.size} samples that begin {value[:3].tolist()}"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "…"


class _Provenance:
    """The provenance of parts that come one by one."""

    def __init__(self) -> None:
        self.parts = 0
        self._lines: dict[str, set[str]] = {}
        self._values: dict[str, Counter[str | None]] = {}

    def add(self, provenance: Mapping[str, str]) -> None:
        self.parts += 1
        for key, value in provenance.items():
            if key.startswith(JOB_PREFIX):
                self._lines.setdefault(key, set()).update(value.split("\n"))
            else:
                self._values.setdefault(key, Counter())[value] += 1

    def union(self) -> dict[str, str]:
        merged = {key: "\n".join(sorted({*lines} - {""})) for key, lines in self._lines.items()}
        for key, count in sorted(self._values.items()):
            if count.total() < self.parts:
                count[None] += 1
            if len(count) > 1:
                a, b, *_ = sorted(map(_short, count))
                raise MergeConflictError("provenance", {key: (a, b)})
            merged[key] = str(next(iter(count)))
        return dict(sorted(merged.items()))
