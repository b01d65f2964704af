"""The interactive charts of the report, drawn by plotly."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from markupsafe import Markup

from analysis.costs import cost
from analysis.nodes import node_variability
from analysis.planes import PLANE, planes
from analysis.scalability import scaling
from analysis.table import digits, half_width, latency, thread_count, to_dataframe

# Okabe and Ito's colours; grey in place of black, which a dark page would swallow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888")
MOST_POINTS = 4000
"""A chart of more trials than this shows every n-th, and says so."""
AXIS = {"automargin": True, "zeroline": False, "title": {"standoff": 8}}
TICKS = {"linear": None, "log": "D2"}
"""A logarithmic axis is marked at 1, 2 and 5."""
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}

NANO_TO_MILLI, MEBI = 1e-6, 2.0**-20
VARIABLES: dict[str, tuple[str, float]] = {
    "median_ns": ("latency, ms", NANO_TO_MILLI),
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
    **{
        name: (f"{name}_low", f"{name}_high") for name in ("joules_per_million", "images_per_joule")
    },
}


Update = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Control:
    """Something to choose: for each option, the arguments of `Plotly.update`."""

    label: str
    options: dict[str, Update]
    chosen: str


@dataclass(frozen=True)
class Chart:
    """A chart and what stands around it."""

    name: str
    title: str
    caption: str
    html: Markup
    controls: list[Control] = field(default_factory=list)


def charts(results: xr.Dataset) -> list[Chart]:
    """Return the charts that the results have the data for."""
    if not np.isfinite(results["median_ns"]).any():
        return []
    drawn = (_cells(results), _scaling(results), _drift(results), _nodes(results))
    return [chart for chart in drawn if chart]


def _cells(results: xr.Dataset) -> Chart:
    """Draw every cell by any two of its numbers."""
    groups = list(_groups(results.assign(cost(results))))
    known = {
        name: label
        for name, (label, _) in VARIABLES.items()
        if name == "median_ns"
        or len({v for _, _, frame in groups for v in _numbers(frame, name) if np.isfinite(v)}) > 1
    }
    x = "artifact_bytes" if "artifact_bytes" in known else "threads" if "threads" in known else ""
    x, y = x or "median_ns", "median_ns"
    figure = _figure()
    for title, name, frame in groups:
        figure.add_scatter(
            mode="markers",
            marker={
                "size": [_size(results, count) for count in frame["threads"]],
                "symbol": _symbols(frame),
                "color": _colour(results, name),
            },
            text=[_hover(title, row) for _, row in frame.iterrows()],
            **_once(figure, name),
            **{axis: _numbers(frame, of).tolist() for axis, of in (("x", x), ("y", y))},
            **{f"error_{axis}": _errors(frame, of) for axis, of in (("x", x), ("y", y))},
        )
    figure.update_layout(
        xaxis={"title": {"text": known[x]}, **_scale("log")},
        yaxis={"title": {"text": known[y]}, **_scale("log")},
    )

    def choices(axis: str) -> dict[str, Update]:
        frames = [frame for _, _, frame in groups]
        return {
            label: _update(
                {
                    axis: [_listed(frame, name) for frame in frames],
                    f"error_{axis}": [_errors(frame, name) for frame in frames],
                },
                {f"{axis}axis.title.text": label, f"{axis}axis.autorange": True},
            )
            for name, label in known.items()
        }

    controls = [
        *(Control(f"{axis} axis", choices(axis), known[of]) for axis, of in (("x", x), ("y", y))),
        *_scales("log", "log"),
        *_shown(groups),
    ]
    caption = (
        "A point a cell, with its 95 % interval; the larger, the more threads; hollow: not valid. "
        "Hover for the numbers; the table below has them too."
    )
    return _chart("cells", "Cells", caption, figure, controls)


def _scaling(results: xr.Dataset) -> Chart | None:
    """Draw speed-up over threads, with the ideal and the fit of the scalability law."""
    law = scaling(results)
    threads = results["threads"].values.astype(float)
    if not np.isfinite(law["speedup"].sel(threads=threads > 1)).any():
        return None
    names = ("speedup", "speedup_low", "speedup_high")
    # Of the fits, along the threads too, for the frames.
    parameters = law[["contention", "coherency", "note"]].broadcast_like(law["speedup"])
    groups = list(_groups(results.assign(law[[*names]]).assign(parameters)))
    figure = _figure()
    figure.add_scatter(
        x=threads, y=threads, mode="lines", name="ideal", line={"dash": "dash", "color": "#888888"}
    )
    fine = np.geomspace(threads[0], threads[-1], 50)
    for title, name, frame in groups:
        colour = _colour(results, name)
        sigma, kappa = frame["contention"].iloc[0], frame["coherency"].iloc[0]
        figure.add_scatter(
            x=frame["threads"],
            y=frame["speedup"],
            error_y=_bars(frame["speedup"], frame["speedup_low"], frame["speedup_high"]),
            mode="markers" if np.isfinite(sigma) else "markers+lines",
            line={"color": colour, "width": 1},
            marker={"size": 9, "symbol": _symbols(frame), "color": colour},
            text=[
                f"{_hover(title, row)}<br>{digits(row['speedup'])} times faster than on 1 thread"
                for _, row in frame.iterrows()
            ],
            **_once(figure, name),
        )
        fitted = fine / (1 + sigma * (fine - 1) + kappa * fine * (fine - 1))
        figure.add_scatter(
            x=_rounded(fine).tolist(),
            y=_rounded(fitted).tolist(),
            mode="lines",
            hoverinfo="skip",
            line={"color": colour, "dash": "dot"},
            showlegend=False,
            legendgroup=name,
        )
    figure.update_layout(
        xaxis={"title": {"text": "threads"}, "tickvals": threads},
        yaxis={"title": {"text": "times faster than on 1 thread"}, "rangemode": "tozero"},
    )
    # Of each group its points and its fit; before them, the ideal.
    shown = [("", "", pd.DataFrame()), *(group for group in groups for _ in range(2))]
    notes = {str(note) for note in law["note"].values.flat} - {""}
    caption = (
        "Speed-up by rounds in pairs, with its 95 % interval, against the ideal (dashed). "
        + (
            f"No fit everywhere: {'; '.join(sorted(notes))}."
            if notes
            else "Dotted: Gunther's universal scalability law."
        )
    )
    controls = [*_scales("linear", "linear"), *_shown(shown)]
    return _chart("scaling", "Scaling over threads", caption, figure, controls)


def _drift(results: xr.Dataset) -> Chart | None:
    """Draw every trial over time, against the median of its cell on its node."""
    ratio = results["trial_median_ns"] / results["trial_median_ns"].median("trial")
    if np.isfinite(ratio).sum() < 2:
        return None
    minutes = (results["start_unix_ns"] - results["start_unix_ns"].min()) / 6e10
    values = xr.Dataset({"ratio": ratio, "minutes": minutes}).to_dataframe().reset_index()
    values = values.dropna(subset=["ratio", "minutes"])
    every = -(-len(values) // MOST_POINTS)
    figure = _figure()
    telling = [a for a in results["median_ns"].dims if a not in PLANE and results.sizes[a] > 1]
    for name, frame in values[::every].groupby("quantization", sort=False):
        figure.add_scatter(
            x=_rounded(frame["minutes"]).tolist(),
            y=_rounded(frame["ratio"]).tolist(),
            mode="markers",
            marker={"size": 6, "opacity": 0.7, "color": _colour(results, str(name))},
            text=[
                escape(
                    f"{_named(row, telling)}{name}, threads {row['threads']}, {row['node']}, "
                    f"round {row['trial']}: {row['ratio']:.3f}"
                )
                for row in frame.to_dict("records")
            ],
            **_once(figure, str(name)),
        )
    figure.update_layout(
        xaxis_title_text="minutes since the first trial",
        yaxis_title_text="trial over the median of its cell",
    )
    caption = (
        "Each trial's median over that of its cell on its node: a slope or a step is a drift of "
        "the machine."
    )
    if every > 1:
        caption += f" Shown are {len(values[::every])} of {len(values)} trials."
    controls = list(_scales("linear", "linear"))[1:]
    return _chart("drift", "Drift over the run", caption, figure, controls)


def _nodes(results: xr.Dataset) -> Chart | None:
    """Draw how each node differs from what is usual for its CPU type."""
    frame = node_variability(results).to_dataframe().reset_index().dropna(subset=["effect"])
    if len(frame) < 2:
        return None
    figure = _figure()
    for number, (cpu_type, of_type) in enumerate(frame.groupby("cpu_type", sort=False)):
        percent = {end: 100 * (of_type[f"effect{end}"] - 1) for end in ("", "_low", "_high")}
        figure.add_scatter(
            x=[escape(str(node)) for node in of_type["node"]],
            y=percent[""],
            error_y=_bars(*percent.values()),
            mode="markers",
            marker={
                "size": 9,
                "color": COLOURS[number % len(COLOURS)],
                "symbol": ["x" if outlier else "circle" for outlier in of_type["outlier"]],
            },
            name=escape(str(cpu_type)),
            text=[
                escape(f"{row['node']}: {100 * (row['effect'] - 1):+.1f} %")
                for row in of_type.to_dict("records")
            ],
        )
    figure.update_layout(yaxis_title_text="slower than is usual, %", xaxis_type="category")
    caption = "Each node against the median of its CPU type, with the 95 % interval; ×: an outlier."
    return _chart("nodes", "Nodes", caption, figure, [])


def _groups(results: xr.Dataset) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield title, quantization and cells of what is one series in a chart."""
    for title, plane in planes(results):
        frame = to_dataframe(plane)
        for name, cells in frame.groupby("quantization", sort=False):
            yield title, str(name), cells


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray[Any, Any]:
    """Return a variable in the chart's unit; NaN where the frame has none."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    return _rounded(frame[name].to_numpy(float) * VARIABLES[name][1])


def _errors(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    low, high = BOUNDS.get(name, (f"{name}_low", f"{name}_high"))
    if low not in frame:
        return {"visible": False}
    scale = VARIABLES[name][1]
    return _bars(*(frame[of].to_numpy(float) * scale for of in (name, low, high)))


def _bars(middle: Any, low: Any, high: Any) -> dict[str, Any]:
    bars = {"array": high - middle, "arrayminus": middle - low}
    return {
        "type": "data",
        "visible": True,
        "thickness": 1.2,
        "width": 3,
        **{key: _rounded(np.nan_to_num(values)).tolist() for key, values in bars.items()},
    }


def _rounded(values: Any) -> np.ndarray[Any, Any]:
    """Return numbers of five digits: no eye asks for more, and the page is a third as long."""
    return np.array([float(f"{value:.5g}") for value in np.asarray(values, float)])


def _listed(frame: pd.DataFrame, name: str) -> list[float | None]:
    """Return a variable as JSON can have it."""
    return [value if np.isfinite(value) else None for value in _numbers(frame, name).tolist()]


def _symbols(frame: pd.DataFrame) -> list[str]:
    return ["circle-open" if verdict else "circle" for verdict in frame["verdict"]]


def _size(results: xr.Dataset, threads: int) -> float:
    counts: list[int] = results["threads"].values.tolist()
    return 8 + 8 * counts.index(threads) / max(1, len(counts) - 1)


def _hover(title: str, row: "pd.Series[Any]") -> str:
    lines = [title, f"{row['quantization']} on {thread_count(row['threads'])}"]
    interval = row["median_ns"], row["ci_low_ns"], row["ci_high_ns"]
    if np.isfinite(interval).all():
        lines.append(f"{latency(row['median_ns'])} ± {half_width(*interval)} %")
    lines.append(", ".join(row["verdict"].split()).replace("_", " ") or "valid")
    return "<br>".join(map(escape, lines))


def _named(row: dict[Any, Any], axes: list[Any]) -> str:
    return "".join(f"{row[axis]}, " for axis in axes)


def _colour(results: xr.Dataset, quantization: str) -> str:
    return COLOURS[results["quantization"].values.tolist().index(quantization) % len(COLOURS)]


def _once(figure: go.Figure, name: str) -> dict[str, Any]:
    """Return what names a series; the legend has each name once."""
    label = escape(name)
    new = all(trace.name != label for trace in figure.data)
    return {"name": label, "legendgroup": name, "showlegend": new}


def _scales(x: str, y: str) -> Iterator[Control]:
    for axis, chosen in (("x", x), ("y", y)):
        options = {
            name: _update({}, {f"{axis}axis.{key}": value for key, value in _scale(name).items()})
            for name in TICKS
        }
        yield Control(f"{axis} scale", options, chosen)


def _scale(name: str) -> dict[str, Any]:
    return {"type": name, "dtick": TICKS[name], "autorange": True}


def _shown(groups: list[tuple[str, str, pd.DataFrame]]) -> Iterator[Control]:
    """Yield the choice of a model, or of whatever else there are several of."""
    titles = list(dict.fromkeys(title for title, *_ in groups if title))
    if len(titles) > 1:
        options = {"all": _update({"visible": [True] * len(groups)}, {})}
        for chosen in titles:
            shown = [title in ("", chosen) for title, *_ in groups]
            options[chosen] = _update({"visible": shown}, {})
        yield Control("show", options, "all")


def _update(data: dict[str, Any], layout: dict[str, Any]) -> Update:
    return data, layout


def _figure() -> go.Figure:
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "inherit", "size": 13},
            "margin": {"l": 60, "r": 15, "t": 40, "b": 45},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#888888", "activecolor": "#0072B2"},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "height": 460,
            "xaxis": AXIS,
            "yaxis": AXIS,
        }
    )


def _chart(
    name: str, title: str, caption: str, figure: go.Figure, controls: list[Control]
) -> Chart:
    figure.for_each_trace(
        lambda trace: trace.update(hovertemplate="%{text}<extra></extra>"),
        selector=lambda trace: trace.text is not None,
    )
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=CONFIG)
    return Chart(name, title, caption, Markup(html), controls)
