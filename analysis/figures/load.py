"""Several instances, and queries that come at a rate: throughput, and latency under load."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.concurrency import instance_scaling
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

HEIGHT = 3.2


def instances_figure(results: xr.Dataset) -> Figure:
    """Draw throughput over that of one instance, and the ideal line.

    A panel for each model and scenario; a line for each quantization and number of threads. Not of
    queries at a given rate, of which as many are served as come.
    """
    results = without_rate(results)
    scaled = instance_scaling(results)
    valid = results["verdict"] == ""
    shown = scaled.assign(
        # A ratio is as good as the worse of its two cells.
        valid=valid & valid.sel(instances=1, drop=True),
        status=results["status"],
    )
    with mpl.rc_context(STYLE):
        figure, panels = _panels(shown, "instances")
        for panel, cells in panels:
            _instances_panel(panel, cells)
        legend(figure, results, [])
        name_axes(figure, "instances", "times the throughput of one instance")
        return figure


def _instances_panel(panel: Axes, cells: xr.Dataset) -> None:
    counts = cells["instances"].values.astype(float)
    panel.plot(counts, counts, color="0.6", linestyle="--", zorder=1)
    ends = [End("ideal", "0.45", counts[-1], counts[-1], panel.transData)]
    for number, (name, line) in enumerate(_lines(cells)):
        ratio = line["throughput_ratio"].values
        known = np.isfinite(ratio)
        if not known[counts > 1].any():
            continue
        colour = COLOURS[number % len(COLOURS)]
        low, high = (line[f"throughput_ratio_{end}"].values for end in ("low", "high"))
        panel.plot(counts[known], ratio[known], color=colour, linewidth=1.2, alpha=0.6)
        panel.vlines(counts, low, high, color=colour)
        points(panel, counts, ratio, line["valid"].values, color=colour)
        ends.append(End(name, colour, counts[known][-1], ratio[known][-1], panel.transData))
    panel.set_xticks(counts)
    panel.set_ylim(0)
    name_lines(panel, ends)


def load_figure(results: xr.Dataset) -> Figure:
    """Draw the latency of queries over the rate that they come at: median and 99th percentile.

    A panel for each model, and whatever other axes there are, of cells with a rate.
    """
    at_rates = at_rate(results)
    with mpl.rc_context(STYLE):
        figure, panels = _panels(at_rates, "scenario")
        for panel, cells in panels:
            ends = []
            for number, (name, line) in enumerate(_lines(cells)):
                colour = COLOURS[number % len(COLOURS)]
                ends += _load_lines(panel, line.sortby("offered_per_s"), name, colour)
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panel.yaxis.set_minor_formatter(
                lambda value, _: f"{value:g}" if f"{value:e}"[0] in "235" else ""
            )
            name_lines(panel, ends)
        solid = figure.axes[0].plot([], [], color="0.3", label="median, 95 % interval")
        dotted = figure.axes[0].plot([], [], color="0.3", linestyle=":", label="99th percentile")
        legend(figure, at_rates, [*solid, *dotted])
        name_axes(figure, "invocations that come, per s", "latency, ms")
        return figure


def at_rate(results: xr.Dataset) -> xr.Dataset:
    """Return the cells whose queries come at a rate that was asked for."""
    return _scenarios(results, at_rate=True)


def without_rate(results: xr.Dataset) -> xr.Dataset:
    """Return the other cells."""
    return _scenarios(results, at_rate=False) if "scenario" in results.dims else results


def _scenarios(results: xr.Dataset, *, at_rate: bool) -> xr.Dataset:
    named = [str(name) for name in results["scenario"].values]
    return results.sel(scenario=[name for name in named if name.endswith("/s") is at_rate])


def _load_lines(panel: Axes, line: xr.Dataset, name: str, colour: str) -> list[End]:
    rates = line["offered_per_s"].values
    known = np.isfinite(rates) & np.isfinite(line["median_ns"].values)
    if not known.any():
        return []
    line, rates = line.isel(scenario=known), rates[known]
    medians, tails = (line[of].values / 1e6 for of in ("median_ns", "p99_ns"))
    low, high = (line[of].values / 1e6 for of in ("ci_low_ns", "ci_high_ns"))
    panel.plot(rates, medians, color=colour, linewidth=1.2, alpha=0.6)
    panel.vlines(rates, low, high, color=colour)
    points(panel, rates, medians, line["verdict"].values == "", color=colour)
    panel.plot(rates, tails, color=colour, linewidth=1.4, linestyle=":", marker="_")
    return [End(name, colour, rates[-1], medians[-1], panel.transData)]


def _panels(results: xr.Dataset, along: str) -> tuple[Figure, list[tuple[Axes, xr.Dataset]]]:
    """Return a figure with a panel for each point on the axes other than `along` and the plane."""
    return panels_of(results, HEIGHT, (*PLANE, along))


def _lines(cells: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Return the lines of a panel: one for each quantization and number of threads."""
    several = cells.sizes["threads"] > 1
    return [
        (
            f"{cells['quantization'].values[q]}"
            + f", {cells['threads'].values[t]} threads" * several,
            cells.isel(quantization=q, threads=t),
        )
        for q in range(cells.sizes["quantization"])
        for t in range(cells.sizes["threads"])
    ]
