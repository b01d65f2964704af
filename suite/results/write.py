"""Write results as one HDF5 file that netCDF-4 tools can read."""

import io
from pathlib import Path
from typing import Any

import h5py

from suite.atomic import whole_file
from suite.errors import UserError
from suite.results.layout import (
    CELL_VALIDITY,
    Array,
    Attributes,
    content_digest,
    fixed_length,
    variables_of,
)
from suite.results.normal import axes_of, in_order
from suite.results.rows import SCHEMA_VERSION, Results
from suite.results.seal import seal_of
from suite.verdict import judge_run, reasons

TITLE = "Deep-learning inference on CPUs, measured by litesweep"
PROVENANCE = "provenance"  # the group's name
CHUNK_BYTES = 1 << 21  # 2^18 samples
LEAST_COMPRESSED_BYTES = 1 << 16


def write_results(path: Path, results: Results) -> None:
    """Write `results` to `path`, whole or not at all.

    The same results give the same bytes, in whatever order their rows are.

    Raises
    ------
    UserError
        If the file cannot be written.
    ValueError
        If the rows do not fit together: see `suite.results.normal.in_order`.
    """
    # Made in memory (about 3 bytes a sample), because on a full disk HDF5
    # fails late, with an error that does not say so, and keeps the file open.
    image = io.BytesIO()
    _fill(image, in_order(results))
    seal = seal_of(image.getbuffer())
    image.seek(0, io.SEEK_END)
    image.write(seal)
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(image.getbuffer())
    except OSError as error:
        raise UserError(
            f"The results cannot be written to {str(path)!r}: {error.strerror or error}.",
            "Make room, or give a folder that can be written to.",
        ) from error


def _fill(image: io.BytesIO, results: Results) -> None:
    variables = variables_of(results)
    arrays = {variable.name: variable.values for variable in variables}
    sizes = {variable.dimension: len(variable.values) for variable in variables}
    if len(arrays) < len(variables) or arrays.keys() & {*sizes, PROVENANCE}:
        raise ValueError("an axis has the name of another variable, dimension or group")
    axes = axes_of(results.cells)
    attributes = {
        "Conventions": "CF-1.11",
        "title": TITLE,
        "schema_version": SCHEMA_VERSION,
        "axes": " ".join(axes),
        "content_digest": content_digest(arrays, axes, results.provenance),
        "verdict": " ".join(reasons(judge_run(arrays[CELL_VALIDITY].tolist()))) or "valid",
    }
    with _new_file(image) as file:
        _describe(file, attributes)
        scales = {name: _dimension(file, name, size) for name, size in sizes.items()}
        for variable in variables:
            dataset = _dataset(file, variable.name, variable.values)
            _describe(dataset, variable.attributes)
            dataset.dims[0].attach_scale(scales[variable.dimension])
        # Not attributes: those cannot exceed 64 KiB, and a sweep verbatim can.
        group = h5py.Group(h5py.h5g.create(file.id, PROVENANCE.encode(), gcpl=_timeless("GROUP")))
        for key, value in results.provenance.items():
            _dataset(group, key, fixed_length([value]).reshape(()))


def _new_file(image: io.BytesIO) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, image)
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


def _dataset(group: h5py.Group, name: str, values: Array) -> h5py.Dataset:
    storage: dict[str, Any] = {}
    if values.ndim and values.nbytes >= LEAST_COMPRESSED_BYTES:
        chunk = min(len(values), max(1, CHUNK_BYTES // values.itemsize))
        storage = {"chunks": (chunk,), "shuffle": True, "compression": "gzip"}
        storage["compression_opts"] = 1
    return group.create_dataset(name, data=values, track_times=False, **storage)


def _describe(thing: h5py.HLObject, attributes: Attributes) -> None:
    for name, value in attributes.items():
        text_or_array = fixed_length([value]).reshape(()) if isinstance(value, str) else value
        thing.attrs.create(name, text_or_array)
