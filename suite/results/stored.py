"""A results file of which only what is asked for is read: it may be larger than memory."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from suite.errors import UserError
from suite.files import descriptor_of
from suite.results.form import MOST_UNPACKED, check_kind, check_storage, names_in
from suite.results.layout import content_digest, index_of
from suite.results.normal import DIMENSIONS, KINDS, Kind
from suite.results.read import AGAIN, check_seal, check_version, explained, or_damaged
from suite.results.rows import (
    FILL_INDEX,
    SCHEMA_VERSION,
    Column,
    Expanded,
    IndexOf,
    Ragged,
)
from suite.results.seal import holds
from suite.text import harmless

PIECE_BYTES = 1 << 20
"""Of text, read at a time."""
MOST_ROUNDS = 10
"""Times the number of trials."""
CACHE_BYTES = 1 << 23
"""Of chunks: what one reading leaves of a chunk is there for the next."""

Array = npt.NDArray[Any]
Read = Callable[..., Array]
"""Reads a column by its name, and perhaps from which row on and to which, and as what type: numbers
that it has not are the nearest that it has."""


class OpenFile:
    """A file that stays readable when another takes its name; closed when nothing needs it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = descriptor_of(path)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def state(self) -> tuple[int, ...]:
        """Return what changes when the file is written to."""
        return _state(os.fstat(self._descriptor))

    def size(self) -> int:
        """Return how many bytes it has."""
        return os.fstat(self._descriptor).st_size

    def sealed(self) -> bool | None:
        """Say whether the seal is that of the bytes in front of it; None without a seal."""
        with os.fdopen(self._descriptor, "rb", closefd=False) as file:
            return holds(file)

    def hdf5(self) -> h5py.File:
        """Open it with HDF5, which closes nothing but what is its own."""
        # Not by its name: that may be another file's by now.
        file = os.fdopen(self._descriptor, "rb", buffering=0, closefd=False)
        return h5py.File(file, "r", rdcc_nbytes=CACHE_BYTES)


