"""A comparison for people on a terminal, for programs and for documents."""

import math
from collections.abc import Iterator
from string import ascii_lowercase
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.planes import MOST_BARS
from analysis.table import in_markdown, latency
from suite.verdict import REASONS

OUTCOMES = ("slower", "faster", "same", "undecided")
STYLES = {"slower": "red", "faster": "green", "undecided": "yellow"}
COUNTS = ("replicates", "more")
HEADINGS = ("A", "B", "B / A", "interval", "outcome")

Record = dict[str, Any]


def comparison_to_json(comparison: xr.Dataset) -> list[Record]:
    """Return an object for each cell that either side has measured, for programs.

    Keys: the axes, and the variables of `analysis.compare`; verdicts are lists of reasons. What is
    not known is null, and so is `more` where no sensible number would do.
    """
    status = comparison["outcome"]
    records = []
    for place in map(tuple, np.argwhere(np.asarray(status.values != "")).tolist()):
        point = {
            str(axis): comparison[axis].values[i].item()
            for axis, i in zip(status.dims, place, strict=True)
        }
        values = {str(name): comparison[name].values[place] for name in comparison.data_vars}
        records.append({**point, **{name: _plain(name, value) for name, value in values.items()}})
    return records


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value.split() if name.endswith("_verdict") else value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if name in COUNTS else number


def comparison_to_rich_table(comparison: xr.Dataset) -> RenderableType:
    """Return a line for each cell that both sides have, and below it what needs to be said.

    A letter stands for a reason not to trust a cell, on either side.
    """
    axes = telling_axes(comparison)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading in (*axes, *HEADINGS):
        left = heading in ("interval", "outcome") or heading in axes
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    records, threshold = of_both(comparison), comparison.attrs["threshold"]
    letters = _letters(records)
    for record in records:
        row = [str(record[axis]) for axis in axes]
        marks = "".join(letters[reason] for reason in reasons_of(record))
        cells = [*row, *_row(record, threshold, f" {marks}")]
        table.add_row(*map(Text, cells), style=STYLES.get(record["outcome"], ""))
    lines = [
        *(f"{letter}  {REASONS[name]}" for name, letter in letters.items()),
        *notes(comparison),
    ]
    below = (Text(note, style="yellow") for note in lines)
    return Group(table, Text(), *below, Text(summary(comparison), style="bold"))


def comparison_to_markdown(comparison: xr.Dataset) -> str:
    """Return the same as a table in Markdown with a paragraph below it."""
    axes, threshold = telling_axes(comparison), comparison.attrs["threshold"]
    rows = [[*axes, *HEADINGS, "verdict"], ["---"] * len(axes) + ["---:"] * 3 + ["---"] * 3]
    for record in of_both(comparison):
        verdict = ", ".join(reasons_of(record)).replace("_", " ") or "valid"
        point = (in_markdown(record[axis]) for axis in axes)
        rows.append([*point, *_row(record, threshold), verdict])
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    below = "".join(f"- {in_markdown(note)}\n" for note in notes(comparison))
    return "\n".join(filter(None, [lines, below, summary(comparison) + "\n"]))


def summary(comparison: xr.Dataset) -> str:
    """Say in a sentence what came out.

    Examples
    --------
    >>> summary(compare(before, after))  # doctest: +SKIP
    'B is slower in 2 of 10 cells (by 3.1 % to 5.2 %), faster in none, the same in 8.'
    """
    records = of_both(comparison)
    by_outcome = {o: [r["ratio"] for r in records if r["outcome"] == o] for o in OUTCOMES}
    slower, faster, same, undecided = by_outcome.values()
    cells = f"{len(records)} cell{'s' * (len(records) != 1)}"
    text = (
        f"B is slower in {len(slower) or 'none'} of {cells}{_by(slower)}, "
        f"faster in {len(faster) or 'none'}{_by(faster)}, the same in {len(same) or 'none'}"
    )
    return f"{text}{f', undecided in {len(undecided)}' if undecided else ''}."


def _by(ratios: list[float]) -> str:
    """Write how much more or less time B takes."""
    if not ratios:
        return ""
    changes = [100 * abs(ratio - 1) for ratio in ratios]
    bounds = dict.fromkeys(f"{change:.1f} %" for change in (min(changes), max(changes)))
    return f" (by {' to '.join(bounds)})"


def of_both(comparison: xr.Dataset) -> list[Record]:
    """Return the cells that both sides have measured."""
    return [r for r in comparison_to_json(comparison) if r["outcome"] in OUTCOMES]


def furthest(records: list[Record]) -> list[Record]:
    """Return no more than `MOST_BARS` records, those furthest from 1, by their ratio."""
    by_distance = sorted(records, key=lambda record: -abs(math.log(record["ratio"])))
    return sorted(by_distance[:MOST_BARS], key=lambda record: record["ratio"])


def telling_axes(comparison: xr.Dataset) -> list[str]:
    """Return the axes that tell the cells apart."""
    return [str(a) for a in comparison["outcome"].dims if comparison.sizes[a] > 1]


def reasons_of(record: Record) -> list[str]:
    """Return the reasons not to trust either side."""
    found = {*record["a_verdict"], *record["b_verdict"]}
    return [reason for reason in REASONS if reason in found]


def _letters(records: list[Record]) -> dict[str, str]:
    found = {reason for record in records for reason in reasons_of(record)}
    return dict(zip((name for name in REASONS if name in found), ascii_lowercase, strict=False))


def _row(record: Record, threshold: float, marks: str = "") -> list[str]:
    return [
        latency(record["a_ns"]),
        latency(record["b_ns"]),
        f"{record['ratio']:.3f}",
        interval_in_words(record),
        f"{outcome_in_words(record, threshold)}{marks}",
    ]


def interval_in_words(record: Record) -> str:
    """Write the interval of a ratio."""
    low, high = record["ratio_low"], record["ratio_high"]
    return "-" if low is None else f"{low:.3f} to {high:.3f}"


def outcome_in_words(record: Record, threshold: float) -> str:
    """Write the outcome: within what it is the same, if more than matters; what would decide it."""
    if record["outcome"] == "same":
        within = max(record["ratio_high"], 1 / record["ratio_low"]) <= 1 + threshold
        return "same" if within else f"same ± {100 * (record['limit'] - 1):.1f} %"
    if record["outcome"] != "undecided":
        return str(record["outcome"])
    if record["reason"] == "single_node":
        return "undecided: single node"
    more, unit = record["more"], "node" if record["replicate"] == "node" else "trial"
    return f"undecided, +{'many' if more is None else more} {unit}{'s' * (more != 1)}"


def notes(comparison: xr.Dataset) -> Iterator[str]:
    """Yield what stands below the table: what would decide, cells of one side, what is claimed."""
    records = comparison_to_json(comparison)
    if any(record["outcome"] == "undecided" and not record["reason"] for record in records):
        yield "undecided, +n: about n more would decide it, if what was seen so far goes on"
    for side in "AB":
        of_side = [record for record in records if record["outcome"] == f"only_{side.lower()}"]
        if only := [point_of(record, telling_axes(comparison)) for record in of_side]:
            yield f"only {side} has a latency: {'; '.join(only)}"
    if any(record["reason"] == "single_node" for record in records):
        yield "single node: one node tells nothing about others of its CPU type; measure on more"


def point_of(record: Record, axes: list[str]) -> str:
    """Write where a cell is."""
    return " ".join(f"{axis}={record[axis]}" for axis in axes) or "the cell"
