"""Results by columns: an array for each field, in place of an object for each row.

Files are read, merged, sorted and written so: ten thousand shards have millions of values, and
rows are for those who look at single ones.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from suite.results.normal import DIMENSIONS, KINDS, axes_of, read_only, results_of, rows_of
from suite.results.rows import Column, Expanded, IndexOf, Ragged, Results, median_of
from suite.text import harmless

Array = npt.NDArray[Any]
Table = dict[str, Array]
"""The columns of a dimension by field, an axis being a field of its own.

Text is of dtype object, and so are ids of other dimensions; a ragged field has its row size here.
"""

SAMPLE = np.dtype("<u8")
PIECE = 1 << 18
"""Samples that are handled at a time."""
ROW_SIZE = "row_size"
SAMPLES_START = "samples_start"
"""Column of the trials that no file has: where in `Columns.source` their samples begin."""
SAMPLES_SHA256 = "samples_sha256"
MEDIAN_NS = "median_ns"


class InMemory:
    """Samples in memory, in arrays that follow one another."""

    def __init__(self, *arrays: Array) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([0, *map(len, arrays)])

    def read(self, start: int, end: int) -> Array:
        """Return the samples from number `start` to before `end`, or to their array's end."""
        if start == end:
            return np.empty(0, SAMPLE)
        number = int(np.searchsorted(self._ends, start, "right")) - 1
        return self._arrays[number][start - self._ends[number] :][: end - start]


class Spool:
    """Samples in a file, which take no memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: Any = file
        self._size = 0

    def append(self, samples: Array) -> None:
        """Write `samples` behind those that are there."""
        self._file.seek(SAMPLE.itemsize * self._size)
        self._file.write(samples.data)
        self._size += len(samples)

    def read(self, start: int, end: int) -> Array:
        """Return the samples from number `start` to before `end`."""
        samples = np.empty(end - start, SAMPLE)
        self._file.seek(SAMPLE.itemsize * start)
        if self._file.readinto(samples.data) != samples.nbytes:
            raise OSError("samples that were put by are gone")
        return samples


@dataclass(frozen=True)
class Samples:
    """The samples of trials, end to end: an array of which only a piece is in memory at a time."""

    source: InMemory | Spool
    starts: Array
    sizes: Array

    dtype = SAMPLE
    ndim = 1

    def __len__(self) -> int:
        return int(self.sizes.sum())

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * len(self)

    def of(self, trial: int) -> Array:
        """Return the samples of the trial number `trial`."""
        start = int(self.starts[trial])
        return read_only(self.source.read(start, start + int(self.sizes[trial])), "u8")

    def pieces(self) -> Iterator[Array]:
        """Yield `PIECE` samples at a time, the last time fewer; each is overwritten by the next."""
        piece, filled = np.empty(min(PIECE, len(self)), self.dtype), 0
        for start, end in self._runs():
            while start < end:
                some = self.source.read(start, min(end, start + len(piece) - filled))
                piece[filled : filled + len(some)] = some
                start, filled = start + len(some), filled + len(some)  # noqa: PLW2901
                if filled == len(piece):
                    yield piece
                    filled = 0
        if filled:
            yield piece[:filled]

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield start and end of what lies together in the source."""
        ends = self.starts + self.sizes
        is_first = np.append(-1, ends)[:-1] != self.starts
        is_last = np.append(self.starts, -1)[1:] != ends
        return zip(self.starts[is_first].tolist(), ends[is_last].tolist(), strict=True)


@dataclass(frozen=True)
class Columns:
    """The content of one file, or of several."""

    axes: tuple[str, ...]
    """None where there is no cell."""
    tables: Mapping[str, Table]
    """By dimension, all of them."""
    provenance: Mapping[str, str]
    source: InMemory | Spool

    @property
    def samples(self) -> Samples:
        """The samples of all trials, in the order of these."""
        trials = self.tables["trial"]
        return Samples(self.source, trials[SAMPLES_START], trials[ROW_SIZE])


def id_name(dimension: str) -> str:
    """Return the field that no two rows of the dimension share."""
    return next(iter(KINDS[DIMENSIONS[dimension]]))


def columns_of(results: Results) -> Columns:
    """Turn rows into columns, in the order that they have.

    Raises
    ------
    ValueError
        If the cells differ in their axes.
    """
    axes = axes_of(results.cells)
    tables = {
        dimension: _table(dimension, rows, axes) for dimension, rows in rows_of(results).items()
    }
    samples = (np.asarray(trial.latency_ns, SAMPLE) for trial in results.trials)
    provenance = {harmless(k): harmless(v) for k, v in sorted(results.provenance.items())}
    return with_starts(Columns(axes, tables, provenance, InMemory(*samples)))


