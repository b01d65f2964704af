"""Where the time of an inference goes, by type of operator."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, WIDTH
from analysis.profiles import by_type, cells_of

NAMED = len(COLOURS) - 1
"""Types with a colour of their own: those with the largest shares over all cells."""
OTHERS = "others"
MOST_CELLS = 60
"""Of more bars nobody finds the one that matters: the first are drawn."""
LONGEST_LINE = 32
"""Of a cell's name in characters: the bars need as much room again."""


def operators_figure(found: pd.DataFrame) -> Figure:
    """Draw a bar for each cell, the times of its operators end to end by their type.

    Parameters
    ----------
    found
        As `analysis.operators` returns it.
    """
    types = by_type(found)
    most = types.groupby("type")["share"].sum().nlargest(NAMED).index
    every = list(cells_of(types))
    cells = [
        (textwrap.fill(name, LONGEST_LINE), _by_name(cell, most))
        for name, cell in every[:MOST_CELLS]
    ]
    lines = max((name.count("\n") + 1 for name, _ in cells), default=1)
    with mpl.rc_context(STYLE):
        height = 1.4 + (0.15 + 0.15 * lines) * len(cells)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        begin = np.zeros(len(cells))
        for kind, colour in zip((*most, OTHERS), (*COLOURS[:NAMED], "0.7"), strict=False):
            length = np.array([cell.get(kind, 0.0) for _, cell in cells]) / 1e6
            if length.any():
                panel.barh(range(len(cells)), length, 0.7, begin, color=colour, label=kind)
            begin += length
        panel.set_yticks(range(len(cells)), [name for name, _ in cells])
        panel.invert_yaxis()
        panel.grid(visible=False, axis="y")
        what = f", of the first {len(cells)} of {len(every)} cells" * (len(cells) < len(every))
        figure.supxlabel(
            f"sum of the operators' times in one inference, profiled, ms{what}", size=9
        )
        figure.legend(loc="outside upper left", ncols=2, fontsize=8)
        return figure


def _by_name(cell: pd.DataFrame, most: pd.Index) -> dict[str, float]:
    """Return the times of a cell's types, those that are not among `most` together."""
    names = cell["type"].where(cell["type"].isin(most), OTHERS)
    return {str(name): float(ns) for name, ns in cell["ns"].groupby(names).sum().items()}
