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


def in_order(results: Results) -> Results:
    """Return the normal form of `results`, in which a file holds them.

    Artifacts and nodes are sorted by id, cells by their axes, trials by their cells, then by start:
    a cell's samples lie together. States are sorted by their nodes, then by time; instances by
    their trials; operators by their cells, nodes and places.

    Raises
    ------
    ValueError
        If two rows have one id, a row refers to one that is not there, or the cells differ in
        their axes.
    """
    rows = {d: sorted(map(normal, rows), key=id_of) for d, rows in rows_of(results).items()}
    _check_ids(rows)
    axes_of(rows["cell"])
    rows["cell"].sort(key=lambda cell: tuple(cell.axes.values()))
    place = {cell.cell_id: number for number, cell in enumerate(rows["cell"])}
    rows["trial"].sort(key=lambda trial: (place.get(trial.cell_id, -1), trial.start_unix_ns))
    rows["state"].sort(key=lambda state: (state.state_node_id, state.state_unix_ns))
    turn = {trial.trial_id: number for number, trial in enumerate(rows["trial"])}
    rows["instance"].sort(key=lambda i: (turn.get(i.instance_trial_id, -1), i.instance_number))
    rows["operator"].sort(
        key=lambda o: (place.get(o.operator_cell_id, -1), o.operator_node_id, o.operator_place)
    )
    provenance = {harmless(k): harmless(v) for k, v in sorted(results.provenance.items())}
    return results_of(rows, provenance)


def _check_ids(rows: Mapping[str, list[Any]]) -> None:
    ids = {dimension: {"", *map(id_of, rows[dimension])} for dimension in rows}
    for dimension, row_type in DIMENSIONS.items():
        if len(ids[dimension]) <= len(rows[dimension]):
            raise ValueError(f"two {dimension}s have one id, or one has none: merge drops twins")
        for name, kind in KINDS[row_type].items():
            if isinstance(kind, IndexOf):
                missing = {getattr(row, name) for row in rows[dimension]} - ids[kind.dimension]
                if missing:
                    raise ValueError(f"a {dimension}'s {name} is not there: {missing.pop()!r}")


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


def read_only(values: npt.ArrayLike, dtype: str) -> npt.NDArray[Any]:
    """Return a view of `values` that cannot be written to."""
    array = np.asarray(values, dtype).view()
    array.flags.writeable = False
    return array
