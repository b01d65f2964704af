"""Figures: each shows its uncertainty, and marks what is not valid."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.transforms import ScaledTranslation, Transform
from scipy.optimize import isotonic_regression

from analysis.planes import PLANE, planes
from analysis.speedups import speedup
from analysis.table import half_width, latency

# Okabe and Ito's colours, which the colour-blind can tell apart (jfly.uni-koeln.de/color).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": "0.9",
    "legend.frameon": False,
    "savefig.dpi": 150,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "litesweep",  # the same results give the same bytes
}
FORMATS = ("svg", "png")
WIDTH = 7.0
"""Of a figure, in inches; so are all heights."""
LABELLED = 4
"""Up to so many thread counts, each latency has its value beside it."""

Floats = npt.NDArray[np.float64]


class End(NamedTuple):
    """Where a line ends that is to be named."""

    name: str
    colour: str
    x: float
    y: float
    coordinates: Transform


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
    if np.isfinite(speedup(results, threads=1)["ratio"].sel(threads=results["threads"] > 1)).any():
        yield "speedup", speedup_figure(results)


def latency_figure(results: xr.Dataset) -> Figure:
    """Draw latency by quantization and threads, with 95 % intervals: a panel for each model."""
    counts = results["threads"].values
    labelled = len(counts) <= LABELLED
    row = max(0.3, (0.2 if labelled else 0.1) * (len(counts) + 1))
    with mpl.rc_context(STYLE):
        figure, panels = _panels(results, height=0.45 + row * results.sizes["quantization"])
        _latency_axis(panels[0][0], results)
        for panel, cells in panels:
            _latency_panel(panel, cells, labelled)
        marks = [
            panels[0][0].scatter([], [], color=colour, label=_threads(count))
            for colour, count in zip(_shades(len(counts)), counts, strict=True)
        ]
        _legend(figure, results, marks)
        figure.supxlabel("latency of one inference, ms: median of trials and 95 % interval", size=9)
        return figure


def _latency_panel(panel: Axes, cells: xr.Dataset, labelled: bool) -> None:
    names = cells["quantization"].values
    count = cells.sizes["threads"]
    for number, colour in enumerate(_shades(count)):
        at = cells.isel(threads=number)
        y = np.arange(len(names)) + (number - (count - 1) / 2) / (count + 1)
        bounds = at["ci_low_ns"].values / 1e6, at["ci_high_ns"].values / 1e6
        panel.hlines(y, *bounds, color=colour, linewidth=1.6)
        _points(panel, at["median_ns"].values / 1e6, y, at["verdict"].values == "", color=colour)
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


def speedup_figure(results: xr.Dataset) -> Figure:
    """Draw speed-up over one thread against the ideal line: a panel for each model."""
    valid = results["verdict"] == ""
    ratios = speedup(results, threads=1).assign(
        # A ratio is as good as the worse of its two cells.
        valid=valid & valid.sel(threads=1, drop=True),
        status=results["status"],
    )
    with mpl.rc_context(STYLE):
        figure, panels = _panels(ratios, height=3.2)
        _speedup_axes(panels[0][0], ratios)
        for panel, cells in panels:
            _speedup_panel(panel, cells)
        _legend(figure, results, [])
        figure.supxlabel("threads", size=9)
        figure.supylabel("times faster than one thread", size=9)
        return figure


def _speedup_panel(panel: Axes, cells: xr.Dataset) -> None:
    threads = cells["threads"].values.astype(float)
    panel.plot(threads, threads, color="0.6", linestyle="--", zorder=1)
    ends = [End("ideal", "0.45", threads[-1], threads[-1], panel.transData)]
    count = cells.sizes["quantization"]
    for number, name in enumerate(cells["quantization"].values):
        at = cells.isel(quantization=number)
        ratio = at["ratio"].values
        known = np.isfinite(ratio)
        if not known[threads > 1].any():
            continue
        colour = COLOURS[number % len(COLOURS)]
        # Apart by a hair, so that intervals at one number of threads do not hide each other.
        aside = ScaledTranslation((number - (count - 1) / 2) / 30, 0, panel.figure.dpi_scale_trans)
        place = panel.transData + aside
        look: Any = {"color": colour, "transform": place}
        panel.plot(threads[known], ratio[known], linewidth=1.2, alpha=0.6, **look)
        panel.vlines(threads, at["ratio_low"].values, at["ratio_high"].values, **look)
        _points(panel, threads, ratio, at["valid"].values, **look)
        ends.append(End(str(name), colour, threads[known][-1], ratio[known][-1], place))
    _name_lines(panel, ends)


def _speedup_axes(panel: Axes, ratios: xr.Dataset) -> None:
    """Set the axes that all panels share, logarithmic for many threads."""
    threads = ratios["threads"].values.astype(float)
    most = np.nanmax([threads.max(), ratios["ratio"].max()])
    if most > 8:
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        panel.set_xlim(0.85, threads.max() * 1.2)
        panel.set_ylim(min(0.85, float(ratios["ratio"].min()) / 1.1), most * 1.1)
    else:
        panel.set_xlim(threads.min() - 0.05 * most, threads.max() + 0.05 * most)
        panel.set_ylim(0, most * 1.05)
    panel.set_xticks(threads, _labels_with_room(panel, threads))
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _labels_with_room(panel: Axes, threads: Floats) -> list[str]:
    """Return the ticks' labels, empty where the one before is too near."""
    to_axes = panel.transData + panel.transAxes.inverted()
    labels, last = [], -np.inf
    for value in threads:
        place, _ = to_axes.transform((value, 1))
        has_room = place - last > 0.03
        labels.append(f"{value:g}" if has_room else "")
        last = place if has_room else last
    return labels


