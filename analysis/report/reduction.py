"""What a page leaves out where a run is too large for it, and the words that say so."""

from collections.abc import Iterator
from itertools import islice

import xarray as xr

from analysis.planes import PLANE, planes
from analysis.table import Record

MOST_PLANES = 24
"""Of more models (and CPU types, and whatever other axes there are) the first are shown."""
MOST_POINTS = 4000
"""Of more points in a chart every n-th is shown."""
MOST_ROWS = 10_000
"""Of more cells the fastest of each plane stand in the table."""
ROWS_AS_HTML = 300
"""So many rows of a table are there before any script runs; the others are packed."""
MOST_BARS = 60
"""Of more intervals below each other nobody finds the one that matters."""
MOST_MACHINES = 500
"""Of more nodes, or profiles of cells, the first are listed."""
MOST_NODES = 24
"""Of more lines in a chart none can be followed."""


def first_planes(results: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the first planes with their titles, see `analysis.planes`."""
    return islice(planes(results), MOST_PLANES)


def count_planes(results: xr.Dataset) -> int:
    """Return how many planes have a cell."""
    planned = results["status"] != ""
    return int(planned.any([axis for axis in PLANE if axis in planned.dims]).sum())


def of_planes(results: xr.Dataset) -> str:
    """Say how many planes are shown, if that is not all."""
    count = count_planes(results)
    if count <= MOST_PLANES:
        return ""
    return (
        f"Shown are the first {MOST_PLANES} of {count} models and CPU types; "
        "for others: litesweep report RUN:model=NAME --out FILE."
    )


def every(count: int) -> int:
    """Return n, where every n-th of `count` is shown."""
    return max(1, -(-count // MOST_POINTS))


def of_points(shown: int, count: int, what: str) -> str:
    """Say that every n-th point is shown, if that is not all."""
    return f" Shown are {shown} of {count} {what}, evenly." if shown < count else ""


def of_first(count: int, what: str) -> str:
    """Say that the first nodes or profiles are listed, if that is not all."""
    if count <= MOST_MACHINES:
        return ""
    return f"Listed are the first {MOST_MACHINES} of {count} {what}."


def fastest(records: list[Record], axes: list[str]) -> list[Record]:
    """Return no more than `MOST_ROWS` of a table's records: the fastest of each plane."""
    if len(records) <= MOST_ROWS:
        return records
    by_plane: dict[tuple[str, ...], list[int]] = {}
    for place, record in enumerate(records):
        plane = tuple(str(record[axis]) for axis in axes if axis not in PLANE)
        by_plane.setdefault(plane, []).append(place)
    of_each = max(1, MOST_ROWS // len(by_plane))

    def latency(place: int) -> float:
        return float(records[place]["median_ns"] or "inf")

    kept = [sorted(places, key=latency)[:of_each] for places in by_plane.values()]
    return [records[place] for place in sorted(place for places in kept for place in places)][
        :MOST_ROWS
    ]
