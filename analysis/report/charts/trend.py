"""The chart of a history: latencies over runs in time."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from analysis.history_table import axes_of
from analysis.planes import MOST_BARS
from analysis.report.charts.chart import (
    COLOURS,
    GREY,
    Chart,
    Control,
    Update,
    bars,
    blank,
    listed,
    plain,
    shown,
)
from analysis.table import latency

OVER, MILLISECONDS = "over the baseline", "latency, ms"


def trend(judged: xr.Dataset) -> Chart:
    """Draw each cell's latencies over runs with their intervals, and the levels between steps."""
    cells = list(_cells(judged))
    of = sorted(cells, key=lambda cell: -_change(cell[1]))[:MOST_BARS]
    starts = np.datetime_as_string(judged["start"].values, unit="s").tolist()
    figure = blank()
    columns: dict[str, list[Any]] = {name: [] for name in (OVER, MILLISECONDS)}
    columns |= {f"{name} ±": [] for name in (OVER, MILLISECONDS)}
    for number, (name, cell) in enumerate(of):
        units = {OVER: 1 / _of_baseline(cell, judged.attrs["baseline"]), MILLISECONDS: 1e-6}
        middle, low, high = (cell[of].values for of in ("median_ns", "ci_low_ns", "ci_high_ns"))
        for unit, factor in units.items():
            errors = bars(middle * factor, low * factor, high * factor)
            columns[unit] += [listed(middle * factor), listed(cell["level_ns"].values * factor)]
            columns[f"{unit} ±"] += [errors, {"visible": False}]
        paint = COLOURS[number % len(COLOURS)]
        figure.add_scatter(
            x=starts,
            y=columns[OVER][-2],
            error_y=columns[f"{OVER} ±"][-2],
            mode="markers",
            marker={
                "size": 8,
                "color": paint,
                "symbol": [
                    "circle-open" if verdict else "circle" for verdict in cell["verdict"].values
                ],
            },
            text=list(_hover(name, cell)),
            name=plain(name),
            legendgroup=name,
        )
        figure.add_scatter(
            x=starts,
            y=columns[OVER][-1],
            mode="lines",
            line={"color": paint, "width": 2, "shape": "hv"},
            hoverinfo="skip",
            legendgroup=name,
            showlegend=False,
        )
    figure.add_hline(y=1, line={"width": 1, "color": GREY, "dash": "dot"})
    figure.update_layout(
        xaxis={"title": {"text": "first trial of the run, UTC"}, "type": "date"},
        yaxis={"title": {"text": OVER}},
        showlegend=len(of) <= len(COLOURS),
    )
    units_of: dict[str, Update] = {
        unit: (
            {"y": unit, "error_y": f"{unit} ±"},
            {
                "yaxis.title.text": unit,
                "yaxis.autorange": True,
                "shapes[0].visible": unit == OVER,
            },
        )
        for unit in (OVER, MILLISECONDS)
    }
    titles = [name for name, _ in of for _ in range(2)]
    controls = [Control("latency", units_of, OVER), *shown(titles, "cell")]
    caption = (
        "A point a run, with the 95 % interval over its trials; hollow: not valid. Lines: the mean "
        "of the runs between two steps. An interval within a run does not tell how runs differ: "
        "steps are told from the spread of runs."
    )
    if len(of) < len(cells):
        caption += f" Shown are {len(of)} of {len(cells)} cells, those that changed most."
    return Chart("trend", "Latency over runs", caption, figure, controls, columns)


def _cells(judged: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    axes = axes_of(judged)
    telling = [axis for axis in axes if judged.sizes[axis] > 1]
    for place in np.argwhere(judged["outcome"].transpose(*axes).values != ""):
        cell = judged[dict(zip(axes, place, strict=True))]
        yield " ".join(f"{axis}={cell[axis].item()}" for axis in telling) or "the cell", cell


def _change(cell: xr.Dataset) -> float:
    """Return how much its level changed in all, for the order of cells."""
    found = np.log(cell["step"].values)
    return float(np.nansum(abs(found)))


def _of_baseline(cell: xr.Dataset, baseline: str) -> float:
    """Return the baseline's level, or, where it has none, that of the first run that has one."""
    levels = cell["level_ns"].where(cell["level_ns"].notnull(), cell["median_ns"])
    level = float(levels.sel(run=baseline))
    known = levels.values[np.isfinite(levels.values)]
    return level if math.isfinite(level) else float(known[0])


def _hover(name: str, cell: xr.Dataset) -> Iterator[str]:
    for run, median, verdict in zip(
        *(cell[of].values.tolist() for of in ("run", "median_ns", "verdict")), strict=True
    ):
        reasons = ", ".join(verdict.split()).replace("_", " ") or "valid"
        lines = [name, run, latency(median) if math.isfinite(median) else "-", reasons]
        yield "<br>".join(map(plain, lines))
