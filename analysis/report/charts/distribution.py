"""The chart of how samples are distributed."""

import numpy as np
import xarray as xr

from analysis.raw import over_median
from analysis.report.charts.chart import COLOURS, Chart, blank, once, plain, rounded, scales
from analysis.report.reduction import MOST_NODES
from suite.intervals import geometric_mean

MOST_BANDS = 8
"""Of more nodes the bands would hide each other."""


def distribution(results: xr.Dataset, quantiles: xr.DataArray) -> Chart | None:
    """Draw the empirical distribution of samples, a line a node.

    As `analysis.figures.distribution`: samples against the median of their cell, trials as the
    replicates.
    """
    shares = quantiles["quantile"].values
    relative = over_median(quantiles, results).transpose("node", ..., "quantile").values
    trials = relative.reshape(len(relative), -1, len(shares))
    measured = np.flatnonzero(np.isfinite(trials).any(axis=(1, 2)))
    if not len(measured):
        return None
    found = geometric_mean(np.moveaxis(trials[measured], 1, 2))
    by_speed = np.argsort(found.estimate[:, len(shares) // 2])
    places = by_speed[np.unique(np.linspace(0, len(measured) - 1, MOST_NODES).astype(int))]
    figure = blank()
    percent = (100 * shares).tolist()
    for number, place in enumerate(places):
        name = str(quantiles["node"].values[measured[place]])
        ends = [of[place] for of in (found.estimate, found.low, found.high)]
        paint = COLOURS[number % len(COLOURS)]
        figure.add_scatter(
            x=rounded(ends[0]).tolist(),
            y=percent,
            mode="lines",
            line={"color": paint, "width": 2},
            text=[
                plain(f"{name}: {share:.0f} % of samples under {at:.4f}")
                + (f" ({low:.4f} to {high:.4f})" if np.isfinite(low) else "")
                for share, at, low, high in zip(percent, *ends, strict=True)
            ],
            **once(figure, name),
        )
        if len(places) <= MOST_BANDS and np.isfinite(ends[1]).all():
            figure.add_scatter(
                x=rounded(np.concatenate([ends[1], ends[2][::-1]])).tolist(),
                y=percent + percent[::-1],
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=paint,
                opacity=0.25,
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
    figure.update_layout(
        xaxis_title_text="sample over the median of its cell",
        yaxis_title_text="share of samples, %",
    )
    caption = (
        f"Shares of all samples after the warm-up, from {len(shares)} quantiles of each trial; "
        "all cells of a node together, each sample against the median of its cell. A line is the "
        "geometric mean over trials, with its 95 % interval."
    )
    if len(places) < len(measured):
        caption += f" Shown are {len(places)} of {len(measured)} nodes, from fastest to slowest."
    if "cell" in quantiles.dims:
        count = int((results["status"] != "").sum())
        caption += (
            f" They are those of {quantiles.sizes['cell']} of {count} cells, drawn at random."
        )
    controls = list(scales("linear", ""))
    return Chart("distribution", "Distribution of samples", caption, figure, controls)
