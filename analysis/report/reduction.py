"""What a page leaves out where a run is too large for it, and the words that say so."""

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis import planes

MOST_POINTS = 4000
"""Of more points in a chart some are drawn at random."""
MOST_ROWS = 10_000
"""Of more cells the fastest of each plane stand in the table."""
ROWS_AS_HTML = 300
"""So many rows of a table are there before any script runs; the others are packed."""
MOST_MACHINES = 500
"""Of more nodes, or profiles of cells, the first are listed."""
MOST_NODES = 24
"""Of more lines in a chart none can be followed."""


def of_planes(results: xr.Dataset) -> str:
    """Say how many planes are shown, if that is not all."""
    count = planes.count_planes(results)
    if count <= planes.MOST_PLANES:
        return ""
    axes = [
        str(a) for a in results["status"].dims if a not in planes.PLANE and results.sizes[a] > 1
    ]
    what = f"combinations of {', '.join(axes)}" if len(axes) > 1 else f"values of {axes[0]}"
    return (
        f"Shown are the first {planes.MOST_PLANES} of {count} {what}; "
        "for others: litesweep report RUN:model=NAME --out FILE."
    )


def drawn(count: int) -> npt.NDArray[np.int64]:
    """Return the places of the points that are shown of so many: all, or some at random.

    Always the same. Every n-th would be of some rounds only, or of some thread counts.
    """
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_POINTS, replace=False))


def of_points(count: int, what: str) -> str:
    """Say how many points are shown, if that is not all."""
    if count <= MOST_POINTS:
        return ""
    return f" Shown are {MOST_POINTS} of {count} {what}, drawn at random."


def of_first(count: int, what: str) -> str:
    """Say that the first nodes or profiles are listed, if that is not all."""
    if count <= MOST_MACHINES:
        return ""
    return f"Listed are the first {MOST_MACHINES} of {count} {what}."


def fastest(results: xr.Dataset) -> npt.NDArray[np.int64]:
    """Return the places of no more than `MOST_ROWS` cells: the fastest of each plane, in order."""
    places = np.argwhere(results["status"].values != "")
    if len(places) <= MOST_ROWS:
        return places
    others = [n for n, axis in enumerate(results["status"].dims) if axis not in planes.PLANE]
    _, plane, sizes = np.unique(places[:, others], axis=0, return_inverse=True, return_counts=True)
    plane = plane.ravel()
    by_speed = np.lexsort((results["median_ns"].values[tuple(places.T)], plane))  # NaN last
    rank = np.empty(len(places), np.int64)
    rank[by_speed] = np.arange(len(places)) - (sizes.cumsum() - sizes)[plane[by_speed]]
    return places[rank < max(1, MOST_ROWS // len(sizes))][:MOST_ROWS]