def _table(dimension: str, rows: Sequence[Any], axes: Iterable[str]) -> Table:
    table: Table = {}
    for name, kind in KINDS[DIMENSIONS[dimension]].items():
        values = [getattr(row, name) for row in rows]
        match kind:
            case Expanded():
                for axis in axes:
                    column = [value[axis] for value in values]
                    table[axis] = _column(column, "str" if isinstance(column[0], str) else "i8")
            case Ragged(row_size):
                table[row_size] = np.array([len(value) for value in values], "i8")
            case IndexOf():
                table[name] = _column(values, "str")
            case Column(dtype):
                table[name] = _column(values, dtype)
    return table


def dtype_of(kind: Column | IndexOf) -> Any:
    """Return what a column of this kind has in memory."""
    return object if isinstance(kind, IndexOf) or kind.dtype == "str" else kind.dtype


def _column(values: Sequence[Any], dtype: str) -> Array:
    if dtype == "str":
        return np.array([harmless(value) for value in values], object)
    column = np.array(values, dtype)
    if dtype == "f8":
        column[np.isnan(column)] = np.nan  # it has many spellings
    return column


def with_starts(columns: Columns) -> Columns:
    """Say where the samples of each trial begin, which lie end to end in the trials' order."""
    trials = columns.tables["trial"]
    ends = np.cumsum(trials[ROW_SIZE], dtype="i8")
    trials[SAMPLES_START] = ends - trials[ROW_SIZE]
    return columns


def with_figures(columns: Columns) -> Columns:
    """Add what verdicts and comparisons need of the samples, so that these need not be kept."""
    trials, samples = columns.tables["trial"], columns.samples
    digests, medians = [], []
    for trial, warmup in enumerate(trials["warmup_count"].tolist()):
        latency = samples.of(trial)
        digests.append(hashlib.sha256(latency.data).digest())
        medians.append(median_of(latency[warmup:]))
    trials[SAMPLES_SHA256] = np.frombuffer(b"".join(digests), "V32")
    trials[MEDIAN_NS] = np.array(medians, "f8")
    return columns


def rows_in(columns: Columns) -> Results:
    """Turn columns into rows: the inverse of `columns_of`."""
    rows = {d: rows_at(columns, d, slice(None)) for d in DIMENSIONS}
    return results_of(rows, columns.provenance)


def rows_at(columns: Columns, dimension: str, where: slice | Array) -> Iterator[Any]:
    """Yield the rows of `dimension` with the numbers `where`."""
    table, row_type = columns.tables[dimension], DIMENSIONS[dimension]
    numbers = np.arange(len(table[id_name(dimension)]))[where].tolist()
    fields: dict[str, Iterable[Any]] = {}
    for name, kind in KINDS[row_type].items():
        match kind:
            case Expanded():
                points = zip(*(table[axis][where].tolist() for axis in columns.axes), strict=True)
                fields[name] = [dict(zip(columns.axes, point, strict=True)) for point in points]
            case Ragged():
                fields[name] = map(columns.samples.of, numbers)
            case _:
                fields[name] = table[name][where].tolist()
    constructor: Any = row_type
    for values in zip(*fields.values(), strict=True):
        yield constructor(**dict(zip(fields, values, strict=True)))


class Pile:
    """Columns of many parts, one under the other; their samples go to a spool.

    Raises
    ------
    ValueError
        If their cells differ in their axes.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._axes: tuple[str, ...] = ()
        self._texts: dict[tuple[str, str], list[str]] = {}
        # Not lists of arrays: of ten rows each, they would take several times their content.
        self._numbers: dict[tuple[str, str], tuple[np.dtype[Any], bytearray]] = {}

    def add(self, part: Columns) -> None:
        """Put `part` under what is there."""
        if part.axes and self._axes not in ((), part.axes):
            raise ValueError("the cells do not have the same axes in the same order")
        self._axes = part.axes or self._axes
        for piece in part.samples.pieces():
            self._spool.append(piece)
        for dimension, table in part.tables.items():
            for name, values in table.items():
                if values.dtype == object:
                    self._texts.setdefault((dimension, name), []).extend(values.tolist())
                    continue
                _, kept = self._numbers.setdefault((dimension, name), (values.dtype, bytearray()))
                kept += values.tobytes()

    def columns(self, provenance: Mapping[str, str]) -> Columns:
        """Return all that was added; nothing can be added after it."""
        tables: dict[str, Table] = {dimension: {} for dimension in DIMENSIONS}
        for (dimension, name), texts in self._texts.items():
            tables[dimension][name] = np.array(texts, object)
        for (dimension, name), (dtype, kept) in self._numbers.items():
            if name in tables[dimension]:
                raise ValueError(f"the axis {name!r} has text in one part and numbers in another")
            tables[dimension][name] = np.frombuffer(kept, dtype)
        self._texts, self._numbers = {}, {}
        return with_starts(Columns(self._axes, tables, provenance, self._spool))
