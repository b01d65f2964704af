"""How the machine drifted while it was measured."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, WIDTH
from suite.intervals import geometric_mean

NS_PER_MINUTE = 6e10


def drift_figure(results: xr.Dataset) -> Figure:
    """Draw each trial over the median of its cell on its node, in time; and each round's mean.

    The mean over a round's cells has its 95 % interval; where it leaves 1, all cells were slower or
    faster at once, which comparisons within a round do not notice.
    """
    medians = results["trial_median_ns"]
    ratio = medians / medians.median("trial")
    minutes = (results["start_unix_ns"] - results["start_unix_ns"].min()) / NS_PER_MINUTE
    nodes = [
        int(n)
        for n in np.flatnonzero(medians.notnull().any([d for d in medians.dims if d != "node"]))
    ]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        for place, node in enumerate(nodes):
            colour = COLOURS[place % len(COLOURS)]
            of_node = ratio.isel(node=node).transpose(..., "trial").values
            times = minutes.isel(node=node).transpose(..., "trial").values
            panel.scatter(
                times, of_node, s=6, color=colour, alpha=0.35, linewidth=0, rasterized=True
            )
            rounds = of_node.reshape(-1, of_node.shape[-1])
            known = np.isfinite(rounds).sum(axis=0) > 1
            mean = geometric_mean(rounds.T[known])
            at = np.nanmedian(times.reshape(rounds.shape)[:, known], axis=0)
            error = (mean.estimate - mean.low, mean.high - mean.estimate)
            panel.errorbar(at, mean.estimate, error, color=colour, linewidth=1, elinewidth=1.6)
        panel.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        panel.set_xlabel("minutes since the first trial")
        panel.set_ylabel("trial over the median of its cell")
        panel.set_title(f"points: trials; lines: means of rounds, 95 % interval, {_nodes(nodes)}")
        return figure


def _nodes(nodes: list[int]) -> str:
    return "one node" if len(nodes) == 1 else f"{len(nodes)} nodes by colour"
