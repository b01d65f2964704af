"""The variables of a file: what the annotations of `suite.results.rows` become, and back."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from enum import IntFlag
from functools import lru_cache
from typing import NamedTuple

import h5py
import numpy as np

from suite.canonical import canonical_json
from suite.results.columns import (
    MEDIAN_NS,
    ROW_SIZE,
    Array,
    Columns,
    Held,
    Samples,
    Table,
    dtype_of,
    id_name,
    rows_at,
    with_starts,
)
from suite.results.normal import DIMENSIONS, KINDS, Kind
from suite.results.order import numbers_of
from suite.results.rows import (
    FILL_INDEX,
    CellFlag,
    Column,
    Expanded,
    IndexOf,
    Ragged,
    Results,
    TrialFlag,
)
from suite.text import harmless
from suite.verdict import judge_each

Attributes = Mapping[str, str | Array]

CELL_VALIDITY = "cell_validity"


@dataclass(frozen=True)
class Variable:
    """An array along one dimension, and what the file says about it."""

    name: str
    dimension: str
    values: Array | Samples
    attributes: Attributes


def variables_of(columns: Columns) -> list[Variable]:
    """Lay out `columns`, which are in order and have figures, as the variables of a file."""
    variables = [
        variable
        for dimension, row_type in DIMENSIONS.items()
        for name, kind in KINDS[row_type].items()
        for variable in _lay_out(name, kind, dimension, columns)
    ]
    return [*variables, _verdicts(columns)]


def _verdicts(columns: Columns) -> Variable:
    """Lay out what follows from the rows, and is written for those who read without us."""
    cells, nodes, artifacts = (
        tuple(rows_at(columns, d, slice(None))) for d in ("cell", "node", "artifact")
    )
    results = Results(cells, artifacts, nodes, (), columns.provenance)
    judgements = judge_each(results, _outcomes(columns))
    bits = np.array([judgement.validity for judgement in judgements], "u4")
    about = "reasons not to trust the cell, as bits; 0 is valid"
    attributes = {"long_name": about, **_bits(*TrialFlag, *CellFlag)}
    return Variable(CELL_VALIDITY, "cell", bits, attributes)


class _Outcome(NamedTuple):
    """What a verdict asks of a trial: it takes a tenth of a row's memory and time."""

    cell_id: str
    node_id: str
    round: int
    start_unix_ns: int
    status: str
    error: str
    output_digest: str
    validity: int
    samples_sha256: bytes
    figure_ns: float
    number: int
    samples: Samples

    @property
    def latency_ns(self) -> Array:
        return self.samples.of(self.number)


def _outcomes(columns: Columns) -> Iterator[_Outcome]:
    trials, samples = columns.tables["trial"], columns.samples
    counted = trials["counted_ns"]
    figures = np.where((counted > 0) & (counted < np.inf), counted, trials[MEDIAN_NS])
    known = [trials[name].tolist() for name in _Outcome._fields if name in trials]
    for number, (figure, *values) in enumerate(zip(figures.tolist(), *known, strict=True)):
        yield _Outcome(*values, figure, number, samples)


def _lay_out(name: str, kind: Kind, dimension: str, columns: Columns) -> Iterator[Variable]:
    table = columns.tables[dimension]
    match kind:
        case Column():
            yield Variable(name, dimension, _stored(table[name]), _attributes(kind))
        case IndexOf(other):
            attributes = {
                "long_name": f"row of the {other}, {FILL_INDEX} for none",
                "instance_dimension": other,
            }
            number = numbers_of(columns.tables[other], other)
            indices = np.array([number[id_] for id_ in table[name].tolist()], "i4")
            yield Variable(_index_of(name), dimension, indices, attributes)
        case Expanded():
            for axis in columns.axes:
                values = _stored(table[axis])
                units = {} if values.dtype.kind == "S" else {"units": "1"}
                yield Variable(axis, dimension, values, {"long_name": axis, **units})
        case Ragged(row_size, _, long_name, units):
            attributes = {"long_name": f"length of the row's {name}", "units": "1"}
            attributes["sample_dimension"] = "sample"
            yield Variable(row_size, dimension, table[row_size], attributes)
            about = {"long_name": long_name, "units": units}
            yield Variable(name, "sample", columns.samples, about)


def _index_of(name: str) -> str:
    return f"{name.rpartition('_')[0]}_index"


