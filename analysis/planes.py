"""Results cut into what a table or a panel can hold: quantization × threads."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr

PLANE = ("quantization", "threads")
MOST_PLANES = 24
"""Of more models (and CPU types, and whatever other axes there are) the first are shown."""
MOST_BARS = 60
"""Of more intervals below each other nobody finds the one that matters."""


def planes(
    results: xr.Dataset, plane_axes: Sequence[str] = PLANE
) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield a title and the cells of each point on the axes that are not the plane's, if any.

    The title names the model, and the value on each axis that has several. The other axes stay, of
    length one.
    """
    there = _are_there(results, plane_axes)
    others = [str(axis) for axis in there.dims]
    telling = [axis for axis in others if there.sizes[axis] > 1]
    for point in np.argwhere(there.values):
        plane = results.isel({axis: [i] for axis, i in zip(others, point, strict=True)})
        yield _title(plane, telling), plane


def first_planes(
    results: xr.Dataset, plane_axes: Sequence[str] = PLANE
) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the first `MOST_PLANES` of them."""
    return islice(planes(results, plane_axes), MOST_PLANES)


def count_planes(results: xr.Dataset, plane_axes: Sequence[str] = PLANE) -> int:
    """Return how many there are."""
    return int(_are_there(results, plane_axes).sum())


def _are_there(results: xr.Dataset, plane_axes: Sequence[str]) -> xr.DataArray:
    """Say which points on the axes that are not the plane's have a cell."""
    cells: xr.DataArray = results["status"] != ""
    return cells.any([axis for axis in plane_axes if axis in cells.dims])


def _title(plane: xr.Dataset, telling: list[str]) -> str:
    values = {axis: plane[axis].item() for axis in ("model", *telling)}
    if values.get("runtime", "litert") != "litert" and values.get("delegate") == "xnnpack":
        del values["delegate"]  # which is LiteRT's
    return ", ".join(_named(axis, value) for axis, value in values.items())


def _named(axis: str, value: Any) -> str:
    if axis in ("model", "cpu_type"):
        return str(value) or "without a name"
    return "own resolution" if (axis, value) == ("resolution", 0) else f"{axis} {value}"
