"""The grid at a glance: latency by quantization and threads, as colours."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from analysis.figures.style import STYLE, name_axes, panels_of
from analysis.table import half_width, latency

MOST_WITH_TEXT = 8
"""Up to so many thread counts, each cell has room for its number."""


def heat_map_figure(results: xr.Dataset) -> Figure:
    """Draw each cell as a field, the darker the slower; hatched is what is not valid.

    A panel for each model, whose colours go from its fastest cell to its slowest.
    """
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(results, height=0.5 + 0.42 * results.sizes["quantization"])
        name_axes(figure, "threads (the darker, the slower; hatched: not valid)")
        for panel, cells in panels:
            _panel(panel, cells.transpose("quantization", "threads", ...))
        return figure


def _panel(panel: Axes, cells: xr.Dataset) -> None:
    medians = cells["median_ns"].values / 1e6
    with_text = medians.shape[1] <= MOST_WITH_TEXT
    if np.isfinite(medians).any():
        scale = LogNorm(np.nanmin(medians), max(np.nanmax(medians), 1.01 * np.nanmin(medians)))
        colours = mpl.colormaps["viridis_r"]
        fields = panel.pcolormesh(
            np.ma.masked_invalid(medians), norm=scale, cmap=colours, edgecolor="w"
        )
        if not with_text:
            _key(panel, fields)
    for (row, column), median in np.ndenumerate(medians):
        cell = cells.isel(quantization=row, threads=column)
        dark = np.isfinite(median) and scale(median) > 0.5
        if cell["verdict"].item() and np.isfinite(median):
            field = Rectangle((column, row), 1, 1, fill=False, hatch="////", linewidth=0)
            panel.add_patch(field).set_edgecolor("0.75" if dark else "0.45")
        if with_text or not np.isfinite(median):
            _write(panel, cell, (column + 0.5, row + 0.5), "white" if dark else "black")
    panel.set_xticks(np.arange(medians.shape[1]) + 0.5, map(str, cells["threads"].values))
    panel.set_yticks(np.arange(medians.shape[0]) + 0.5, map(str, cells["quantization"].values))
    panel.set_ylim(medians.shape[0], 0)
    panel.grid(visible=False)
    panel.tick_params(length=0)


def _key(panel: Axes, fields: QuadMesh) -> None:
    """Say beside a panel what its colours stand for."""
    key = panel.figure.colorbar(fields, ax=panel, pad=0.01, aspect=12, label="latency, ms")
    least, most = fields.get_clim()
    locator = LogLocator(subs=(1, 2, 5) if most < 1e3 * least else (1,))
    ticks = np.array(locator.tick_values(least, most))
    inside = ticks[(ticks >= least) & (ticks <= most)]
    key.set_ticks([*inside] if len(inside) > 1 else [least, most])
    key.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    key.ax.yaxis.set_minor_locator(NullLocator())


def _write(panel: Axes, cell: xr.Dataset, place: tuple[float, float], colour: str) -> None:
    text = cell["status"].item()
    box = None
    if text == "ok":
        text = latency(cell["median_ns"].item())
        interval = [cell[name].item() for name in ("median_ns", "ci_low_ns", "ci_high_ns")]
        if np.isfinite(interval).all():
            text += f"\n±{half_width(*interval)} %"
    else:
        colour = "0.5"
    if cell["verdict"].item() and cell["status"] == "ok":  # legible through the hatching
        box = {"facecolor": "black" if colour == "white" else "white", "alpha": 0.4, "pad": 1}
        box |= {"linewidth": 0}
    panel.text(*place, text, ha="center", va="center", size=7, color=colour, bbox=box)