def _attributes(column: Column) -> Attributes:
    attributes: dict[str, str | Array] = {"long_name": column.long_name}
    if column.units:
        attributes["units"] = column.units
    return {**attributes, **(_bits(*column.flags) if column.flags else {})}


def _bits(*flags: IntFlag) -> Attributes:
    return {
        "flag_masks": np.array([flag.value for flag in flags], "u4"),
        "flag_meanings": " ".join(str(flag.name).lower() for flag in flags),
    }


def columns_in(
    arrays: Mapping[str, Array],
    axes: Sequence[str],
    provenance: Mapping[str, str],
    *,
    earlier: bool = False,
) -> Columns:
    """Read columns out of the variables of a file: the inverse of `variables_of`.

    Parameters
    ----------
    earlier
        Whether the file is of an earlier schema: it may lack dimensions, and columns that have a
        default.

    Raises
    ------
    KeyError
        If a variable is missing.
    ValueError
        If one does not fit to the others.
    """
    ids: dict[str, Array] = {}
    for dimension in DIMENSIONS:
        there = not earlier or id_name(dimension) in arrays
        known = _loaded(arrays[id_name(dimension)], "str") if there else np.array([], object)
        ids[dimension] = np.append(known, "")  # which is at FILL_INDEX
    tables = {d: _table(d, arrays, axes, ids, earlier=earlier) for d in DIMENSIONS}
    samples = np.asarray(arrays["latency_ns"], "<u8")
    sizes = tables["trial"][ROW_SIZE]
    if (sizes < 0).any() or sizes.sum() != len(samples):
        raise ValueError("the trials have other numbers of samples than there are")
    return with_starts(Columns(tuple(axes), tables, dict(provenance), Held(samples)))


def _table(
    dimension: str,
    arrays: Mapping[str, Array],
    axes: Sequence[str],
    ids: Mapping[str, Array],
    *,
    earlier: bool,
) -> Table:
    table: Table = {}
    size = len(ids[dimension]) - 1
    row_type = DIMENSIONS[dimension]
    for name, kind in KINDS[row_type].items():
        default = row_type.__dataclass_fields__[name].default if earlier else MISSING
        match kind:
            case Expanded():
                for axis in axes:
                    values = arrays[axis]
                    table[axis] = _loaded(values, "str" if values.dtype.kind == "S" else "i8")
            case Ragged(row_size):
                table[row_size] = _loaded(arrays[row_size], "i8")
            case Column() | IndexOf() if not size:
                table[name] = np.array([], dtype_of(kind))
            case IndexOf(other):
                table[name] = ids[other][arrays[_index_of(name)]]
            case Column() if default is not MISSING and name not in arrays:
                table[name] = np.full(size, default, dtype_of(kind))
            case Column(dtype):
                table[name] = _loaded(arrays[name], dtype)
    for name, column in table.items():
        if column.shape != (size,):
            raise ValueError(f"{name} has shape {column.shape} where there are {size} {dimension}s")
    return table


def content_digest(
    arrays: Mapping[str, Array | Samples], axes: Sequence[str], provenance: Mapping[str, str]
) -> str:
    """Return the SHA-256 of all that a file holds: names, types, shapes, bytes and provenance."""
    sha = hashlib.sha256(canonical_json([list(axes), dict(provenance)]).encode())
    for name, array in sorted(arrays.items()):
        sha.update(canonical_json([name, array.dtype.str, array.shape]).encode())
        whole = not isinstance(array, Samples)
        for piece in [np.ascontiguousarray(array)] if whole else array.pieces():
            sha.update(piece.data)
    return sha.hexdigest()


def fixed_length(values: Sequence[str]) -> Array:
    """Return `values` as fixed-length UTF-8."""
    encoded = [value.encode() for value in values]
    # Length 0 is not for HDF5, and netCDF takes length 1 for characters instead of strings.
    return np.array(encoded, h5py.string_dtype("utf-8", max([2, *map(len, encoded)])))


def _stored(column: Array) -> Array:
    return fixed_length(column.tolist()) if column.dtype == object else column


def _loaded(array: Array, dtype: str) -> Array:
    if dtype == "str":
        return np.array([_text(value) for value in array.tolist()], object)
    column = np.asarray(array, dtype)
    if dtype == "f8":
        column[np.isnan(column)] = np.nan
    return column


@lru_cache(1 << 14)  # most texts are in every shard
def _text(value: bytes) -> str:
    return harmless(value.decode())
