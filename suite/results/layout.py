"""The arrays of a file: what the annotations of `suite.results.rows` become, and back."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from enum import IntFlag
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from suite.canonical import canonical_json
from suite.results.normal import DIMENSIONS, KINDS, Kind, id_of, read_only, results_of, rows_of
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
from suite.verdict import judge_cells

Array = npt.NDArray[Any]
Attributes = Mapping[str, str | Array]

CELL_VALIDITY = "cell_validity"


@dataclass(frozen=True)
class Variable:
    """An array along one dimension, and what the file says about it."""

    name: str
    dimension: str
    values: Array
    attributes: Attributes


def variables_of(results: Results) -> list[Variable]:
    """Lay out `results`, which are in normal form, as the variables of a file."""
    rows = rows_of(results)
    numbers = {
        dimension: {"": FILL_INDEX} | {id_of(row): n for n, row in enumerate(rows[dimension])}
        for dimension in rows
    }
    verdicts = _verdicts(results)  # before all samples are copied: it takes memory too
    variables = [
        variable
        for dimension, row_type in DIMENSIONS.items()
        for name, kind in KINDS[row_type].items()
        for variable in _lay_out(
            name, kind, dimension, [getattr(row, name) for row in rows[dimension]], numbers
        )
    ]
    return [*variables, verdicts]


def _verdicts(results: Results) -> Variable:
    """Lay out what follows from the rows, and is written for those who read without us."""
    bits = np.array([cell.validity for cell in judge_cells(results)], "u4")
    about = "reasons not to trust the cell, as bits; 0 is valid"
    attributes = {"long_name": about, **_bits(*TrialFlag, *CellFlag)}
    return Variable(CELL_VALIDITY, "cell", bits, attributes)


def _lay_out(
    name: str,
    kind: Kind,
    dimension: str,
    values: list[Any],
    numbers: Mapping[str, Mapping[str, int]],
) -> Iterator[Variable]:
    match kind:
        case Column(dtype):
            yield Variable(name, dimension, _array(values, dtype), _attributes(kind))
        case IndexOf(other):
            attributes = {
                "long_name": f"row of the {other}, {FILL_INDEX} for none",
                "instance_dimension": other,
            }
            indices = np.array([numbers[other][value] for value in values], "i4")
            yield Variable(_index_of(name), dimension, indices, attributes)
        case Expanded():
            for axis in values[0] if values else ():
                column = [value[axis] for value in values]
                dtype = "str" if isinstance(column[0], str) else "i8"
                attributes = {"long_name": axis} | ({"units": "1"} if dtype == "i8" else {})
                yield Variable(axis, dimension, _array(column, dtype), attributes)
        case Ragged(row_size, dtype, long_name, units):
            sizes = np.array([len(value) for value in values], "i8")
            attributes = {"long_name": f"length of the row's {name}", "units": "1"}
            yield Variable(row_size, dimension, sizes, attributes | {"sample_dimension": "sample"})
            samples = np.concatenate([np.empty(0, dtype), *values])
            yield Variable(name, "sample", samples, {"long_name": long_name, "units": units})


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


def results_in(
    arrays: Mapping[str, Array],
    axes: Sequence[str],
    provenance: Mapping[str, str],
    *,
    earlier: bool = False,
) -> Results:
    """Read results out of the variables of a file: the inverse of `variables_of`.

    Parameters
    ----------
    earlier
        Whether the file is of an earlier schema: it may lack dimensions, and columns that have a
        default.

    Raises
    ------
    KeyError
        If a variable is missing.
    """
    dimensions = {
        dimension: row_type
        for dimension, row_type in DIMENSIONS.items()
        if not earlier or _id_name(row_type) in arrays
    }
    ids = {
        dimension: [*_list(arrays[_id_name(row_type)]), ""]  # "" is at FILL_INDEX
        for dimension, row_type in dimensions.items()
    }

    def values(name: str, kind: Kind) -> Iterable[Any]:
        match kind:
            case Column():
                return _list(arrays[name])
            case IndexOf(other):
                return [ids[other][number] for number in _list(arrays[_index_of(name)])]
            case Expanded():
                points = zip(*(_list(arrays[axis]) for axis in axes), strict=True)
                return [dict(zip(axes, point, strict=True)) for point in points]
            case Ragged(row_size, dtype):
                ends = np.cumsum(arrays[row_size])
                # The last piece is what follows the last row: nothing.
                return np.split(read_only(arrays[name], dtype), ends)[:-1]

    def rows(row_type: type[Any]) -> Iterator[Any]:
        columns = {
            name: values(name, kind)
            for name, kind in KINDS[row_type].items()
            if name in arrays or not (earlier and _has_default(row_type, name))
        }
        names = tuple(columns)
        return (
            row_type(**dict(zip(names, row, strict=True)))
            for row in zip(*columns.values(), strict=True)
        )

    there = {d: rows(row_type) for d, row_type in dimensions.items()}
    return results_of({d: there.get(d, ()) for d in DIMENSIONS}, provenance)


def _id_name(row_type: type[Any]) -> str:
    return next(iter(KINDS[row_type]))


def _has_default(row_type: type[Any], name: str) -> bool:
    return row_type.__dataclass_fields__[name].default is not MISSING


def content_digest(
    arrays: Mapping[str, Array], axes: Sequence[str], provenance: Mapping[str, str]
) -> str:
    """Return the SHA-256 of all that a file holds: names, types, shapes, bytes and provenance."""
    sha = hashlib.sha256(canonical_json([list(axes), dict(provenance)]).encode())
    for name, array in sorted(arrays.items()):
        sha.update(canonical_json([name, array.dtype.str, array.shape]).encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def fixed_length(values: Sequence[str]) -> Array:
    """Return `values` as fixed-length UTF-8."""
    encoded = [value.encode() for value in values]
    # Length 0 is not for HDF5, and netCDF takes length 1 for characters instead of strings.
    return np.array(encoded, h5py.string_dtype("utf-8", max([2, *map(len, encoded)])))


def _array(values: Sequence[Any], dtype: str) -> Array:
    return fixed_length(values) if dtype == "str" else np.array(values, dtype)


def _list(array: Array) -> list[Any]:
    values = array.tolist()
    return [harmless(value.decode()) for value in values] if array.dtype.kind == "S" else values
