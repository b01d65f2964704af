"""Read results back from their HDF5 file."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from suite.errors import UserError
from suite.files import read_file
from suite.results.columns import (
    ROW_SIZE,
    Array,
    Columns,
    InMemory,
    Table,
    dtype_of,
    id_name,
    rows_in,
    with_starts,
)
from suite.results.form import (
    MOST_UNPACKED,
    check_kind,
    check_storage,
    is_survived,
    names_in,
)
from suite.results.layout import content_digest, index_of
from suite.results.normal import DIMENSIONS, KINDS
from suite.results.rows import (
    FILL_INDEX,
    READABLE,
    SCHEMA_VERSION,
    Expanded,
    IndexOf,
    Ragged,
    Results,
)
from suite.results.seal import holds
from suite.text import harmless

AGAIN = "Copy it again from where it was made, or collect its run again."


def read_results(path: Path) -> Results:
    """Read the results in `path`, all of them into memory.

    Raises
    ------
    UserError
        If the file is not there, holds no results or those of another schema, or is damaged.
    """
    return rows_in(read_columns(path))


def read_columns(path: Path) -> Columns:
    """Read the results in `path` as columns, all of them into memory.

    Raises
    ------
    UserError
        As `read_results` does.
    """
    with explained(path):
        content = read_file(path)
    sealed = holds(io.BytesIO(content))
    check_seal(sealed, path)
    return _parsed(content, path, sealed=bool(sealed))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in a user's words why a file cannot be opened."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(
            f"There is no results file {str(path)!r}.",
            "`litesweep run` writes it when it is done; `litesweep collect`, for a cluster.",
        ) from None
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


@contextmanager
def or_damaged(path: Path) -> Iterator[None]:
    """Say in a user's words what goes wrong in HDF5."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # h5py raises nearly every kind of error on a damaged file
        raise UserError(f"{str(path)!r} is damaged, or no HDF5 file: {error}.", AGAIN) from error


def check_version(version: str, path: Path) -> None:
    """Refuse what is no file of results, or of a schema that this release does not know.

    Raises
    ------
    UserError
        If it is.
    """
    if not version:
        raise UserError(
            f"{str(path)!r} is an HDF5 file, but not one of litesweep's results.",
            "Give the results.h5 of a run.",
        )
    if version not in READABLE:
        raise UserError(
            f"{str(path)!r} has results of schema {version}; this release reads "
            f"{' and '.join(READABLE)}.",
            "Read it with the release of litesweep that wrote it.",
        )


def check_seal(sealed: bool | None, path: Path) -> None:
    """Refuse a file whose seal does not hold, or that has none and is not survived.

    Raises
    ------
    UserError
        If it is one.
    """
    if sealed is False:
        raise UserError(f"{str(path)!r} is damaged.", AGAIN)
    if sealed is None and not is_survived(path):
        raise UserError(f"{str(path)!r} is damaged: the HDF5 library crashes over it.", AGAIN)


def _parsed(content: bytes, path: Path, *, sealed: bool) -> Columns:
    with or_damaged(path):
        file = h5py.h5f.open_file_image(content)
        try:
            return _columns_in(file, path, len(content), sealed=sealed)
        finally:
            with suppress(RuntimeError):  # on an error it may be closed already
                file.close()


# By h5py's lower level, in a fifth of the time: a shard is a hundred arrays of a few rows.


def _columns_in(file: Any, path: Path, file_bytes: int, *, sealed: bool) -> Columns:
    version = _attribute(file, "schema_version")
    check_version(version, path)
    axes = tuple(_attribute(file, "axes").split())
    variables = _Variables(file, file_bytes)
    if "provenance" not in variables:
        raise ValueError("it has no provenance")
    group = _Variables(h5py.h5g.open(file, b"provenance"), file_bytes)
    provenance = {key: _text(group[key][()]) for key in group.names()}
    if not sealed:  # where every byte is as it was written, so are the numbers
        arrays = {name: variables[name] for name in variables.names()}
        if content_digest(arrays, axes, provenance) != _attribute(file, "content_digest"):
            raise UserError(f"{str(path)!r} was altered after it was written.", AGAIN)
    provenance = {harmless(key): harmless(value) for key, value in provenance.items()}
    try:
        return _Loader(variables, axes, version != SCHEMA_VERSION).columns(provenance)
    except KeyError as error:  # the file is whole, so it was written without
        raise UserError(
            f"{str(path)!r} has no variable {error}: another release of litesweep wrote it.",
            "Read it with that release.",
        ) from error


def _attribute(file: Any, name: str) -> str:
    """Return an attribute of the file; empty where it has none."""
    if not h5py.h5a.exists(file, name.encode()):
        return ""
    attribute = h5py.h5a.open(file, name.encode())
    value = np.empty(attribute.shape, attribute.dtype)
    attribute.read(value)
    return _text(value[()])


