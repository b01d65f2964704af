"""The forest plot of a comparison: each cell's ratio with its interval."""

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from analysis.comparison_table import (
    Record,
    furthest,
    interval_in_words,
    of_both,
    outcome_in_words,
    reasons_of,
    telling_axes,
)
from analysis.figures.style import COLOURS, STYLE, WIDTH
from analysis.naming import shortened
from analysis.table import thread_count

LOOKS = {
    "slower": (COLOURS[1], ">"),
    "faster": (COLOURS[2], "<"),
    "same": ("0.4", "o"),
    "undecided": (COLOURS[4], "D"),
}
"""Colour and form of an outcome."""
ROW, WIDE_FOR_WORDS = 0.19, WIDTH + 2
"""Height of a cell, and width, in inches."""
MOST_LETTERS, LEAST_LETTERS = 48, 9
"""Of a cell's name, and of any value in it that is shortened."""
MOST_EVEN = 3
"""Ratios that are further apart have ticks at 1, 2 and 5."""
MOST_BEYOND = 3
"""Times as far from 1 as the ratios, intervals are cut."""


def comparison_figure(comparison: xr.Dataset) -> Figure:
    """Draw the ratios of B over A, on a logarithmic axis; hollow is what is not valid on a side.

    The grey bar of a cell is within what a difference does not count. Of very many cells those
    furthest from 1 are shown.

    Parameters
    ----------
    comparison
        As `analysis.compare` returns it.
    """
    records, axes = of_both(comparison), telling_axes(comparison)
    shown = furthest(records)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDE_FOR_WORDS, ROW * len(shown) + 1.3), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        for y, record in enumerate(shown):
            _row(panel, y, record)
        panel.axvline(1, color="0.6", linewidth=0.8, zorder=0)
        _scale(panel, shown)
        panel.set_yticks(range(len(shown)), _names(shown, axes), size=7)
        panel.set_ylim(-0.7, len(shown) - 0.3)
        panel.grid(visible=False, axis="y")
        _words(panel, shown, comparison.attrs["threshold"])
        of = f" (the {len(shown)} furthest from 1 of {len(records)})"
        panel.set_title(f"latency of B over A{of if len(shown) < len(records) else ''}")
        panel.set_xlabel("above 1, B is slower; 95 % interval, wider where many are compared")
        _legend(figure, panel, shown)
        return figure


def _row(panel: Axes, y: int, record: Record) -> None:
    colour, marker = LOOKS[record["outcome"]]
    limit = record["limit"]
    panel.barh(y, limit - 1 / limit, 0.6, left=1 / limit, color="0.9", zorder=0.5)
    if record["ratio_low"] is not None:
        panel.hlines(y, record["ratio_low"], record["ratio_high"], color=colour, linewidth=1.4)
    face = "white" if reasons_of(record) else colour
    panel.scatter(
        record["ratio"], y, s=24, marker=marker, facecolor=face, edgecolor=colour, zorder=3
    )


def _scale(panel: Axes, shown: list[Record]) -> None:
    """Show all ratios, and of an interval that is far wider than they differ a part."""
    ratios = np.array([[r["ratio"], 1 / r["limit"], r["limit"]] for r in shown])
    ends = np.array([[r["ratio_low"], r["ratio_high"]] for r in shown], float)
    most = MOST_BEYOND * np.abs(np.log(ratios)).max()
    every = np.log([*ratios.flat, *ends[np.isfinite(ends)]])
    low, high = np.clip([every.min(), every.max()], -most, most)
    margin = 0.04 * (high - low)
    panel.set_xscale("log")
    panel.set_xlim(*np.exp([low - margin, high + margin]))
    wide = high - low > np.log(MOST_EVEN)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(7))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _words(panel: Axes, shown: list[Record], threshold: float) -> None:
    """Write each ratio and what follows from it to the right."""
    right = panel.secondary_yaxis("right")
    words = [
        f"{r['ratio']:.3f} ({interval_in_words(r)}) {outcome_in_words(r, threshold)}" for r in shown
    ]
    right.set_yticks(range(len(shown)), words, size=7)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)


def _legend(figure: Figure, panel: Axes, shown: list[Record]) -> None:
    there = {record["outcome"] for record in shown}
    marks = [
        panel.scatter([], [], s=24, color=colour, marker=marker, label=outcome)
        for outcome, (colour, marker) in LOOKS.items()
        if outcome in there
    ]
    marks.append(panel.scatter([], [], s=40, color="0.85", marker="s", label="does not count"))
    if any(map(reasons_of, shown)):
        hollow = panel.scatter([], [], s=24, facecolor="white", edgecolor="0.3", label="not valid")
        marks.append(hollow)
    figure.legend(handles=marks, loc="outside upper left", ncols=6, columnspacing=1.2)


def _names(shown: list[Record], axes: list[str]) -> list[str]:
    """Say where cells are; of long values what tells them apart, so that two do not look alike."""
    columns = [[_value(axis, record[axis]) for record in shown] for axis in axes]
    for letters in range(MOST_LETTERS, LEAST_LETTERS - 1, -1):
        short = (shortened(column, letters) for column in columns)
        names = [", ".join(values) or "the cell" for values in zip(*short, strict=True)]
        if max(map(len, names), default=0) <= MOST_LETTERS:
            break
    return names if axes else ["the cell"] * len(shown)


def _value(axis: str, value: Any) -> str:
    if axis == "threads":
        return thread_count(value)
    text = value if isinstance(value, str) else f"{axis} {value}"
    return " ".join(text.split())  # a row is a line
