"""The chart of cells, by any two of their numbers; and how a cell is drawn in other charts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.costs import cost
from analysis.planes import first_planes
from analysis.report.charts.chart import (
    Chart,
    Control,
    Update,
    bars,
    blank,
    colour,
    listed,
    once,
    plain,
    scale,
    scales,
    shown,
)
from analysis.report.reduction import drawn, of_planes, of_points
from analysis.table import half_width, latency, thread_count, to_dataframe

NANO_TO_MILLI, MEBI = 1e-6, 2.0**-20
VARIABLES: dict[str, tuple[str, float]] = {
    "median_ns": ("latency, ms", NANO_TO_MILLI),
    "p90_ns": ("90th percentile, ms", NANO_TO_MILLI),
    "p99_ns": ("99th percentile, ms", NANO_TO_MILLI),
    "throughput_per_s": ("inferences per second", 1),
    "speedup_threads": ("times faster than on 1 thread", 1),
    "speedup_float32": ("times faster than float32", 1),
    "artifact_bytes": ("file, MiB", MEBI),
    "artifact_compressed_bytes": ("file under gzip, MiB", MEBI),
    "peak_rss_bytes": ("peak memory, MiB", MEBI),
    "labelled_top1": ("top-1 on labelled examples", 1),
    "top1_agreement": ("top-1 agreement with the float model", 1),
    "error_rel_l2": ("relative error against the float model", 1),
    "core_seconds_per_million": ("core-seconds per million inferences", 1),
    "node_hours_per_million": ("node-hours per million inferences", 1),
    "joules_per_million": ("joules per million inferences", 1),
    "images_per_joule": ("examples a joule", 1),
    "threads": ("threads", 1),
    "batch": ("batch", 1),
}
"""What the axes of the chart of cells can be, with the factor from its unit in the results."""
BOUNDS = {
    "median_ns": ("ci_low_ns", "ci_high_ns"),
    "throughput_per_s": ("throughput_low_per_s", "throughput_high_per_s"),
}
"""Where the ends of an interval are not called as the middle is, with `_low` and `_high`."""

Group = tuple[str, str, pd.DataFrame]


def cells(results: xr.Dataset) -> Chart:
    """Draw every cell by any two of its numbers."""
    all_groups = list(groups(results.assign(cost(results))))
    sizes = [len(frame) for *_, frame in all_groups]
    count = sum(sizes)
    of_groups = np.split(np.isin(np.arange(count), drawn(count)), np.cumsum(sizes)[:-1])
    of = [
        (title, name, frame[here])
        for (title, name, frame), here in zip(all_groups, of_groups, strict=True)
    ]
    known = {
        name: label
        for name, (label, _) in VARIABLES.items()
        if name in ("median_ns", "threads")
        or len({v for _, _, frame in of for v in _numbers(frame, name) if v is not None}) > 1
    }
    counts_rate = bool((results["figure"] == "throughput").any())
    if counts_rate:
        known["median_ns"] = "latency, or time per inference, ms"
    x, y = "artifact_bytes" if "artifact_bytes" in known else "threads", "median_ns"
    columns: dict[str, list[Any]] = {}
    for name in known:
        columns[name] = [_numbers(frame, name) for *_, frame in of]
        columns[f"{name} ±"] = [_errors(frame, name) for *_, frame in of]
    figure = blank()
    for place, (title, name, frame) in enumerate(of):
        figure.add_scatter(
            mode="markers",
            marker={
                "size": [_size(results, threads) for threads in frame["threads"]],
                "symbol": symbols(frame),
                "color": colour(results, name),
            },
            text=[hover(title, row) for _, row in frame.iterrows()],
            x=columns[x][place],
            y=columns[y][place],
            error_x=columns[f"{x} ±"][place],
            error_y=columns[f"{y} ±"][place],
            **once(figure, name),
        )
    figure.update_layout(
        xaxis={"title": {"text": known[x]}, **scale("log")},
        yaxis={"title": {"text": known[y]}, **scale("log")},
    )

    def choices(axis: str) -> dict[str, Update]:
        return {
            label: (
                {axis: name, f"error_{axis}": f"{name} ±"},
                {f"{axis}axis.title.text": label, f"{axis}axis.autorange": True},
            )
            for name, label in known.items()
        }

    controls = [
        *(Control(f"{axis} axis", choices(axis), known[at]) for axis, at in (("x", x), ("y", y))),
        *scales("log", "log"),
        *shown([title for title, *_ in of]),
    ]
    caption = (
        "A point a cell, with its 95 % interval; the larger, the more threads; hollow: not valid. "
        + "The time per inference stands where a rate counts: its inverse. " * counts_rate
        + f"Hover for the numbers; the table below has them too.{of_points(count, 'cells')} "
        + of_planes(results)
    )
    return Chart("cells", "Cells", caption.rstrip(), figure, controls, columns)


def groups(results: xr.Dataset) -> Iterator[Group]:
    """Yield title, quantization and cells of what is one series in a chart."""
    for title, plane in first_planes(results):
        frame = to_dataframe(plane)
        for name, of_name in frame.groupby("quantization", sort=False):
            yield title, str(name), of_name


def symbols(frame: pd.DataFrame) -> list[str]:
    """Return a hollow symbol for each cell that is not valid."""
    return ["circle-open" if verdict else "circle" for verdict in frame["verdict"]]


def hover(title: str, row: "pd.Series[Any]") -> str:
    """Return what a cell tells of itself."""
    lines = [title, f"{row['quantization']} on {thread_count(row['threads'])}"]
    interval = row["median_ns"], row["ci_low_ns"], row["ci_high_ns"]
    if np.isfinite(interval).all():
        lines.append(f"{latency(row['median_ns'])} ± {half_width(*interval)} %")
    lines.append(", ".join(row["verdict"].split()).replace("_", " ") or "valid")
    return "<br>".join(map(plain, lines))


def _numbers(frame: pd.DataFrame, name: str) -> list[float | None]:
    """Return a variable in the chart's unit; None where the frame has none."""
    if name not in frame:
        return [None] * len(frame)
    return listed(frame[name].to_numpy(float) * VARIABLES[name][1])


def _errors(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    low, high = BOUNDS.get(name, (f"{name}_low", f"{name}_high"))
    if low not in frame:
        return {"visible": False}
    factor = VARIABLES[name][1]
    return bars(*(frame[of].to_numpy(float) * factor for of in (name, low, high)))


def _size(results: xr.Dataset, threads: int) -> float:
    counts: list[int] = results["threads"].values.tolist()
    return 8 + 8 * counts.index(threads) / max(1, len(counts) - 1)
