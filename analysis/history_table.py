"""A history of runs for people on a terminal, and for programs."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.change_points import LEAST_RUNS
from analysis.histories import Step, steps
from analysis.table import latency

OUTCOMES = ("slower", "faster", "unchanged", "undecided")
STYLES = {"slower": "red", "faster": "green", "undecided": "yellow"}
WHY = {
    "few_runs": f"fewer than {LEAST_RUNS} runs have it",
    "not_in_newest": "the newest run has no latency of it",
    "not_in_baseline": "the baseline has no latency of it",
}
"""Why a cell is undecided, in words."""
HEADINGS = ("runs", "baseline", "newest", "level", "interval", "run to run", "outcome")

Record = dict[str, Any]


def history_to_json(judged: xr.Dataset) -> Record:
    """Return a history for programs; what is not known is null.

    Keys: `baseline`, `newest`, `threshold`, `left_out` (a line for each run that had nothing to
    show), `runs` (name and start of each); `cells`, with the axes and the variables of
    `analysis.history`, medians by run; `steps`, the newest first.
    """
    starts = np.datetime_as_string(judged["start"].values, unit="s", timezone="UTC").tolist()
    names = judged["run"].values.tolist()
    return {
        **{name: judged.attrs[name] for name in ("baseline", "newest", "threshold", "left_out")},
        "runs": [{"run": name, "start": start} for name, start in zip(names, starts, strict=True)],
        "cells": list(records(judged)),
        "steps": [vars(step) for step in steps(judged)],
    }


def records(judged: xr.Dataset) -> Iterator[Record]:
    """Yield each cell that any run has: its point on the axes, and what was found."""
    axes = axes_of(judged)
    outcome = judged["outcome"].transpose(*axes)
    of_cells = [str(name) for name, of in judged.data_vars.items() if "run" not in of.dims]
    for place in np.argwhere(outcome.values != ""):
        cell = judged[dict(zip(axes, place, strict=True))]
        yield {
            **{axis: cell[axis].item() for axis in axes},
            **{name: _plain(cell[name].item()) for name in of_cells},
            "median_ns": [_plain(value) for value in cell["median_ns"].values.tolist()],
        }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def history_to_rich_table(judged: xr.Dataset) -> RenderableType:
    """Return a line for each cell, and below it each step with what else changed then."""
    telling = [axis for axis in axes_of(judged) if judged.sizes[axis] > 1]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading in (*telling, *HEADINGS):
        left = heading in ("interval", "outcome") or heading in telling
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for record in records(judged):
        cells = [str(record[axis]) for axis in telling] + written(judged, record)
        table.add_row(*map(Text, cells), style=STYLES.get(record["outcome"], ""))
    below = [
        Text(f"{step_in_words(judged, step)}", style="red" if step.ratio > 1 else "green")
        for step in steps(judged)
    ]
    left_out = [Text(f"left out: {line}", style="yellow") for line in judged.attrs["left_out"]]
    return Group(table, Text(), *below, *left_out, Text(history_summary(judged), style="bold"))


def written(judged: xr.Dataset, record: Record) -> list[str]:
    """Write what stands under the `HEADINGS`."""
    names = judged["run"].values.tolist()
    ends = (record["median_ns"][names.index(judged.attrs[of])] for of in ("baseline", "newest"))
    low, high = record["ratio_low"], record["ratio_high"]
    return [
        str(record["run_count"]),
        *("-" if value is None else latency(value) for value in ends),
        "-" if record["ratio"] is None else f"{record['ratio']:.3f}",
        "-" if low is None else f"{low:.3f} to {high:.3f}",
        "-" if record["run_sd"] is None else f"± {100 * record['run_sd']:.1f} %",
        record["outcome"] + (f": {WHY[record['reason']]}" if record["reason"] else ""),
    ]


def history_summary(judged: xr.Dataset) -> str:
    """Say in a sentence how the newest run stands to the baseline."""
    outcomes = [record["outcome"] for record in records(judged)]
    counts = {outcome: outcomes.count(outcome) for outcome in OUTCOMES}
    runs = judged.sizes["run"]
    return (
        f"{judged.attrs['newest']} against {judged.attrs['baseline']}, over "
        f"{runs} run{'s' * (runs != 1)}: slower in {counts['slower'] or 'none'} of {len(outcomes)} "
        f"cell{'s' * (len(outcomes) != 1)}, faster in {counts['faster'] or 'none'}, unchanged in "
        f"{counts['unchanged'] or 'none'}"
        f"{', undecided in ' + str(counts['undecided']) if counts['undecided'] else ''}."
    )


def step_in_words(judged: xr.Dataset, step: Step) -> str:
    """Say which cell changed when, by how much, and what else did."""
    telling = [axis for axis in axes_of(judged) if judged.sizes[axis] > 1]
    name = " ".join(f"{axis}={step.point[axis]}" for axis in telling) or "the cell"
    change, low, high = (100 * (value - 1) for value in (step.ratio, step.low, step.high))
    changed = "; ".join(step.changed) or "nothing that they tell"
    return (
        f"{name}: {change:+.1f} % ({low:+.1f} to {high:+.1f}) from {step.run} on, after "
        f"{step.after}; changed in between: {changed}"
    )


def axes_of(judged: xr.Dataset) -> list[str]:
    """Return the sweep's axes."""
    return [str(dim) for dim in judged["outcome"].dims]
