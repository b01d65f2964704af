"""Speed-up over threads."""

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from analysis.figures.style import (
    COLOURS,
    STYLE,
    End,
    Floats,
    legend,
    name_axes,
    name_lines,
    panels_of,
    points,
)
from analysis.scalability import scaling

FIT = "fit of the universal scalability law"


def speedup_figure(results: xr.Dataset) -> Figure:
    """Draw speed-up over one thread, the ideal line and, where there is one, the fit of a law.

    A panel for each model. The law is Gunther's, see `analysis.scaling`.
    """
    valid = results["verdict"] == ""
    law = scaling(results)
    ratios = law.assign(
        # A ratio is as good as the worse of its two cells.
        valid=valid & valid.sel(threads=1, drop=True),
        status=results["status"],
    )
    with mpl.rc_context(STYLE):
        figure, panels = panels_of(ratios, height=3.2)
        _speedup_axes(panels[0][0], ratios)
        for panel, cells in panels:
            _speedup_panel(panel, cells)
        fits = figure.axes[0].plot([], [], color="0.3", linestyle=":", label=FIT)
        legend(figure, results, fits if np.isfinite(law["contention"]).any() else [])
        name_axes(figure, "threads", "times faster than one thread")
        return figure


def _speedup_panel(panel: Axes, cells: xr.Dataset) -> None:
    threads = cells["threads"].values.astype(float)
    panel.plot(threads, threads, color="0.6", linestyle="--", zorder=1)
    ends = [End("ideal", "0.45", threads[-1], threads[-1], panel.transData)]
    count = cells.sizes["quantization"]
    for number, name in enumerate(cells["quantization"].values):
        at = cells.isel(quantization=number)
        ratio = at["speedup"].values
        known = np.isfinite(ratio)
        if not known[threads > 1].any():
            continue
        colour = COLOURS[number % len(COLOURS)]
        # Apart by a hair, so that intervals at one number of threads do not hide each other.
        aside = ScaledTranslation((number - (count - 1) / 2) / 30, 0, panel.figure.dpi_scale_trans)
        place = panel.transData + aside
        look: Any = {"color": colour, "transform": place}
        if np.isfinite(at["contention"]):
            fine = np.geomspace(threads[known][0], threads[known][-1])
            panel.plot(fine, _law(at, fine), linewidth=1.4, linestyle=":", **look)
        else:
            panel.plot(threads[known], ratio[known], linewidth=1.2, alpha=0.6, **look)
        panel.vlines(threads, at["speedup_low"].values, at["speedup_high"].values, **look)
        points(panel, threads, ratio, at["valid"].values, **look)
        ends.append(End(str(name), colour, threads[known][-1], ratio[known][-1], place))
    name_lines(panel, ends)


def _law(fitted: xr.Dataset, threads: Floats) -> Floats:
    """Return the law's speed-up over the latency on one thread that was measured."""
    contention, coherency = fitted["contention"].item(), fitted["coherency"].item()
    slowed = 1 + contention * (threads - 1) + coherency * threads * (threads - 1)
    speedup: Floats = threads / slowed / fitted["usl_one_thread"].item()
    return speedup


def _speedup_axes(panel: Axes, ratios: xr.Dataset) -> None:
    """Set the axes that all panels share, logarithmic for many threads."""
    threads = ratios["threads"].values.astype(float)
    most = np.nanmax([threads.max(), ratios["speedup"].max()])
    if most > 8:
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        panel.set_xlim(0.85, threads.max() * 1.2)
        panel.set_ylim(min(0.85, float(ratios["speedup"].min()) / 1.1), most * 1.1)
    else:
        panel.set_xlim(threads.min() - 0.05 * most, threads.max() + 0.05 * most)
        panel.set_ylim(0, most * 1.05)
    panel.set_xticks(threads, _labels_with_room(panel, threads))
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _labels_with_room(panel: Axes, threads: Floats) -> list[str]:
    """Return the ticks' labels, empty where the one after is too near."""
    to_axes = panel.transData + panel.transAxes.inverted()
    labels, last = [], np.inf
    for value in threads[::-1]:
        place, _ = to_axes.transform((value, 1))
        has_room = last - place > 0.03
        labels.append(f"{value:g}" if has_room else "")
        last = place if has_room else last
    return labels[::-1]
