"""Write results as one HDF5 file that netCDF-4 tools can read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import h5py

from suite.atomic import whole_file
from suite.errors import UserError
from suite.results.columns import (
    PIECE,
    SAMPLE,
    Array,
    Columns,
    Samples,
    columns_of,
    with_figures,
)
from suite.results.layout import (
    CELL_VALIDITY,
    Attributes,
    content_digest,
    fixed_length,
    variables_of,
)
from suite.results.order import ordered
from suite.results.rows import SCHEMA_VERSION, Results
from suite.results.seal import seal
from suite.verdict import judge_run, reasons

TITLE = "Deep-learning inference on CPUs, measured by litesweep"
PROVENANCE = "provenance"  # the group's name
CHUNK_BYTES = PIECE * SAMPLE.itemsize
LEAST_COMPRESSED_BYTES = 1 << 16


def write_results(path: Path, results: Results) -> None:
    """Write `results` to `path`, whole or not at all.

    The same results give the same bytes, in whatever order their rows are.

    Raises
    ------
    UserError
        If the file cannot be written.
    ValueError
        If the rows do not fit together: see `suite.results.order.ordered`.
    """
    write_columns(path, ordered(with_figures(columns_of(results))))


def write_columns(path: Path, columns: Columns) -> None:
    """Write `columns`, which are in order and have figures, as `write_results` does."""
    with told(path), whole_file(path) as temporary, temporary.open("w+b") as file:
        _fill(_Sink(file), columns)
        seal(file)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Say of an error of the system what could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The results cannot be written to {str(path)!r}: {error.strerror or error}.",
            "Make room, or give a folder that can be written to.",
        ) from error


class _Sink:
    """The file as HDF5 sees it, which never fails.

    On a full disk HDF5 fails late, with an error that does not say so, and keeps the file open. So
    the first error is put by, and raised by `check` where nothing of HDF5's is under way.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file: Any = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error:
            raise self._error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._try, getattr(self._file, name))

    def _try(self, do: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return do(*arguments)
        except OSError as error:
            self._error = self._error or error
            return 0


def _fill(sink: _Sink, columns: Columns) -> None:
    variables = variables_of(columns)
    arrays = {variable.name: variable.values for variable in variables}
    sizes = {variable.dimension: len(variable.values) for variable in variables}
    if len(arrays) < len(variables) or arrays.keys() & {*sizes, PROVENANCE}:
        raise ValueError("an axis has the name of another variable, dimension or group")
    validity: Any = arrays[CELL_VALIDITY]
    attributes = {
        "Conventions": "CF-1.11",
        "title": TITLE,
        "schema_version": SCHEMA_VERSION,
        "axes": " ".join(columns.axes),
        "content_digest": content_digest(arrays, columns.axes, columns.provenance),
        "verdict": " ".join(reasons(judge_run(validity.tolist()))) or "valid",
    }
    with _new_file(sink) as file:
        _describe(file, attributes)
        scales = {name: _dimension(file, name, size) for name, size in sizes.items()}
        for variable in variables:
            dataset = _dataset(file, variable.name, variable.values, sink)
            _describe(dataset, variable.attributes)
            dataset.dims[0].attach_scale(scales[variable.dimension])
        # Not attributes: those cannot exceed 64 KiB, and a sweep verbatim can.
        group = h5py.Group(h5py.h5g.create(file.id, PROVENANCE.encode(), gcpl=_timeless("GROUP")))
        for key, value in columns.provenance.items():
            _dataset(group, key, fixed_length([value]).reshape(()), sink)
    sink.check()


def _new_file(sink: _Sink) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, sink)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    # HDF5 1.10 reads this span of versions, and not "latest".
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V110)
    new = h5py.h5f.create(b"results", h5py.h5f.ACC_EXCL, _timeless("FILE"), access)
    return h5py.File(new)


def _timeless(what: str) -> h5py.h5p.PropID:
    """Return how to create a file or group without the time of its making in it.

    h5py offers this for datasets alone.
    """
    creation = h5py.h5p.create(getattr(h5py.h5p, f"{what}_CREATE"))
    creation.set_obj_track_times(False)
    return creation


def _dimension(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    """Make a dimension that has no coordinates, as the netCDF library does."""
    scale = file.create_dataset(name, (size,), ">f4", track_times=False)
    scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10d}")
    return scale


def _dataset(group: h5py.Group, name: str, values: Array | Samples, sink: _Sink) -> h5py.Dataset:
    storage: dict[str, Any] = {}
    if values.ndim and values.nbytes >= LEAST_COMPRESSED_BYTES:
        chunk = min(len(values), max(1, CHUNK_BYTES // values.dtype.itemsize))
        storage = {"chunks": (chunk,), "shuffle": True, "compression": "gzip"}
        storage["compression_opts"] = 1
    new = partial(group.create_dataset, name, track_times=False, **storage)
    if isinstance(values, Samples):
        dataset, start = new(values.shape, values.dtype), 0
        for piece in values.pieces():
            dataset[start : start + len(piece)] = piece
            start += len(piece)
            sink.check()
    else:
        dataset = new(data=values)
    sink.check()
    return dataset


def _describe(thing: h5py.HLObject, attributes: Attributes) -> None:
    for name, value in attributes.items():
        text_or_array = fixed_length([value]).reshape(()) if isinstance(value, str) else value
        thing.attrs.create(name, text_or_array)