@dataclass(frozen=True, eq=False)
class Stored:
    """A file that was whole when it was opened; between readings it is closed.

    Its columns have the names of the format's variables, see docs/results.md.
    """

    path: Path
    version: str
    axes: tuple[str, ...]
    provenance: Mapping[str, str]
    rows: Mapping[str, int]
    """How many there are along each dimension, `sample` among them."""
    names: frozenset[str]
    state: tuple[int, ...]
    """What tells that the file is still the one that was opened."""
    file: OpenFile

    def __deepcopy__(self, memo: object) -> "Stored":
        return self  # nothing in it changes

    def __reduce__(self) -> Any:
        return open_stored, (self.path,)

    @property
    def earlier(self) -> bool:
        """Whether the file is of an earlier schema: what it has not is at its default."""
        return self.version != SCHEMA_VERSION

    def is_current(self) -> bool:
        """Say whether the file of that name is still the one that was opened."""
        try:
            return _state(self.path.stat()) == self.state
        except OSError:
            return False

    def __getitem__(self, name: str) -> Array:
        """Read a column."""
        if name not in self.names:
            return self._default_of(name)
        with self.opened() as read:
            return read(name)

    def texts(self, name: str) -> list[str]:
        """Read a column of text."""
        return texts(self[name])

    def texts_at(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Read a column of text at some rows, in ascending order: all of it may be too large."""
        if not len(rows):
            return []
        found: list[str] = []
        with self.opened() as read:
            step = max(1, PIECE_BYTES // read(name, 0, 1).itemsize)
            for first in range(int(rows[0]), int(rows[-1]) + 1, step):
                here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + step)]
                if len(here):
                    found += texts(read(name, first, first + step)[here - first])
        return found

    @contextmanager
    def opened(self) -> Iterator[Read]:
        """Open the file, and yield what reads columns, or stretches of them.

        Raises
        ------
        UserError
            If it was written to meanwhile, or cannot be read.
        """
        if self.file.state() != self.state:
            raise UserError(f"{str(self.path)!r} was written to meanwhile.", "Open it again.")
        with or_damaged(self.path):
            file = self.file.hdf5()

        def read(
            name: str, first: int = 0, last: int | None = None, dtype: np.dtype[Any] | None = None
        ) -> Array:
            with or_damaged(self.path):
                column = file[name] if dtype is None else file[name].astype(dtype)
                values: Array = column[first:last]
                return values

        with file:
            yield read

    def _default_of(self, name: str) -> Array:
        for dimension, row_type in DIMENSIONS.items():
            for field, kind in KINDS[row_type].items():
                if name in _variables(field, kind, self.axes):
                    default = row_type.__dataclass_fields__[field].default
                    text = isinstance(kind, Column) and kind.dtype == "str"
                    dtype = kind.dtype if isinstance(kind, Column) and not text else "i4"
                    # Without a default, there are no rows.
                    value = 0 if default is MISSING else default
                    return np.full(self.rows[dimension], value, "S2" if text else dtype)
        raise KeyError(name)


def open_stored(path: Path, *, verify: bool = False) -> Stored:
    """Open the results in `path`, none of them into memory.

    Its bytes are held against the seal. The digest of its content, which takes reading all samples,
    is checked where the seal is lost, or if `verify` says so.

    Raises
    ------
    UserError
        If the file is not there, holds no results or those of another schema, or is damaged.
    """
    with explained(path):
        file = OpenFile(path)
        state, sealed = file.state(), file.sealed()
    check_seal(sealed, path)
    return _stored(path, file, state, verify=verify or sealed is None)


def _stored(path: Path, opened: OpenFile, state: tuple[int, ...], *, verify: bool) -> Stored:
    with or_damaged(path), opened.hdf5() as file:
        version = _text(file.attrs.get("schema_version", b""))
        check_version(version, path)
        columns = {n: dataset for n, dataset in _datasets(file).items() if not dataset.is_scale}
        if sum(dataset.nbytes for dataset in columns.values()) > MOST_UNPACKED * opened.size():
            raise ValueError("it is said to hold more than it can")
        axes = tuple(_text(file.attrs["axes"]).split())
        if b"provenance" not in names_in(file.id):
            raise ValueError("it has no provenance")
        group = _datasets(file["provenance"])
        provenance = {key: _text(value[()]) for key, value in group.items()}
        if verify and content_digest(columns, axes, provenance) != _text(
            file.attrs["content_digest"]
        ):
            raise UserError(f"{str(path)!r} was altered after it was written.", AGAIN)
        rows = {name: len(file[name]) if name in file else 0 for name in (*DIMENSIONS, "sample")}
        _check_names(columns, axes, path, rows, earlier=version != SCHEMA_VERSION)
        _check_references(columns, rows)
        return Stored(
            path,
            version,
            axes,
            {harmless(key): harmless(value) for key, value in provenance.items()},
            rows,
            frozenset(columns),
            state,
            opened,
        )


def _datasets(group: Any) -> dict[str, h5py.Dataset]:
    """Return what lies in a group itself, and is stored as results are."""
    found = {}
    for name in sorted(names_in(group.id)):
        dataset = group[name]
        if isinstance(dataset, h5py.Dataset):
            check_storage(dataset.id)
            check_kind(dataset.id.get_type())
            found[name.decode()] = dataset
    return found


def texts(column: Array) -> list[str]:
    """Return fixed-length UTF-8 as text; most of it comes again and again."""
    values = column.tolist()
    known = {value: harmless(value.decode(errors="replace")) for value in dict.fromkeys(values)}
    return [known[value] for value in values]


def _check_names(
    columns: Mapping[str, h5py.Dataset],
    axes: tuple[str, ...],
    path: Path,
    rows: Mapping[str, int],
    *,
    earlier: bool,
) -> None:
    """Check that all variables are there, each along its dimension."""
    for dimension, row_type in DIMENSIONS.items():
        fields = KINDS[row_type]
        if earlier and next(iter(fields)) not in columns:
            continue
        for field, kind in fields.items():
            has_default = row_type.__dataclass_fields__[field].default is not MISSING
            for name in _variables(field, kind, axes):
                along = "sample" if isinstance(kind, Ragged) and name == field else dimension
                if name in columns and len(columns[name]) == rows[along]:
                    _check_type(name, columns[name].dtype, kind)
                    continue
                if name not in columns and earlier and has_default:
                    continue
                raise UserError(  # the file is whole, so it was written without
                    f"{str(path)!r} has no variable {name!r} along {along!r}: another release of "
                    "litesweep wrote it.",
                    "Read it with that release.",
                )


def _check_type(name: str, found: np.dtype[Any], kind: Kind) -> None:
    match kind:
        case Column("str"):
            fits = found.kind == "S"
        case Column(dtype):
            fits = found == np.dtype(dtype)
        case IndexOf():
            fits = found == np.dtype("i4")
        case Ragged(row_size, dtype):
            fits = found == np.dtype("i8" if name == row_size else dtype)
        case Expanded():
            fits = found.kind in "Si"
    if not fits:
        raise ValueError(f"{name} is of another type than it should be")


def _check_references(columns: Mapping[str, h5py.Dataset], rows: Mapping[str, int]) -> None:
    """Refuse indices of rows that are not there, and other numbers of samples than there are."""
    for row_type in DIMENSIONS.values():
        for field, kind in KINDS[row_type].items():
            names = {*_variables(field, kind, ())} & columns.keys()
            if isinstance(kind, IndexOf):
                for index in (columns[name][()] for name in names):
                    low, high = index.min(initial=0), index.max(initial=FILL_INDEX)
                    if low < FILL_INDEX or high >= rows[kind.dimension]:
                        raise ValueError(f"{field} is of a row that is not there")
            elif isinstance(kind, Ragged):
                sizes, samples = columns[kind.row_size][()], rows["sample"]
                fits = 0 <= sizes.min(initial=0) <= sizes.max(initial=0) <= samples
                if not fits or sizes.sum() != samples:
                    raise ValueError("the trials have other numbers of samples than there are")
    rounds = columns["round"][()]
    # Each has a trial; a fault may have cost some.
    if rounds.min(initial=0) < 0 or rounds.max(initial=0) > MOST_ROUNDS * (len(rounds) + 1):
        raise ValueError("a trial is of a round that cannot have been")


def _variables(field: str, kind: Kind, axes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables that hold a field."""
    match kind:
        case Column():
            return (field,)
        case IndexOf():
            return (index_of(field),)
        case Expanded():
            return axes
        case Ragged(row_size):
            return field, row_size


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":  # as `is_survived` starts it
    with suppress(UserError):
        file = OpenFile(Path(sys.argv[1]))
        _stored(Path(sys.argv[1]), file, file.state(), verify=True)
