"""The normal form of results: one content has one spelling and one order."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt

from suite.results.rows import (
    ArtifactRow,
    CellRow,
    Column,
    Expanded,
    IndexOf,
    InstanceRow,
    NodeRow,
    OperatorRow,
    Ragged,
    Results,
    StateRow,
    TrialRow,
)
from suite.text import harmless

Kind = Column | IndexOf | Expanded | Ragged
Row = CellRow | ArtifactRow | NodeRow | TrialRow | StateRow | InstanceRow | OperatorRow
AnyRow = TypeVar("AnyRow", bound=Row)

DIMENSIONS: Mapping[str, type[Row]] = {
    "cell": CellRow,
    "artifact": ArtifactRow,
    "node": NodeRow,
    "trial": TrialRow,
    "state": StateRow,
    "instance": InstanceRow,
    "operator": OperatorRow,
}
"""`Results` holds the rows of each under its plural."""

KINDS: Mapping[type, Mapping[str, Kind]] = {
    row_type: {
        name: hint.__metadata__[0]
        for name, hint in get_type_hints(row_type, include_extras=True).items()
    }
    for row_type in DIMENSIONS.values()
}
"""How each field of each type of row is stored; the first field is the row's id."""


RANGES = {
    dtype: range(np.iinfo(dtype).min, np.iinfo(dtype).max + 1) for dtype in ("i4", "i8", "u4", "u8")
}
"""The whole numbers that each type holds."""


def rows_of(results: Results) -> dict[str, tuple[Any, ...]]:
    """Return the rows of `results` by dimension."""
    return {dimension: getattr(results, f"{dimension}s") for dimension in DIMENSIONS}


def results_of(rows: Mapping[str, Iterable[Any]], provenance: Mapping[str, str]) -> Results:
    """Return the results with these rows by dimension: the inverse of `rows_of`."""
    return Results(**{f"{d}s": tuple(rows[d]) for d in DIMENSIONS}, provenance=provenance)


def id_of(row: Row) -> str:
    """Return what no other row of the dimension has."""
    return str(getattr(row, next(iter(KINDS[type(row)]))))


def axes_of(cells: Iterable[CellRow]) -> tuple[str, ...]:
    """Return the names of the axes, in order; none where there is no cell.

    Raises
    ------
    ValueError
        If the cells do not agree.
    """
    axes = {tuple(cell.axes) for cell in cells}
    if len(axes) > 1:
        raise ValueError("the cells do not have the same axes in the same order")
    return axes.pop() if axes else ()


def normal(row: AnyRow) -> AnyRow:
    """Return `row` with every value as it comes back from a file."""
    return replace(row, **{n: _normal(getattr(row, n), k) for n, k in KINDS[type(row)].items()})


def _normal(value: Any, kind: Kind) -> Any:
    match kind:
        case Ragged(dtype=dtype):
            return read_only(value, dtype)
        case Expanded():
            return {k: harmless(v) if isinstance(v, str) else int(v) for k, v in value.items()}
        case IndexOf() | Column(dtype="str"):
            return harmless(value)
        case Column(dtype="f8"):
            return float("nan") if np.isnan(value) else float(value)  # NaN has many spellings
        case _:
            return int(value)


def check_types(row: Row) -> None:
    """Refuse a row, made of what a file says, whose values cannot be stored.

    Raises
    ------
    TypeError
        Which names the field.
    """
    for name, kind in KINDS[type(row)].items():
        if not _can_be(getattr(row, name), kind):
            raise TypeError(f"{name} is {repr(getattr(row, name))[:40]}")


def _can_be(value: Any, kind: Kind) -> bool:
    match kind:
        case IndexOf() | Column(dtype="str"):
            return isinstance(value, str)
        case Column(dtype="f8"):
            return isinstance(value, float) or (type(value) is int and value in RANGES["i8"])
        case Column(dtype=dtype):
            return type(value) is int and value in RANGES[dtype]
        case _:
            return True


def read_only(values: npt.ArrayLike, dtype: str) -> npt.NDArray[Any]:
    """Return a view of `values` that cannot be written to."""
    array = np.asarray(values, dtype).view()
    array.flags.writeable = False
    return array
