"""What all figures share: one style, panels, points that are hollow where not valid, names."""

import textwrap
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Transform
from scipy.optimize import isotonic_regression

from analysis.planes import PLANE, count_planes, first_planes

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
WIDTH = 7.0
"""Of a figure, in inches; so are all heights."""
LONGEST_LINE = 65
"""Of a title in characters: a longer one would leave the panels no room."""
TALLEST = 200.0
"""Figure: of panels that need more, as many as this holds are drawn."""
SEEN_AT_ONCE = 4
"""In a figure of more panels each says what its axes are."""

Floats = npt.NDArray[np.float64]


class End(NamedTuple):
    """Where a line ends that is to be named."""

    name: str
    colour: str
    x: float
    y: float
    coordinates: Transform


def panels_of(
    results: xr.Dataset, height: float, plane_axes: Sequence[str] = PLANE
) -> tuple[Figure, list[tuple[Axes, xr.Dataset]]]:
    """Return a figure with a panel for each plane of quantization × threads, and its cells.

    Of many planes only the first, see `analysis.planes`.
    """
    count = count_planes(results, plane_axes)
    height = min(height + 0.4 * (count > SEEN_AT_ONCE), TALLEST)
    cut = list(islice(first_planes(results, plane_axes), int(TALLEST / height)))
    figure = Figure(figsize=(WIDTH, height * len(cut) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(cut), squeeze=False, sharex=True, sharey=True)[:, 0]
    if len(cut) < count:
        figure.supxlabel(f"drawn are the first {len(cut)} of {count}", size=9)
    panels = []
    for panel, (title, plane) in zip(axes, cut, strict=True):
        panel.set_title(textwrap.fill(title, LONGEST_LINE))
        panels.append(
            (panel, plane.squeeze([a for a in plane["status"].dims if a not in plane_axes]))
        )
    return figure, panels


def name_axes(figure: Figure, x: str, y: str = "") -> None:
    """Say what the axes are that all panels share: once, or where there are many in each."""
    if len(figure.axes) <= SEEN_AT_ONCE and not figure.get_supxlabel():
        figure.supxlabel(x, size=9)
        figure.supylabel(y, size=9)
        return
    for panel in figure.axes:
        panel.set_xlabel(x)
        panel.set_ylabel(y)
        panel.tick_params(labelbottom=True)


def legend(figure: Figure, results: xr.Dataset, marks: list[Any]) -> None:
    """Name the `marks`, and what a hollow point is if there are any."""
    if ((results["verdict"] != "") & (results["status"] == "ok")).any():
        panel = figure.axes[0]
        marks = [
            *marks,
            panel.scatter([], [], facecolor="white", edgecolor="0.3", label="not valid: see table"),
        ]
    if marks:
        figure.legend(handles=marks, loc="outside upper left", ncols=5, columnspacing=1.2)


def points(panel: Axes, x: Any, y: Any, valid: Any, color: Any, **look: Any) -> None:
    """Draw points; what is not valid is hollow."""
    for chosen, face in ((valid, color), (~valid, "white")):
        panel.scatter(x[chosen], y[chosen], s=20, facecolor=face, edgecolor=color, zorder=3, **look)


def name_lines(panel: Axes, ends: list[End]) -> None:
    """Write names at the right of the panel, as near to the lines' ends as there is room."""
    to_axes = panel.transData + panel.transAxes.inverted()
    ends = sorted(ends, key=lambda end: end.y)
    wanted = [to_axes.transform((end.x, end.y))[1] for end in ends]
    line: Any = {"arrowstyle": "-", "linewidth": 0.6, "linestyle": ":", "relpos": (0, 0.5)}
    for end, place in zip(ends, spread(wanted, 0.058), strict=True):
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


def spread(wanted: list[float], gap: float) -> Floats:
    """Return ascending places at least `gap` apart, the nearest to `wanted` in least squares."""
    steps = gap * np.arange(len(wanted))
    places: Floats = isotonic_regression(np.array(wanted) - steps).x + steps
    return places


def shades(count: int) -> Floats:
    """Return colours from dark to light: thread counts have an order."""
    shades: Floats = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, count))
    return shades