class _Variables:
    """The variables of a file, or of a group in it; read when they are asked for."""

    def __init__(self, group: Any, file_bytes: int) -> None:
        self._group = group
        self._names = names_in(group)
        self._left_bytes = MOST_UNPACKED * file_bytes

    def __getitem__(self, name: str) -> Array:
        dataset = self._open(name)
        kind = dataset.get_type()
        check_kind(kind)
        self._claim(int(prod(dataset.shape)) * kind.get_size())
        values = np.empty(dataset.shape, dataset.dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, kind)
        return values

    def __contains__(self, name: object) -> bool:
        return str(name).encode() in self._names

    def names(self) -> Iterator[str]:
        for name in sorted(self._names):
            item = h5py.h5o.open(self._group, name)
            if isinstance(item, h5py.h5d.DatasetID) and not h5py.h5ds.is_scale(item):
                yield name.decode()

    def column(self, name: str, dtype: str, size: int | None = None) -> Array:
        """Read a variable of a type ("axis": text or numbers) and size that are known."""
        dataset = self._open(name)
        kind = dataset.get_type()
        text = isinstance(kind, h5py.h5t.TypeStringID)
        if dtype == "axis":
            dtype = "str" if text else "i8"
        if size is None:
            (size,) = dataset.shape
        self._claim(size * kind.get_size())
        if dtype != "str":
            if kind != _type(dtype):
                raise ValueError(f"{name} is no {dtype}")
            values = np.empty(size, dtype)
            dataset.read(_space(size), h5py.h5s.ALL, values, kind)
            if dtype == "f8":
                values[np.isnan(values)] = np.nan  # it has many spellings
            return values
        if not text or kind.is_variable_str():
            raise ValueError(f"{name} is no text of a fixed length")
        values = np.empty(size, f"S{kind.get_size()}")
        dataset.read(_space(size), h5py.h5s.ALL, values, kind)
        return np.array([_harmless(value) for value in values.tolist()], object)

    def _open(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        dataset = h5py.h5d.open(self._group, name.encode())
        check_storage(dataset)
        return dataset

    def _claim(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise ValueError("it is said to hold more than it can")


@cache
def _type(dtype: str) -> Any:
    return h5py.h5t.py_create(np.dtype(dtype))


@lru_cache
def _space(size: int) -> Any:
    return h5py.h5s.create_simple((size,))


@lru_cache(1 << 14)  # most texts are in every shard
def _harmless(value: bytes) -> str:
    return harmless(value.decode())


@dataclass(frozen=True)
class _Loader:
    variables: _Variables
    axes: tuple[str, ...]
    earlier: bool
    """Whether the file is of an earlier schema, and may lack dimensions, and columns that have a
    default."""

    def columns(self, provenance: Mapping[str, str]) -> Columns:
        """Read columns out of the file: the inverse of `suite.results.layout.variables_of`."""
        ids = {dimension: self._ids(dimension) for dimension in DIMENSIONS}
        tables = {dimension: self._table(dimension, ids) for dimension in DIMENSIONS}
        samples, sizes = self.variables.column("latency_ns", "u8"), tables["trial"][ROW_SIZE]
        fits = 0 <= sizes.min(initial=0) <= sizes.max(initial=0) <= len(samples)
        if not fits or sizes.sum() != len(samples):
            raise ValueError("the trials have other numbers of samples than there are")
        return with_starts(Columns(self.axes, tables, provenance, InMemory(samples)))

    def _ids(self, dimension: str) -> Array:
        """Return the ids of the dimension's rows, and behind them, at FILL_INDEX, that of none."""
        name = id_name(dimension)
        if self.earlier and name not in self.variables:
            return np.array([""], object)
        return np.append(self.variables.column(name, "str"), "")

    def _table(self, dimension: str, ids: Mapping[str, Array]) -> Table:
        size, table, read = len(ids[dimension]) - 1, Table(), self.variables.column
        for name, kind in KINDS[DIMENSIONS[dimension]].items():
            if isinstance(kind, Expanded):
                table |= {axis: read(axis, "axis", size) for axis in self.axes}
            elif isinstance(kind, Ragged):
                table[kind.row_size] = read(kind.row_size, "i8", size)
            elif not size:
                table[name] = np.array([], dtype_of(kind))
            elif isinstance(kind, IndexOf):
                numbers = read(index_of(name), "i4", size)
                if numbers.min() < FILL_INDEX:
                    raise IndexError(f"{name} is of a row that is not there")
                table[name] = ids[kind.dimension][numbers]
            elif self.earlier and name not in self.variables:
                table[name] = np.full(size, _default(dimension, name), dtype_of(kind))
            elif name == id_name(dimension):
                table[name] = ids[dimension][:size]
            else:
                table[name] = read(name, kind.dtype, size)
        return table


def _default(dimension: str, name: str) -> Any:
    default = DIMENSIONS[dimension].__dataclass_fields__[name].default
    if default is MISSING:
        raise KeyError(name)
    return default


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
