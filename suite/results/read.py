"""Read results back from their HDF5 file."""

import io
from pathlib import Path
from typing import Any

import h5py

from suite.errors import UserError
from suite.results.layout import content_digest, results_in
from suite.results.rows import READABLE, SCHEMA_VERSION, Results
from suite.results.seal import is_broken
from suite.text import harmless

AGAIN = "Copy it again from where it was made, or collect its run again."


def read_results(path: Path) -> Results:
    """Read the results in `path`, all of them into memory.

    Raises
    ------
    UserError
        If the file is not there, holds no results or those of another schema, or is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"There is no results file {str(path)!r}.",
            "`litesweep run` writes it when it is done; `litesweep collect`, for a cluster.",
        ) from None
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if is_broken(content):
        raise UserError(f"{str(path)!r} is damaged.", AGAIN)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return _results_in(file, path)
    except UserError:
        raise
    except Exception as error:  # h5py raises nearly every kind of error on a damaged file
        raise UserError(f"{str(path)!r} is damaged, or no HDF5 file: {error}.", AGAIN) from error


def _results_in(file: h5py.File, path: Path) -> Results:
    version = _text(file.attrs.get("schema_version", b""))
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
    arrays = {
        name: dataset[()]
        for name, dataset in file.items()
        if isinstance(dataset, h5py.Dataset) and not dataset.is_scale
    }
    axes = tuple(_text(file.attrs["axes"]).split())
    provenance = {key: _text(value[()]) for key, value in file["provenance"].items()}
    if content_digest(arrays, axes, provenance) != _text(file.attrs["content_digest"]):
        raise UserError(f"{str(path)!r} was altered after it was written.", AGAIN)
    provenance = {harmless(key): harmless(value) for key, value in provenance.items()}
    try:
        return results_in(arrays, axes, provenance, earlier=version != SCHEMA_VERSION)
    except KeyError as error:  # the file is whole, so it was written without
        raise UserError(
            f"{str(path)!r} has no variable {error}: another release of litesweep wrote it.",
            "Read it with that release.",
        ) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
