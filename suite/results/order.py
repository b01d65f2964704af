"""The order in which a file holds its rows: one content has one."""

from collections.abc import Mapping

import numpy as np

from suite.results.columns import Array, Columns, Table, columns_of, id_name, rows_in
from suite.results.normal import DIMENSIONS, KINDS
from suite.results.rows import FILL_INDEX, IndexOf, Results

SORTED_BY: Mapping[str, tuple[str, ...]] = {
    "trial": ("cell_id", "start_unix_ns"),
    "state": ("state_node_id", "state_unix_ns"),
    "instance": ("instance_trial_id", "instance_number"),
    "operator": ("operator_cell_id", "operator_node_id", "operator_place"),
}
"""Cells are sorted by their axes; what is not here, and what is alike, by id."""


def in_order(results: Results) -> Results:
    """Return the normal form of `results`, in which a file holds them.

    Raises
    ------
    ValueError
        As `ordered` does.
    """
    return rows_in(ordered(columns_of(results)))


def ordered(columns: Columns) -> Columns:
    """Sort `columns`, which are used up.

    Artifacts and nodes are sorted by id, cells by their axes, trials by their cells, then by start:
    a cell's samples lie together. States are sorted by their nodes, then by time; instances by
    their trials; operators by their cells, nodes and places.

    Raises
    ------
    ValueError
        If two rows have one id, or a row refers to one that is not there.
    """
    tables: dict[str, Table] = {}
    for dimension in DIMENSIONS:  # a row's place depends on those of rows in dimensions before it
        table = columns.tables[dimension]
        keys = columns.axes if dimension == "cell" else SORTED_BY.get(dimension, ())
        ids = _ranks(table[id_name(dimension)])
        by = (_key(dimension, name, table[name], tables) for name in keys)
        order = np.lexsort((ids, *reversed([*by])))
        tables[dimension] = {name: table.pop(name)[order] for name in [*table]}
    _check_ids(tables)
    return Columns(columns.axes, tables, columns.provenance, columns.source)


def _key(dimension: str, name: str, column: Array, before: Mapping[str, Table]) -> Array:
    kind = KINDS[DIMENSIONS[dimension]].get(name)
    if isinstance(kind, IndexOf):
        number = numbers_of(before[kind.dimension], kind.dimension)
        return np.array([number.get(value, FILL_INDEX) for value in column.tolist()], "i8")
    return _ranks(column) if column.dtype == object else column


def _ranks(texts: Array) -> Array:
    rank = {text: number for number, text in enumerate(sorted({*texts.tolist()}))}
    return np.array([rank[text] for text in texts.tolist()], "i8")


def numbers_of(table: Table, dimension: str) -> dict[str, int]:
    """Return the number of each row by its id; that of no row by no text."""
    ids = table[id_name(dimension)].tolist()
    return {"": FILL_INDEX} | {id_: number for number, id_ in enumerate(ids)}


def _check_ids(tables: Mapping[str, Table]) -> None:
    ids = {d: {"", *table[id_name(d)].tolist()} for d, table in tables.items()}
    for dimension, table in tables.items():
        if len(ids[dimension]) <= len(table[id_name(dimension)]):
            raise ValueError(f"two {dimension}s have one id, or one has none: merge drops twins")
        for name, kind in KINDS[DIMENSIONS[dimension]].items():
            if isinstance(kind, IndexOf):
                missing = {*table[name].tolist()} - ids[kind.dimension]
                if missing:
                    raise ValueError(f"a {dimension}'s {name} is not there: {missing.pop()!r}")
