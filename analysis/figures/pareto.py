"""Latency against size: what is worth having."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from analysis.figures.style import COLOURS, STYLE, End, legend, name_lines, panels_of, points
from analysis.planes import PLANE
from analysis.table import thread_count
from analysis.trade_offs import pareto

MEBI = 2.0**20
ON_FRONT = 0.5


def pareto_figure(results: xr.Dataset) -> Figure:
    """Draw latency against the artifact's size, and the front: a panel for each model.

    What is on the front with a probability of a half or more is named, with its probability.
    """
    others = [str(axis) for axis in results["status"].dims if axis not in PLANE]
    front = pareto(results, ["median_ns", "artifact_bytes"], within=others)
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(results.assign(front), height=3.0)
        _axes(panels[0][0], results)
        for panel, cells in panels:
            _panel(panel, cells.transpose("quantization", "threads", ...))
        names = enumerate(results["quantization"].values)
        marks = [
            figure.axes[0].scatter([], [], color=COLOURS[n % len(COLOURS)], label=str(name))
            for n, name in names
        ]
        front_line = figure.axes[0].plot([], [], color="0.6", label="front")
        legend(figure, results, [*marks, *front_line])
        figure.supxlabel("size of the file, MiB", size=9)
        figure.supylabel("latency, ms: 95 % interval", size=9)
        return figure


def _axes(panel: Axes, results: xr.Dataset) -> None:
    """Set the logarithmic axes that all panels share."""
    values = results["artifact_bytes"].values / MEBI, results["median_ns"].values / 1e6
    for axis, shown in zip((panel.xaxis, panel.yaxis), values, strict=True):
        least, most = np.nanmin(shown), np.nanmax(shown)
        margin = (most / least) ** 0.08 * 1.05
        bounds = (least / margin, most * margin)
        if axis is panel.xaxis:
            panel.set_xscale("log")
            panel.set_xlim(bounds)
        else:
            panel.set_yscale("log")
            panel.set_ylim(bounds)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 1e2 * least else (1,)))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda *_: "")


def _panel(panel: Axes, cells: xr.Dataset) -> None:
    names = map(str, cells["quantization"].values)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    for name, colour in colours.items():
        at = cells.sel(quantization=name)
        x = at["artifact_bytes"].values / MEBI
        panel.vlines(x, at["ci_low_ns"].values / 1e6, at["ci_high_ns"].values / 1e6, color=colour)
        points(panel, x, at["median_ns"].values / 1e6, at["verdict"].values == "", color=colour)
    flat = cells.stack(cell=("quantization", "threads"), create_index=False)
    best = flat.isel(cell=np.flatnonzero(flat["on_front"].values)).sortby("artifact_bytes")
    x, y = best["artifact_bytes"].values / MEBI, best["median_ns"].values / 1e6
    panel.step(x, y, where="post", color="0.6", linewidth=1, zorder=1)
    likely = flat.isel(cell=np.flatnonzero(flat["probability"].values >= ON_FRONT))
    ends = []
    for number in range(likely.sizes["cell"]):
        cell = likely.isel(cell=number)
        share = f"{100 * cell['probability'].item():.0f} %"
        recipe = str(cell["quantization"].item())
        name = f"{recipe}, {thread_count(cell['threads'].item())}: {share}"
        x, y = cell["artifact_bytes"].item() / MEBI, cell["median_ns"].item() / 1e6
        ends.append(End(name, colours[recipe], x, y, panel.transData))
    name_lines(panel, ends)
