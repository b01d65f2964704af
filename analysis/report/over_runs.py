"""The page of a history of runs."""

import numpy as np
import xarray as xr

from analysis.histories import changes, steps
from analysis.history_table import (
    HEADINGS,
    axes_of,
    history_summary,
    records,
    step_in_words,
    written,
)
from analysis.report.charts.trend import trend
from analysis.report.facts import MOST_NAMED
from analysis.report.pages import render
from analysis.report.reduction import MOST_ROWS
from analysis.report.tables import Column, Table, table_of
from analysis.table import digits

SECTIONS = {
    "answers": "Answers",
    "charts": "Chart",
    "table": "Table",
    "runs": "Runs",
}
MOST_STEPS = 100


def history_page(judged: xr.Dataset) -> str:
    """Return the page as HTML; every text from the results is escaped."""
    drawn, cells, found = [trend(judged)], _cells(judged), steps(judged)
    return render(
        "history.html",
        charts=drawn,
        tables=[cells],
        sections=SECTIONS,
        name=f"{judged.attrs.get('name', '') or 'Runs'}: history",
        baseline=judged.attrs["baseline"],
        threshold=digits(100 * judged.attrs["threshold"]),
        count=judged.sizes["run"],
        summary=history_summary(judged),
        steps=[step_in_words(judged, step) for step in found[:MOST_STEPS]],
        named=MOST_NAMED,
        more_steps=max(0, len(found) - MOST_STEPS),
        cells=cells,
        runs=_runs(judged),
        left_out=judged.attrs["left_out"],
    )


def _cells(judged: xr.Dataset) -> Table:
    telling = [axis for axis in axes_of(judged) if judged.sizes[axis] > 1]
    of = list(records(judged))
    columns = [
        *(Column(axis, judged[axis].dtype.kind in "if") for axis in telling),
        Column("runs"),
        *map(Column, ("baseline ms", "newest ms", "level", "low", "high", "run to run ± %")),
        Column("outcome", number=False),
    ]
    names = judged["run"].values.tolist()
    ends = [names.index(judged.attrs[end]) for end in ("baseline", "newest")]
    rows = (
        [
            *(record[axis] for axis in telling),
            record["run_count"],
            *(_scaled(record["median_ns"][end], 1e-6) for end in ends),
            *(
                "-" if (v := record[f"ratio{end}"]) is None else f"{v:.3f}"
                for end in ("", "_low", "_high")
            ),
            _scaled(record["run_sd"], 100),
            written(judged, record)[HEADINGS.index("outcome")],
        ]
        for record in of[:MOST_ROWS]
    )
    note = f"Shown are the first {MOST_ROWS} of {len(of)} cells." if len(of) > MOST_ROWS else ""
    return table_of("cells-table", "Table of cells over runs", columns, rows, note)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _scaled(value: float | None, factor: float) -> str:
    return digits(None if value is None else value * factor)


def _runs(judged: xr.Dataset) -> list[dict[str, str]]:
    starts = np.datetime_as_string(judged["start"].values, unit="s", timezone="UTC").tolist()
    return [
        {
            "run": str(name),
            "first trial": starts[place],
            "changed since the run before": "; ".join(changes(judged, place - 1, place))
            if place
            else "",
        }
        for place, name in enumerate(judged["run"].values)
    ]
