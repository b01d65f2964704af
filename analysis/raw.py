"""The raw latencies, sample by sample."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.lazy import Chunks, Key, Lazy, lazy, opened
from analysis.measured import Measured, measured
from analysis.segments import Array, Bools, Floats, Ints, Segments
from suite.errors import UserError, nearest
from suite.results.columns import PIECE
from suite.results.stored import Stored

SHARES = tuple(np.linspace(0.01, 0.99, 50))
MOST_QUANTILES = 2_000_000
"""So many a picture of them is made of; of more, some cells are drawn at random."""


def samples(
    path: Path | str, *, warm_up: bool = False, chunks: Chunks | None = None, **axes: Any
) -> xr.DataArray:
    """Return the raw latencies of the cells that `axes` select, in ns, in order of execution.

    They are read when they are asked for, and only those that are.

    Parameters
    ----------
    path
        A run's folder, or a file of results.
    warm_up
        Whether samples that the warm-up rule cut off are among them.
    chunks
        As of `xarray.open_dataset`: then these are arrays of dask (the extra `dask`), for what
        does not fit into memory; as `{"sample": 10_000_000}`.
    **axes
        Values on the sweep's axes, as `model="resnet50", threads=1`.

    Returns
    -------
    xarray.DataArray
        Along `sample`, with the coordinates `trial_id`, `node`, `round`, `invocation` (the
        sample's place in its trial, warm-up counted) and one for each axis.

    Raises
    ------
    UserError
        If there are no results, no such axis, or no such cell.

    Examples
    --------
    >>> latency = samples("runs/r", chunks={"sample": 10**7})  # doctest: +SKIP
    >>> (latency > 10**9).mean().compute()  # doctest: +SKIP
    """
    of = measured(path)
    cells = np.append(_selected(of, axes), False)  # the last is for no cell
    trials = np.flatnonzero(cells[of.trials.cell])
    part = _Part.of(of, trials, warm_up=warm_up)
    place = {axis: of.places[n][of.trials.cell[trials]] for n, axis in enumerate(of.axes)}
    described = {
        "trial_id": of.stored["trial_id"][trials],
        "node": np.array([*of.nodes, ""])[of.trials.node[trials]],
        "round": of.trials.round[trials],
        **{axis: np.array(values)[place[axis]] for axis, values in of.axes.items()},
    }
    shape = (int(part.packed.sizes.sum()),)

    def along(dtype: npt.DTypeLike, compute: Callable[[int, int], Array], units: str = "") -> Any:
        return lazy(("sample",), Lazy(shape, dtype, partial(_at, shape[0], compute)), units)

    coords = {
        name: along(_decoded(values[:0]).dtype, partial(part.described, values))
        for name, values in described.items()
    }
    coords["invocation"] = along(np.int64, part.invocations)
    given = xr.Dataset({"latency_ns": along(np.int64, part.latencies, "ns")}, coords)
    token = f"{sorted(axes.items())} {warm_up}"
    return opened(given, of.stored.path, chunks, token)["latency_ns"]


@dataclass(frozen=True, eq=False)
class _Part:
    """The samples of some trials, end to end; stretches of them are read."""

    stored: Stored
    inside: Segments
    """In the file."""
    packed: Segments
    cut: Ints
    """How many are left off at the beginning of each."""

    @classmethod
    def of(cls, of: Measured, trials: Ints, *, warm_up: bool) -> "_Part":
        rows = Segments.end_to_end(of.stored["row_size"]).that(trials)
        kept = rows if warm_up else of.trials.kept.that(trials)
        packed = Segments.end_to_end(kept.sizes)
        return cls(of.stored, kept, packed, kept.starts - rows.starts)

    def stretch(self, first: int, last: int) -> tuple[Ints, Segments]:
        """Return of which trials the samples from `first` to `last` are, and where in the file."""
        ends = self.packed.starts + self.packed.sizes
        trials = np.arange(
            np.searchsorted(ends, first, side="right"), np.searchsorted(self.packed.starts, last)
        )
        before = np.maximum(first - self.packed.starts[trials], 0)
        behind = np.maximum(ends[trials] - last, 0)
        here = self.inside.that(trials)
        return trials, Segments(here.starts + before, here.sizes - before - behind)

    def latencies(self, first: int, last: int) -> Array:
        _, there = self.stretch(first, last)
        ends = there.starts + there.sizes
        breaks = np.flatnonzero(there.starts[1:] - ends[:-1] > PIECE) + 1
        found = [np.empty(0, np.uint64)]
        with self.stored.opened() as read:
            for run in np.split(np.arange(len(ends)), breaks):
                if len(run):
                    begin = there.starts[run[0]]
                    together = Segments(there.starts[run] - begin, there.sizes[run])
                    samples = read("latency_ns", int(begin), int(ends[run[-1]]))
                    found.append(together.gathered(samples))
        # With a sign: a difference of two may be below zero.
        return np.concatenate(found).view(np.int64)

    def invocations(self, first: int, last: int) -> Array:
        trials, there = self.stretch(first, last)
        packed = Segments.end_to_end(there.sizes)
        number = self.cut[trials] + there.starts - self.inside.starts[trials] - packed.starts
        return np.repeat(number, there.sizes) + np.arange(last - first)

    def described(self, of_trials: Array, first: int, last: int) -> Array:
        trials, there = self.stretch(first, last)
        return np.repeat(_decoded(of_trials[trials]), there.sizes)


def _decoded(values: Array) -> Array:
    return np.strings.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _at(count: int, compute: Callable[[int, int], Array], key: Key) -> Array:
    """Return what a key selects of what is computed by stretches."""
    numbers = range(count)[key[0]]
    if isinstance(numbers, int):
        return np.asarray(compute(numbers, numbers + 1)[0])
    if not numbers:
        return compute(0, 0)
    return compute(numbers[0], numbers[-1] + 1)[:: numbers.step]


def quantiles(
    path: Path | str,
    shares: Sequence[float] = SHARES,
    *,
    most: int | None = None,
    **axes: Any,
) -> xr.DataArray:
    """Return quantiles of each trial's samples after the warm-up, in ns.

    Parameters
    ----------
    path
        A run's folder, or a file of results.
    shares
        Which, from 0 to 1.
    most
        Where there would be more numbers than so many, they are of some cells only, drawn at
        random, always the same.
    **axes
        Values on the sweep's axes that the cells are to have.

    Returns
    -------
    xarray.DataArray
        Over the sweep's axes, `node`, `trial` and `quantile`; NaN where there is no trial. Of some
        cells, over `cell` in place of the axes, which are then coordinates of it.

    Raises
    ------
    UserError
        If there are no results, no such axis, or no such cell; if a share is none.
    """
    if wrong := [share for share in shares if not 0 <= share <= 1]:
        raise UserError(f"{wrong[0]} is no share.", "Give shares from 0 to 1: 0.5 is the median.")
    of = measured(path)
    of_cell = (len(of.nodes), of.rounds, len(shares))
    room = (most or 0) // max(1, math.prod(of_cell))
    whole = most is None or of.cell_at.size <= room
    cells = np.flatnonzero(_selected(of, axes))
    if not whole:
        cells = cells[_drawn(len(cells), max(1, room))]
    found = _quantiles(of, cells, np.array(shares))
    coords: dict[str, Any] = {
        "node": of.nodes,
        "trial": np.arange(of.rounds),
        "quantile": [*shares],
    }
    if whole:
        row = np.full(of.cells + 1, len(cells))  # where there is no cell: a row more
        row[cells] = np.arange(len(cells))
        found = np.concatenate([found, np.full((1, *of_cell), np.nan)])[row[of.cell_at]]
        dims = (*of.axes, *coords)
        coords = {**of.axes, **coords}
    else:
        dims = ("cell", *coords)
        for number, (axis, values) in enumerate(of.axes.items()):
            coords[axis] = ("cell", np.array(values)[of.places[number][cells]])
    return xr.DataArray(found, coords, dims, attrs={"units": "ns"})


def over_median(quantiles: xr.DataArray, results: xr.Dataset) -> xr.DataArray:
    """Return quantiles, of all cells or of some, over the median of their cell."""
    medians = results["median_ns"]
    if "cell" in quantiles.dims:
        medians = medians.sel({axis: quantiles[axis] for axis in medians.dims})
    return quantiles / medians


def _drawn(count: int, most: int) -> Ints:
    """Return some numbers below `count`, drawn at random, but always the same."""
    return np.sort(np.random.default_rng(0).choice(count, min(count, most), replace=False))


def _quantiles(of: Measured, cells: Ints, shares: Floats) -> Floats:
    """Return quantiles of shape (cells, nodes, rounds, shares)."""
    found = np.full((len(cells), len(of.nodes), of.rounds, len(shares)), np.nan)
    row = np.full(of.cells, -1)
    row[cells] = np.arange(len(cells))

    def work(samples: Array, first: int, trials: Ints) -> None:
        trials = trials[of.trials.kept.sizes[trials] > 0]
        there = of.trials.kept.that(trials)
        ordered = Segments(there.starts - first, there.sizes).gathered(samples).copy()
        packed = Segments.end_to_end(there.sizes)
        packed.sort(ordered)
        place = row[of.trials.cell[trials]], of.trials.node[trials], of.trials.round[trials]
        found[place] = packed.quantile(ordered, shares[:, None]).T

    of.read_samples(row >= 0, work)
    return found


def _selected(of: Measured, axes: dict[str, Any]) -> Bools:
    """Say which cells have the values `axes`."""
    selected = np.ones(of.cells, bool)
    for axis, value in axes.items():
        if axis not in of.axes:
            raise UserError(f"There is no axis {axis!r}.", nearest(axis, tuple(of.axes)))
        known = sorted(of.axes[axis])
        if value not in known:
            names = tuple(map(str, known))
            raise UserError(
                f"There is no {axis} {value!r} in these results.",
                # "1" is not near to 1: it is another type.
                f"Known: {', '.join(names)}."
                if str(value) in names
                else nearest(str(value), names),
            )
        place = of.places[list(of.axes).index(axis)]
        selected &= place == of.axes[axis].index(value)
    return selected
