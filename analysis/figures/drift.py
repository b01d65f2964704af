"""How the machine drifted while it was measured."""

import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, LONGEST_LINE, STYLE, WIDTH, Floats
from suite.intervals import Intervals, geometric_mean

NS_PER_MINUTE = 6e10
MOST_NAMED = len(COLOURS)
"""Of more nodes, those are named that stray furthest."""
OTHERS = "0.8"


def drift_figure(results: xr.Dataset) -> Figure:
    """Draw each trial over the median of its cell on its node, in time; and each round's mean.

    The mean over a round's cells has its 95 % interval; where it leaves 1, all cells were slower or
    faster at once, which comparisons within a round do not notice.
    """
    medians = results["trial_median_ns"]
    ratio = medians / medians.median("trial")
    minutes = (results["start_unix_ns"] - results["start_unix_ns"].min()) / NS_PER_MINUTE
    measured = medians.notnull().any([d for d in medians.dims if d != "node"])
    nodes = [
        (str(results["node"].values[n]), _by_round(ratio, n), _by_round(minutes, n))
        for n in np.flatnonzero(measured).tolist()
    ]
    means = [_means(of_node) for _, of_node, _ in nodes]
    furthest = sorted(range(len(nodes)), key=lambda n: -_strays(means[n]))[:MOST_NAMED]
    colour_of = dict(zip(sorted(furthest), COLOURS, strict=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        for n, (name, of_node, times) in enumerate(nodes):
            colour = colour_of.get(n, OTHERS)
            named = n in colour_of
            look: Any = {"color": colour, "zorder": 2 if named else 1}
            panel.scatter(
                times,
                of_node,
                s=6,
                alpha=0.35 if named else 1,
                linewidth=0,
                rasterized=True,
                **look,
            )
            mean, known = means[n], np.isfinite(means[n].estimate)
            at = np.nanmedian(times[known], axis=1)
            if named:
                error = np.array([mean.estimate - mean.low, mean.high - mean.estimate])[:, known]
                look |= {"linewidth": 1, "elinewidth": 1.6, "label": name}
                panel.errorbar(at, mean.estimate[known], error, **look)
            else:
                panel.plot(at, mean.estimate[known], linewidth=0.6, **look)
        panel.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        panel.set_xlabel("minutes since the first trial")
        panel.set_ylabel("trial over the median of its cell")
        panel.set_title(textwrap.fill(_title(len(nodes)), LONGEST_LINE))
        if len(nodes) > 1:
            figure.legend(loc="outside lower left", ncols=4, fontsize=8)
        return figure


def _by_round(of_trials: xr.DataArray, node: int) -> Floats:
    """Return what is known of the trials of a node, of shape (rounds, cells)."""
    values: Floats = of_trials.isel(node=node).transpose("trial", ...).values
    return values.reshape(len(values), -1)


def _means(ratio: Floats) -> Intervals:
    """Return the mean of each round with its interval; NaN of a single trial, which has none."""
    alone = np.isfinite(ratio).sum(axis=1) < 2
    return geometric_mean(np.where(alone[:, None], np.nan, ratio))


def _strays(mean: Intervals) -> float:
    """Return how far any round's mean is from 1."""
    return float(np.nanmax(abs(np.log(mean.estimate)), initial=0))


def _title(count: int) -> str:
    nodes = f"{count} nodes by colour" if count > 1 else "one node"
    if count > MOST_NAMED:
        nodes = f"{count} nodes, in colour the {MOST_NAMED} that stray furthest"
    return f"points: trials; lines: means of rounds, 95 % interval; {nodes}"
