"""The map of nodes: which are not as their like."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, WIDTH
from analysis.nodes import node_variability

MOST_NAMED = 60
"""Of more nodes, only outliers are named."""
OUTLIER = COLOURS[1]


def nodes_figure(results: xr.Dataset) -> Figure:
    """Draw how much slower each node is than is usual: a panel for each CPU type."""
    found = node_variability(results)
    if "run" in found.dims:
        found = found.stack(of=("run", "cpu_type"), create_index=False).rename(of="panel")
    else:
        found = found.rename(cpu_type="panel")
    known = np.flatnonzero(found["effect"].notnull().any("node"))
    counts = [int(found["effect"].isel(panel=at).notnull().sum()) for at in known]
    rows = [min(count, MOST_NAMED) for count in counts]
    with mpl.rc_context(STYLE):
        height = sum(0.16 * count + 0.5 for count in rows) + 0.4
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(known), squeeze=False, sharex=True, height_ratios=rows)[:, 0]
        for panel, at in zip(axes, known, strict=True):
            _panel(
                panel,
                found.isel(panel=at),
                str(results["cpu_type"].values[at % results.sizes["cpu_type"]]),
            )
        figure.supxlabel("slower than is usual for the CPU type, %: 95 % interval", size=9)
        return figure


def _panel(panel: Axes, found: xr.Dataset, title: str) -> None:
    nodes = found.isel(node=np.flatnonzero(found["effect"].notnull())).sortby("effect")
    percent = {end: 100 * (nodes[f"effect{end}"].values - 1) for end in ("", "_low", "_high")}
    y = np.arange(nodes.sizes["node"])
    outlier = nodes["outlier"].values.astype(bool)
    colours = [OUTLIER if away else COLOURS[0] for away in outlier]
    panel.hlines(y, percent["_low"], percent["_high"], colors=colours, linewidth=1.4)
    for away, marker in ((False, "o"), (True, "X")):
        chosen = outlier == away
        colour = OUTLIER if away else COLOURS[0]
        panel.scatter(percent[""][chosen], y[chosen], s=22, color=colour, marker=marker, zorder=3)
    names = [str(name) for name in nodes["node"].values]
    if len(names) > MOST_NAMED:
        names = [name if away else "" for name, away in zip(names, outlier, strict=True)]
        panel.tick_params(axis="y", length=0)
    panel.set_yticks(y, names, size=7)
    panel.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    panel.grid(visible=False, axis="y")
    panel.set_ylim(-0.7, len(names) - 0.3)
    panel.set_title(f"{title}: {len(names)} nodes, outliers (×): {outlier.sum() or 'none'}")
