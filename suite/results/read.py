"""Read results back from their HDF5 file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from suite.errors import UserError
from suite.results.columns import Array, Columns, rows_in
from suite.results.layout import columns_in, content_digest
from suite.results.rows import READABLE, SCHEMA_VERSION, Results
from suite.results.seal import is_broken, is_sealed
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
        # In memory it is read twice as fast as through calls to the system, or to Python.
        with h5py.File(h5py.h5f.open_file_image(content)) as file:
            return _columns_in(file, path, sealed=is_sealed(content))
    except UserError:
        raise
    except Exception as error:  # h5py raises nearly every kind of error on a damaged file
        raise UserError(f"{str(path)!r} is damaged, or no HDF5 file: {error}.", AGAIN) from error


def _columns_in(file: h5py.File, path: Path, *, sealed: bool) -> Columns:
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
    axes = tuple(_text(file.attrs["axes"]).split())
    kept = _Arrays(file["provenance"].id)
    provenance = {key: _text(kept[key][()]) for key in kept}
    arrays = _Arrays(file.id)
    # Where every byte is as it was written, so are the numbers.
    if not sealed and content_digest({**arrays}, axes, provenance) != _text(
        file.attrs["content_digest"]
    ):
        raise UserError(f"{str(path)!r} was altered after it was written.", AGAIN)
    provenance = {harmless(key): harmless(value) for key, value in provenance.items()}
    try:
        return columns_in(arrays, axes, provenance, earlier=version != SCHEMA_VERSION)
    except KeyError as error:  # the file is whole, so it was written without
        raise UserError(
            f"{str(path)!r} has no variable {error}: another release of litesweep wrote it.",
            "Read it with that release.",
        ) from error


class _Arrays(Mapping[str, Array]):
    """The variables of a file, or of a group in it, by name; read when they are asked for.

    By h5py's lower level, which takes a fifth of the time: a shard is a hundred small arrays.
    """

    def __init__(self, group: Any) -> None:
        self._group = group

    def __getitem__(self, name: str) -> Array:
        if name not in self:
            raise KeyError(name)
        dataset = h5py.h5d.open(self._group, name.encode())
        values = np.empty(dataset.shape, dataset.dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, dataset.get_type())
        return values

    def __contains__(self, name: object) -> bool:
        return str(name).encode() in self._group

    def __iter__(self) -> Iterator[str]:
        for name in self._group:
            item = h5py.h5o.open(self._group, name)
            if isinstance(item, h5py.h5d.DatasetID) and not h5py.h5ds.is_scale(item):
                yield name.decode()

    def __len__(self) -> int:
        return len([*iter(self)])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
