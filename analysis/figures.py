"""Figures: each shows its uncertainty, and marks what is not valid."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.speedups import speedup

# Okabe and Ito's colours, which the colour-blind can tell apart (jfly.uni-koeln.de/color).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "litesweep",  # the same results give the same bytes
}
FORMATS = ("svg", "png")


def write_figures(results: xr.Dataset, folder: Path | str) -> list[Path]:
    """Draw every figure that the results have the data for, as SVG and PNG.

    Returns
    -------
    list of pathlib.Path
        The files written, in `folder`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in _figures(results):
        for kind in FORMATS:
            path = folder / f"{name}.{kind}"
            with mpl.rc_context(STYLE):
                figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
            written.append(path)
    return written


def _figures(results: xr.Dataset) -> Iterator[tuple[str, Figure]]:
    if not np.isfinite(results["median_ns"]).any():
        return
    yield "latency", latency_figure(results)
    if results.sizes["threads"] > 1 and 1 in results["threads"].values:
        yield "speedup", speedup_figure(results)


def latency_figure(results: xr.Dataset) -> Figure:
    """Draw latency by quantization and threads, with 95 % intervals: a panel for each model."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels(results, height=0.9 + 0.34 * results.sizes["quantization"])
        for panel, cells in panels:
            _latency_panel(panel, cells)
        _legend(figure, panels[0][0], results, "threads")
        figure.supxlabel("latency of one inference, ms (median of trials, 95 % interval)", size=10)
        return figure


def _latency_panel(panel: Axes, cells: xr.Dataset) -> None:
    names = [str(name) for name in cells["quantization"].values]
    counts = cells["threads"].values
    offsets = np.linspace(-0.2, 0.2, len(counts)) if len(counts) > 1 else [0.0]
    for number, (threads, offset) in enumerate(zip(counts, offsets, strict=True)):
        at = cells.sel(threads=threads)
        _points(
            panel,
            at["median_ns"].values / 1e6,
            np.arange(len(names)) + offset,
            bounds=(at["ci_low_ns"].values / 1e6, at["ci_high_ns"].values / 1e6),
            valid=at["verdict"].values == "",
            colour=COLOURS[number % len(COLOURS)],
            horizontal=True,
        )
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    medians = cells["median_ns"].values
    if np.nanmax(medians) > 10 * np.nanmin(medians):
        panel.set_xscale("log")
    else:
        panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.grid(axis="x", color="0.9")
    panel.set_axisbelow(True)


def speedup_figure(results: xr.Dataset) -> Figure:
    """Draw speed-up over one thread against the ideal line: a panel for each model."""
    ratios = speedup(results, threads=1).assign(verdict=results["verdict"])
    with mpl.rc_context(STYLE):
        figure, panels = _panels(ratios, height=3.4)
        for panel, cells in panels:
            _speedup_panel(panel, cells)
        _legend(figure, panels[0][0], results, "quantization", ideal=True)
        figure.supxlabel("threads", size=10)
        figure.supylabel("times faster than one thread", size=10)
        return figure


def _speedup_panel(panel: Axes, cells: xr.Dataset) -> None:
    threads = cells["threads"].values.astype(float)
    panel.plot(threads, threads, color="0.6", linestyle="--", zorder=1)
    count = cells.sizes["quantization"]
    # Apart by a hair, so that intervals at one number of threads do not hide each other.
    step = 0.012 * (threads.max() - threads.min() or 1)
    for number in range(count):
        at = cells.isel(quantization=number)
        colour = COLOURS[number % len(COLOURS)]
        x = threads + (number - (count - 1) / 2) * step
        panel.plot(x, at["ratio"].values, color=colour, linewidth=1.2, alpha=0.6)
        _points(
            panel,
            x,
            at["ratio"].values,
            bounds=(at["ratio_low"].values, at["ratio_high"].values),
            valid=at["verdict"].values == "",
            colour=colour,
            horizontal=False,
        )
    panel.set_xticks(threads, [f"{value:g}" for value in threads])
    panel.set_ylim(bottom=0)
    panel.grid(axis="y", color="0.9")
    panel.set_axisbelow(True)


def _points(
    panel: Axes,
    x: Any,
    y: Any,
    *,
    bounds: tuple[Any, Any],
    valid: Any,
    colour: str,
    horizontal: bool,
) -> None:
    """Draw points with their intervals; what is not valid is hollow."""
    low, high = bounds
    lines = panel.hlines if horizontal else panel.vlines
    lines(y if horizontal else x, low, high, color=colour, linewidth=1.6)
    for chosen, face in ((valid, colour), (~valid, "white")):
        panel.scatter(x[chosen], y[chosen], s=26, facecolor=face, edgecolor=colour, zorder=3)


def _panels(results: xr.Dataset, height: float) -> tuple[Figure, list[tuple[Axes, xr.Dataset]]]:
    """Return a figure with a panel for each model and CPU type, and the cells of each."""
    others = [axis for axis in results["verdict"].dims if axis not in ("quantization", "threads")]
    points = [
        {axis: results[axis].values[place] for axis, place in zip(others, places, strict=True)}
        for places in np.ndindex(*(results.sizes[axis] for axis in others))
    ]
    telling = [axis for axis in others if results.sizes[axis] > 1]
    figure = Figure(figsize=(7.0, height * len(points) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(points), squeeze=False)[:, 0]
    panels = []
    for panel, point in zip(axes, points, strict=True):
        panel.set_title(" on ".join(str(point[axis]) for axis in telling or others[:1]))
        panels.append((panel, results.sel(point)))
    return figure, panels


def _legend(
    figure: Figure, panel: Axes, results: xr.Dataset, axis: str, ideal: bool = False
) -> None:
    """Name the colours of `axis`, and what hollow points are if there are any."""
    marks: list[Any] = [
        panel.scatter([], [], color=COLOURS[number % len(COLOURS)], label=_label(axis, value))
        for number, value in enumerate(results[axis].values)
    ]
    if ideal:
        marks += panel.plot([], [], color="0.6", linestyle="--", label="ideal")
    verdict = results["verdict"].values
    if ((verdict != "") & (results["status"].values == "ok")).any():
        marks.append(
            panel.scatter([], [], facecolor="white", edgecolor="0.3", label="not valid (see table)")
        )
    figure.legend(handles=marks, loc="outside right upper")


def _label(axis: str, value: Any) -> str:
    if axis == "threads":
        return "1 thread" if value == 1 else f"{value} threads"
    return str(value)
