"""The forest plot of a comparison."""

from textwrap import wrap

import numpy as np
import xarray as xr

from analysis.comparison_table import (
    Record,
    furthest,
    interval_in_words,
    of_both,
    outcome_in_words,
    point_of,
    telling_axes,
)
from analysis.naming import shortened
from analysis.report.charts.chart import COLOURS, GREY, Chart, bars, blank, listed, plain, scales

OUTCOMES = {
    "slower": (COLOURS[1], "triangle-right"),
    "faster": (COLOURS[2], "triangle-left"),
    "same": (GREY, "circle"),
    "undecided": (COLOURS[4], "circle-open"),
}
"""Told apart by colour and by form."""
LONGEST_LINE = 24
"""Of a cell's name in characters: a phone has as much room again for its interval."""


def forest(comparison: xr.Dataset) -> Chart:
    """Draw each cell's ratio with its interval, and within what a difference does not count."""
    records = of_both(comparison)
    axes = telling_axes(comparison)
    shown = furthest(records)
    names = [plain(point_of(record, axes)) for record in shown]
    labels = _labels(shown, axes)
    most_lines = max((label.count("<br>") + 1 for label in labels), default=1)
    figure = blank(height=150 + (10 + 14 * most_lines) * len(shown))
    limits = [record["limit"] for record in shown]
    figure.add_scatter(
        x=[1] * len(shown),
        y=names,
        mode="markers",
        marker={"size": 9, "symbol": "square", "color": GREY},
        opacity=0.3,
        error_x={
            "type": "data",
            "array": listed([limit - 1 for limit in limits]),
            "arrayminus": listed([1 - 1 / limit for limit in limits]),
            "thickness": 10,
            "width": 0,
            "color": GREY,
        },
        name="does not count",
        hoverinfo="skip",
    )
    threshold = comparison.attrs["threshold"]
    for outcome, (paint, symbol) in OUTCOMES.items():
        of = [(name, r) for name, r in zip(names, shown, strict=True) if r["outcome"] == outcome]
        if not of:
            continue
        ends = (np.array([r[f"ratio{end}"] for _, r in of], float) for end in ("", "_low", "_high"))
        ratio, low, high = ends
        figure.add_scatter(
            x=listed(ratio),
            y=[name for name, _ in of],
            error_x=bars(ratio, low, high),
            mode="markers",
            marker={"size": 10, "symbol": symbol, "color": paint},
            name=outcome,
            text=[
                f"{name}<br>{record['ratio']:.3f} ({interval_in_words(record)})<br>"
                f"{plain(outcome_in_words(record, threshold))}"
                for name, record in of
            ],
        )
    figure.add_vline(x=1, line={"width": 1, "color": GREY})
    figure.update_layout(
        xaxis={"title": {"text": "latency of B over A"}},
        yaxis={
            "type": "category",
            **{"categoryorder": "array", "categoryarray": names},
            **{"tickvals": names, "ticktext": labels, "tickfont": {"size": 11}},
            "range": [-0.7, len(shown) - 0.3],
        },
        legend_y=1,
    )
    caption = (
        "Ratios with their intervals, 95 % or wider where many are compared; right of 1, B is "
        "slower. A difference within "
        "the grey bar does not count: it is less than the threshold, or than what a cell seems to "
        "differ from itself by."
    )
    if len(shown) < len(records):
        caption += f" Shown are the {len(shown)} that are furthest from 1, of {len(records)}."
    return Chart("forest", "B over A", caption, figure, list(scales("linear", "")))


def _labels(shown: list[Record], axes: list[str]) -> list[str]:
    """Write the names of cells in lines; of a long value what tells it from the others."""
    columns = {a: shortened([str(record[a]) for record in shown], LONGEST_LINE) for a in axes}
    points = [point_of({a: of[n] for a, of in columns.items()}, axes) for n in range(len(shown))]
    return ["<br>".join(plain(line) for line in wrap(name, LONGEST_LINE)) for name in points]
