"""What all interactive charts share: their style, what can be chosen in them, error bars."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

# Okabe and Ito's colours; grey in place of black, which a dark page would swallow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888")
GREY = COLOURS[-1]
TICKS = {"linear": 0, "log": 4}
"""How many marks an axis is to have, 0 for as many as there is room for; a logarithmic one has more
between them: at 1, 2 and 5, or as a linear one where it is short."""
AXIS = {"automargin": True, "zeroline": False, "title": {"standoff": 8}}

Update = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Control:
    """Something to choose: for each option, the arguments of `Plotly.update`.

    A text among the values to update stands for a column of the chart.
    """

    label: str
    options: dict[str, Update]
    chosen: str


@dataclass(frozen=True)
class Chart:
    """A chart and what stands around it."""

    name: str
    title: str
    caption: str
    figure: go.Figure
    controls: list[Control] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    """What axes can be chosen from: of each series the values."""

    def packed(self) -> dict[str, Any]:
        """Return what plotly.js needs, as JSON has it."""
        self.figure.for_each_trace(
            lambda trace: trace.update(hovertemplate="%{text}<extra></extra>"),
            selector=lambda trace: trace.text is not None,
        )
        options = {control.label: control.options for control in self.controls}
        figure = json.loads(self.figure.to_json())
        return {**figure, "controls": options, "columns": self.columns}


def blank(height: int = 460) -> go.Figure:
    """Return a figure in the page's style, with nothing in it."""
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "inherit", "size": 13},
            "margin": {"l": 60, "r": 15, "t": 40, "b": 45},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": "#0072B2"},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "height": height,
            "xaxis": AXIS,
            "yaxis": AXIS,
        }
    )


def scales(x: str, y: str) -> Iterator[Control]:
    """Yield the choices of each axis's scale; empty for none to choose."""
    for axis, chosen in (("x", x), ("y", y)):
        if chosen:
            options: dict[str, Update] = {
                name: ({}, {f"{axis}axis.{key}": value for key, value in scale(name).items()})
                for name in TICKS
            }
            yield Control(f"{axis} scale", options, chosen)


def scale(name: str) -> dict[str, Any]:
    """Return what makes an axis linear or logarithmic."""
    return {"type": name, "nticks": TICKS[name], "tickformat": ".7~g", "autorange": True}


def shown(titles: list[str], label: str = "show") -> Iterator[Control]:
    """Yield the choice of which series to show, from the title of each; "" is always shown."""
    several = list(dict.fromkeys(title for title in titles if title))
    if len(several) > 1:
        options: dict[str, Update] = {"all": ({"visible": [True] * len(titles)}, {})}
        for chosen in several:
            options[chosen] = {"visible": [title in ("", chosen) for title in titles]}, {}
        yield Control(label, options, "all")


def plain(text: str) -> str:
    """Escape a text for plotly, which knows some markup, but no entities of quotes."""
    return escape(text, quote=False)


def once(figure: go.Figure, name: str) -> dict[str, Any]:
    """Return what names a series; the legend has each name once."""
    label = plain(name)
    new = all(trace.name != label for trace in figure.data)
    return {"name": label, "legendgroup": name, "showlegend": new}


def bars(middle: Any, low: Any, high: Any) -> dict[str, Any]:
    """Return error bars; none where a bound is not known."""
    ends = {"array": high - middle, "arrayminus": middle - low}
    return {
        "type": "data",
        "visible": True,
        "thickness": 1.2,
        "width": 3,
        **{key: rounded(np.nan_to_num(values)).tolist() for key, values in ends.items()},
    }


def rounded(values: Any) -> np.ndarray[Any, Any]:
    """Return numbers of five digits: no eye asks for more, and the page is a third as long."""
    return np.array([float(f"{value:.5g}") for value in np.asarray(values, float).ravel()])


def listed(values: Any) -> list[float | None]:
    """Return numbers as JSON can have them."""
    return [value if np.isfinite(value) else None for value in rounded(values).tolist()]


def colour(results: xr.Dataset, quantization: str) -> str:
    """Return the colour of a quantization, the same in all charts."""
    return COLOURS[results["quantization"].values.tolist().index(quantization) % len(COLOURS)]
