"""Latency by quantization and threads."""

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from analysis.figures.style import STYLE, legend, name_axes, panels_of, points, shades
from analysis.table import half_width, latency, thread_count

LABELLED = 4
"""Up to so many thread counts, each latency has its value beside it."""


def latency_figure(results: xr.Dataset) -> Figure:
    """Draw latency by quantization and threads, with 95 % intervals: a panel for each model."""
    counts = results["threads"].values
    labelled = len(counts) <= LABELLED
    row = max(0.3, (0.2 if labelled else 0.1) * (len(counts) + 1))
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(results, height=0.45 + row * results.sizes["quantization"])
        _latency_axis(panels[0][0], results)
        for panel, cells in panels:
            _latency_panel(panel, cells, labelled)
        marks = [
            panels[0][0].scatter([], [], color=colour, label=thread_count(count))
            for colour, count in zip(shades(len(counts)), counts, strict=True)
        ]
        legend(figure, results, marks)
        what = "latency of one inference"
        if (results["figure"] == "throughput").any():
            what = "latency, or time for each inference where a rate counts"
        name_axes(figure, f"{what}, ms: median of trials and 95 % interval")
        return figure


def _latency_panel(panel: Axes, cells: xr.Dataset, labelled: bool) -> None:
    names = cells["quantization"].values
    count = cells.sizes["threads"]
    for number, colour in enumerate(shades(count)):
        at = cells.isel(threads=number)
        y = np.arange(len(names)) + (number - (count - 1) / 2) / (count + 1)
        bounds = at["ci_low_ns"].values / 1e6, at["ci_high_ns"].values / 1e6
        panel.hlines(y, *bounds, color=colour, linewidth=1.6)
        points(panel, at["median_ns"].values / 1e6, y, at["verdict"].values == "", color=colour)
        if labelled:
            _latency_labels(panel, at, y)
    panel.set_yticks(range(len(names)), map(str, names))
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    for between in range(1, len(names)):
        panel.axhline(between - 0.5, color="0.9", linewidth=0.8, zorder=0)


def _latency_labels(panel: Axes, at: xr.Dataset, y: Any) -> None:
    """Write each value beside its point, and the status where there is no value."""
    for number, place in enumerate(y):
        cell = {name: at[name].values[number] for name in ("median_ns", "ci_low_ns", "ci_high_ns")}
        middle, low, high = cell.values()
        status = at["status"].values[number]
        if status == "ok":
            width = "" if np.isnan(high) else f" ±{half_width(middle, low, high)} %"
            text = f"{latency(middle)}{width}"
            right = np.nanmax([middle, high]) / 1e6  # of two trials it can be far away
            where: Any = (min(right, panel.get_xlim()[1]), place)
            coordinates: Any = "data"
        else:
            text, where, coordinates = status, (0, place), panel.get_yaxis_transform()
        panel.annotate(
            text,
            where,
            xycoords=coordinates,
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            size=7.5,
            color="0.25" if status == "ok" else "0.5",
        )


def _latency_axis(panel: Axes, results: xr.Dataset) -> None:
    """Set the axis that all panels share: from zero, or logarithmic where values lie far apart."""
    medians = results["median_ns"].values / 1e6
    least, most = np.nanmin(medians), np.nanmax(medians)
    if most > 10 * least:
        panel.set_xscale("log")
        panel.set_xlim(least / 1.4, most * 1.4)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 1e3 * least else (1,)))
        panel.xaxis.set_minor_formatter(lambda *_: "")
    else:
        panel.set_xlim(0, most * 1.1)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
