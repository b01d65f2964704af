"""How latencies are distributed on each node."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, name_axes, panels_of
from analysis.raw import over_median
from suite.intervals import geometric_mean

MOST_NAMED = len(COLOURS)
"""Of more nodes, only the fastest and the slowest are named, and have a band."""


def distribution_figure(results: xr.Dataset, quantiles: xr.DataArray) -> Figure:
    """Draw the empirical distribution of samples, a line a node: a panel for each model.

    Samples are set against the median of their cell, so that all cells share a panel. Trials are
    the replicates: a line is the geometric mean of the trials' quantiles, its band the 95 %
    interval.

    Parameters
    ----------
    quantiles
        As `analysis.quantiles` returns them, of all cells or of some.
    """
    relative = over_median(quantiles, results)
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(results, height=2.6)
        for panel, cells in panels:
            _panel(panel, _in_plane(relative, cells))
        low, high = relative.quantile([0.001, 0.999]).values
        if low < high:  # else there is one sample, or all are alike
            figure.axes[0].set_xlim(low, high)
        of_cells = ""
        if "cell" in relative.dims:
            count = int((results["status"] != "").sum())
            of_cells = f", of {relative.sizes['cell']} of {count} cells, drawn at random"
        name_axes(
            figure,
            f"sample over the median of its cell{of_cells}",
            "share of samples, 95 % interval over trials",
        )
        return figure


def _in_plane(relative: xr.DataArray, cells: xr.Dataset) -> xr.DataArray:
    """Return what is of the cells of a panel."""
    point = {axis: of.item() for axis, of in cells.coords.items() if not of.dims}
    if "cell" not in relative.dims:
        return relative.sel(point)
    here = np.all([relative[axis].values == value for axis, value in point.items()], axis=0)
    return relative.isel(cell=np.flatnonzero(here))


def _panel(panel: Axes, relative: xr.DataArray) -> None:
    shares = relative["quantile"].values
    panel.set_ylim(0, 1)
    values = relative.transpose("node", "quantile", ...).values
    trials = values.reshape(*values.shape[:2], -1)
    measured = np.flatnonzero(np.isfinite(trials).any(axis=(1, 2)))
    if not measured.size:  # all of its cells failed
        return
    found = geometric_mean(trials[measured])
    order = np.argsort(found.estimate[:, len(shares) // 2]).tolist()
    named = order if len(order) <= MOST_NAMED else [order[0], order[-1]]
    for number in {*range(len(order))} - {*named}:
        panel.plot(found.estimate[number], shares, color="0.75", linewidth=0.6)
    for rank, number in enumerate(named):
        colour = COLOURS[number if named == order else rank]
        middle, low, high = found.estimate[number], found.low[number], found.high[number]
        panel.plot(middle, shares, color=colour, linewidth=1.2)
        panel.fill_betweenx(shares, low, high, color=colour, alpha=0.25, linewidth=0)
        # Names climb, each at its own line.
        at = int((rank + 1) / (len(named) + 1) * (len(shares) - 1))
        panel.annotate(
            str(relative["node"].values[measured[number]]),
            (high[at] if np.isfinite(high[at]) else middle[at], shares[at]),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            size=7.5,
            color=colour,
        )
