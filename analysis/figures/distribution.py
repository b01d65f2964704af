"""How latencies are distributed on each node."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, panels_of
from suite.intervals import geometric_mean

MOST_NAMED = len(COLOURS)
"""Of more nodes, only the fastest and the slowest line is named."""


def distribution_figure(results: xr.Dataset, quantiles: xr.DataArray) -> Figure:
    """Draw the empirical distribution of samples, a line a node: a panel for each model.

    Samples are set against the median of their cell, so that all cells share a panel. Trials are
    the replicates: a line is the geometric mean of the trials' quantiles, its band the 95 %
    interval.

    Parameters
    ----------
    quantiles
        As `analysis.quantiles` returns them.
    """
    relative = results.assign(relative=quantiles / results["median_ns"])
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(relative, height=2.6)
        for panel, cells in panels:
            _panel(panel, cells["relative"])
        low, high = relative["relative"].quantile([0.001, 0.999]).values
        if low < high:  # else there is one sample, or all are alike
            figure.axes[0].set_xlim(low, high)
        figure.supxlabel("sample over the median of its cell", size=9)
        figure.supylabel("share of samples, 95 % interval over trials", size=9)
        return figure


def _panel(panel: Axes, relative: xr.DataArray) -> None:
    shares = relative["quantile"].values
    of_nodes = relative.transpose("node", ..., "quantile").values
    trials = of_nodes.reshape(len(of_nodes), -1, len(shares))
    measured = np.flatnonzero(np.isfinite(trials).any(axis=(1, 2)))
    panel.set_ylim(0, 1)
    if not measured.size:  # all of its cells failed
        return
    names = relative["node"].values[measured]
    found = geometric_mean(np.moveaxis(trials[measured], 1, 2))
    order = np.argsort(found.estimate[:, len(shares) // 2])
    ends = {order[0], order[-1]}
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        middle, low, high = found.estimate[number], found.low[number], found.high[number]
        panel.plot(middle, shares, color=colour, linewidth=1.2)
        panel.fill_betweenx(shares, low, high, color=colour, alpha=0.25, linewidth=0)
        if len(names) <= MOST_NAMED or number in ends:
            # Names climb, each at its own line.
            step = (order.tolist().index(number) + 1) / (len(names) + 1)
            at = int(step * (len(shares) - 1))
            panel.annotate(
                str(name),
                (high[at] if np.isfinite(high[at]) else middle[at], shares[at]),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                size=7.5,
                color=colour,
            )
