"""The variables of a file: what the annotations of `suite.results.rows` become."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, NamedTuple

import h5py
import numpy as np

from suite.canonical import canonical_json
from suite.results.columns import (
    MEDIAN_NS,
    PIECE,
    Array,
    Columns,
    Samples,
    rows_at,
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
    """What a verdict asks of a trial, in a tenth of a row's memory and time."""

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
    each: Any = zip(*known, figures.tolist(), range(len(figures)), strict=True)
    return (_Outcome._make((*values, samples)) for values in each)


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
            yield Variable(index_of(name), dimension, indices, attributes)
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


def index_of(name: str) -> str:
    """Return the name of the variable with the numbers of the rows whose ids `name` has."""
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


def content_digest(
    arrays: Mapping[str, Array | Samples | h5py.Dataset],
    axes: Sequence[str],
    provenance: Mapping[str, str],
) -> str:
    """Return the SHA-256 of all that a file holds: names, types, shapes, bytes and provenance."""
    sha = hashlib.sha256(canonical_json([list(axes), dict(provenance)]).encode())
    for name, array in sorted(arrays.items()):
        sha.update(canonical_json([name, array.dtype.str, array.shape]).encode())
        for piece in _pieces(array):
            sha.update(np.ascontiguousarray(piece).data)
    return sha.hexdigest()


def _pieces(array: Array | Samples | h5py.Dataset) -> Iterator[Array]:
    """Yield an array piece by piece: all of it may be too large for memory."""
    if isinstance(array, Samples):
        return array.pieces()
    return (array[first : first + PIECE] for first in range(0, len(array), PIECE))


def fixed_length(values: Sequence[str]) -> Array:
    """Return `values` as fixed-length UTF-8."""
    encoded = [value.encode() for value in values]
    # Length 0 is not for HDF5, and netCDF takes length 1 for characters instead of strings.
    return np.array(encoded, h5py.string_dtype("utf-8", max([2, *map(len, encoded)])))


def _stored(column: Array) -> Array:
    return fixed_length(column.tolist()) if column.dtype == object else column