def _name_lines(panel: Axes, ends: list[End]) -> None:
    """Write names at the right of the panel, as near to the lines' ends as there is room."""
    to_axes = panel.transData + panel.transAxes.inverted()
    ends = sorted(ends, key=lambda end: end.y)
    wanted = [to_axes.transform((end.x, end.y))[1] for end in ends]
    line: Any = {"arrowstyle": "-", "linewidth": 0.6, "linestyle": ":", "relpos": (0, 0.5)}
    for end, place in zip(ends, _spread(wanted, 0.058), strict=True):
        panel.annotate(
            end.name,
            (end.x, end.y),
            xycoords=end.coordinates,
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            size=8,
            color=end.colour,
            arrowprops={**line, "color": end.colour, "shrinkA": 0, "shrinkB": 4},
        )


def _spread(wanted: list[float], gap: float) -> Floats:
    """Return ascending places at least `gap` apart, the nearest to `wanted` in least squares."""
    steps = gap * np.arange(len(wanted))
    places: Floats = isotonic_regression(np.array(wanted) - steps).x + steps
    return places


def _points(panel: Axes, x: Any, y: Any, valid: Any, color: Any, **look: Any) -> None:
    """Draw points; what is not valid is hollow."""
    for chosen, face in ((valid, color), (~valid, "white")):
        panel.scatter(x[chosen], y[chosen], s=20, facecolor=face, edgecolor=color, zorder=3, **look)


def _panels(results: xr.Dataset, height: float) -> tuple[Figure, list[tuple[Axes, xr.Dataset]]]:
    """Return a figure with a panel for each plane of quantization × threads, and its cells."""
    cut = list(planes(results))
    figure = Figure(figsize=(WIDTH, height * len(cut) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(cut), squeeze=False, sharex=True, sharey=True)[:, 0]
    panels = []
    for panel, (title, plane) in zip(axes, cut, strict=True):
        panel.set_title(title)
        panels.append((panel, plane.squeeze([a for a in plane["status"].dims if a not in PLANE])))
    return figure, panels


def _legend(figure: Figure, results: xr.Dataset, marks: list[Any]) -> None:
    """Name the `marks`, and what a hollow point is if there are any."""
    if ((results["verdict"] != "") & (results["status"] == "ok")).any():
        panel = figure.axes[0]
        marks = [
            *marks,
            panel.scatter([], [], facecolor="white", edgecolor="0.3", label="not valid: see table"),
        ]
    if marks:
        figure.legend(handles=marks, loc="outside upper left", ncols=5, columnspacing=1.2)


def _shades(count: int) -> Floats:
    """Return colours from dark to light: thread counts have an order."""
    shades: Floats = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, count))
    return shades


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
