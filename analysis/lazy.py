"""Arrays of which only what is asked for is computed, as xarray has them of its own files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from analysis.extras import need

Key = tuple[int | slice, ...]
Chunks = int | dict[Any, Any] | str
Part = Callable[[Key], npt.NDArray[Any]]
"""Computes the part of an array that a key selects."""


class Lazy(BackendArray):
    """Computes its parts."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, part: Part) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._part = part

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._part
        )


def lazy(dims: tuple[str, ...], array: Lazy, units: str = "") -> xr.Variable:
    """Return a variable whose values are computed when they are asked for."""
    attrs = {"units": units} if units else {}
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), attrs)


class _Given(BackendEntrypoint):
    """Opens what it is given."""

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        given: xr.Dataset,
    ) -> xr.Dataset:
        return given


def opened(
    given: xr.Dataset, file: Path, chunks: Chunks | None = None, token: str = ""
) -> xr.Dataset:
    """Return a Dataset that keeps what it has computed, as one that xarray has opened itself.

    Parameters
    ----------
    chunks
        As of `xarray.Dataset.chunk`: numbers are then dask's arrays; None for numpy's.
    token
        What tells the arrays from those of other files, and other selections, to dask.

    Raises
    ------
    UserError
        If there are to be chunks, and dask is not installed.
    """
    whole = xr.open_dataset(file, engine=_Given, given=given)
    if chunks is None:
        return whole
    need("dask", "dask")
    # How large objects are, dask cannot tell.
    names = [n for n, of in whole.variables.items() if of.dtype != object and n not in whole.dims]
    parts = whole[names].chunk(chunks, token=f"{file} {file.stat().st_mtime_ns} {token}")
    coords = {name: of for name, of in parts.coords.items() if name not in parts.dims}
    return whole.assign_coords(coords).assign(parts.data_vars)
