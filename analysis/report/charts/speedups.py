"""The chart of speed-ups over threads."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from analysis.planes import first_planes
from analysis.report.charts.cells import Group, hover, symbols
from analysis.report.charts.chart import (
    GREY,
    Chart,
    bars,
    blank,
    colour,
    listed,
    once,
    rounded,
    scales,
    shown,
)
from analysis.report.reduction import of_planes
from analysis.scalability import scaling
from analysis.table import digits, to_dataframe

FIT = ("contention", "coherency", "usl_one_thread")


def speedups(results: xr.Dataset) -> Chart | None:
    """Draw speed-up over threads, with the ideal and the fit of the scalability law."""
    of = list(_groups(results))
    if not any(np.isfinite(frame["speedup"][frame["threads"] > 1]).any() for *_, frame in of):
        return None
    threads = results["threads"].values.astype(float)
    figure = blank()
    figure.add_scatter(
        x=threads.tolist(),
        y=threads.tolist(),
        mode="lines",
        name="ideal",
        line={"dash": "dash", "color": GREY},
    )
    fine = np.geomspace(threads[0], threads[-1], 50)
    for title, name, frame in of:
        paint = colour(results, name)
        sigma, kappa, one_thread = (frame[name].iloc[0] for name in FIT)
        figure.add_scatter(
            x=frame["threads"].tolist(),
            y=listed(frame["speedup"]),
            error_y=bars(frame["speedup"], frame["speedup_low"], frame["speedup_high"]),
            mode="markers" if np.isfinite(sigma) else "markers+lines",
            line={"color": paint, "width": 1},
            marker={"size": 9, "symbol": symbols(frame), "color": paint},
            text=[
                f"{hover(title, row)}<br>{digits(row['speedup'])} times faster than on 1 thread"
                for _, row in frame.iterrows()
            ],
            **once(figure, name),
        )
        fitted = fine / (1 + sigma * (fine - 1) + kappa * fine * (fine - 1)) / one_thread
        figure.add_scatter(
            x=rounded(fine).tolist(),
            y=rounded(fitted).tolist(),
            mode="lines",
            hoverinfo="skip",
            line={"color": paint, "dash": "dot"},
            showlegend=False,
            legendgroup=name,
        )
    figure.update_layout(
        xaxis={"title": {"text": "threads"}, "tickvals": threads.tolist()},
        yaxis={"title": {"text": "times faster than on 1 thread"}, "rangemode": "tozero"},
    )
    notes = {note for *_, frame in of for note in frame["note"]} - {""}
    caption = (
        "Speed-up by rounds in pairs, with its 95 % interval, against the ideal (dashed). "
        + (
            f"No fit everywhere: {'; '.join(sorted(notes))}."
            if notes
            else "Dotted: Gunther's universal scalability law."
        )
        + f" {of_planes(results)}"
    )
    # Of each group its points and its fit; before them, the ideal.
    titles = ["", *(title for title, *_ in of for _ in range(2))]
    controls = [*scales("linear", "linear"), *shown(titles)]
    return Chart("scaling", "Scaling over threads", caption.rstrip(), figure, controls)


def _groups(results: xr.Dataset) -> Iterator[Group]:
    """Yield title, quantization and cells of each series, with its speed-up and its fit."""
    names = ["speedup", "speedup_low", "speedup_high", *FIT, "note"]
    for title, plane in first_planes(results):
        law = scaling(plane)
        # Of the fits, along the threads too, for the frame.
        frame = to_dataframe(plane.assign(law[names].broadcast_like(law["speedup"])))
        for name, of_name in frame.groupby("quantization", sort=False):
            yield title, str(name), of_name
