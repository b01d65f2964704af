"""Latency against size: what is worth having."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from analysis.figures.style import (
    COLOURS,
    STYLE,
    End,
    legend,
    name_axes,
    name_lines,
    panels_of,
    points,
)
from analysis.planes import PLANE
from analysis.table import thread_count
from analysis.trade_offs import pareto

MEBI = 2.0**20
ON_FRONT = 0.5
NONE = "none"
FORMS = (*PLANE, "optimization", "resolution")
"""The axes of a panel: what can be made of a model, and its threads."""
SIZES = {
    "artifact_bytes": "size of the file",
    "artifact_compressed_bytes": "size of the file under gzip -6",
}


def pareto_figure(results: xr.Dataset, size: str = "artifact_bytes") -> Figure:
    """Draw latency against the artifact's size, and the front: a panel for each model.

    What is on the front with a probability of a half or more is named, with its probability.

    Parameters
    ----------
    size
        One of `SIZES`.
    """
    axes = [str(axis) for axis in results["status"].dims if axis in FORMS]
    others = [str(axis) for axis in results["status"].dims if axis not in FORMS]
    results = results.assign(pareto(results, ["median_ns", size], within=others))
    results = results.assign(size_mib=results[size] / MEBI)
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(results, height=3.0, plane_axes=axes)
        _axes(panels[0][0], results)
        for panel, cells in panels:
            _panel(panel, cells.stack(cell=axes, create_index=False), results["quantization"])
        names = enumerate(results["quantization"].values)
        marks = [
            figure.axes[0].scatter([], [], color=COLOURS[n % len(COLOURS)], label=str(name))
            for n, name in names
        ]
        front_line = figure.axes[0].plot([], [], color="0.6", label="front")
        legend(figure, results, [*marks, *front_line])
        name_axes(figure, f"{SIZES[size]}, MiB", "latency, ms: 95 % interval")
        return figure


def _axes(panel: Axes, results: xr.Dataset) -> None:
    """Set the logarithmic axes that all panels share."""
    values = results["size_mib"].values, results["median_ns"].values / 1e6
    for axis, shown in zip((panel.xaxis, panel.yaxis), values, strict=True):
        known = shown[shown > 0]  # others have no place on a logarithmic axis
        least, most = known.min(), known.max()
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


def _panel(panel: Axes, cells: xr.Dataset, recipes: xr.DataArray) -> None:
    """Draw the cells, flat, of one panel."""
    names = map(str, recipes.values)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    for name, colour in colours.items():
        at = cells.isel(cell=np.flatnonzero(cells["quantization"].values == name))
        x = at["size_mib"].values
        panel.vlines(x, at["ci_low_ns"].values / 1e6, at["ci_high_ns"].values / 1e6, color=colour)
        points(panel, x, at["median_ns"].values / 1e6, at["verdict"].values == "", color=colour)
    best = cells.isel(cell=np.flatnonzero(cells["on_front"].values)).sortby("size_mib")
    x, y = best["size_mib"].values, best["median_ns"].values / 1e6
    panel.step(x, y, where="post", color="0.6", linewidth=1, zorder=1)
    likely = cells.isel(cell=np.flatnonzero(cells["probability"].values >= ON_FRONT))
    ends = []
    for number in range(likely.sizes["cell"]):
        cell = likely.isel(cell=number)
        name = f"{_form(cell)}: {100 * cell['probability'].item():.0f} %"
        x, y = cell["size_mib"].item(), cell["median_ns"].item() / 1e6
        colour = colours[str(cell["quantization"].item())]
        ends.append(End(name, colour, x, y, panel.transData))
    name_lines(panel, ends)


def _form(cell: xr.Dataset) -> str:
    """Say what is made of the model, where there are axes of it, and how many threads run it."""
    optimization = str(cell["optimization"].item()) if "optimization" in cell.coords else NONE
    resolution = cell["resolution"].item() if "resolution" in cell.coords else 0
    what = (optimization * (optimization != NONE), f"{resolution}px" * bool(resolution))
    recipe = " ".join(part for part in (*what, str(cell["quantization"].item())) if part)
    return f"{recipe}, {thread_count(cell['threads'].item())}"
