"""The page of a comparison."""

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

from analysis.comparison_table import (
    Record,
    interval_in_words,
    notes,
    of_both,
    outcome_in_words,
    point_of,
    reasons_of,
    summary,
    telling_axes,
)
from analysis.report.charts.forest import forest
from analysis.report.facts import MOST_NAMED, nodes, provenance
from analysis.report.pages import render
from analysis.report.reduction import MOST_ROWS
from analysis.report.tables import Column, Table, table_of, verdict
from analysis.table import digits, latency
from suite.verdict import REASONS

SECTIONS = {
    "answers": "Answers",
    "charts": "Chart",
    "table": "Table",
    "open": "Not called, and why",
    "provenance": "What differs",
    "machines": "Nodes",
}
REPLICATES = {
    "pair": "pairs of trials of a round",
    "trial": "trials of two runs on one node",
    "node": "nodes",
}


def comparison_page(
    comparison: xr.Dataset, a: xr.Dataset, b: xr.Dataset, names: tuple[str, str]
) -> str:
    """Return the page as HTML; every text from the results is escaped."""
    drawn, table = [forest(comparison)], _table(comparison)
    sides = {"A": a, "B": b}
    differing, shared = provenance_of(sides)
    return render(
        "comparison.html",
        charts=drawn,
        tables=[table],
        sections=SECTIONS,
        name=f"{names[1]} against {names[0]}",
        names=dict(zip(sides, names, strict=True)),
        summary=summary(comparison),
        said=list(_said(comparison)),
        cells=table,
        open=list(_open(comparison)),
        notes=list(notes(comparison)),
        differing=differing,
        shared=shared,
        nodes=[{"of": of, **node} for of, side in sides.items() for node in nodes(side)],
    )


def _said(comparison: xr.Dataset) -> Iterator[str]:
    """Yield what the outcome rests on."""
    records = of_both(comparison)
    called = [r for r in records if r["outcome"] in ("slower", "faster")]
    for record in sorted(called, key=lambda r: -abs(np.log(r["ratio"])))[:5]:
        a, b = latency(record["a_ns"]), latency(record["b_ns"])
        yield (
            f"{point_of(record, telling_axes(comparison))}: {record['outcome']}, "
            f"{record['ratio']:.3f} times as long ({interval_in_words(record)}), {a} to {b}."
        )
    for kind, words in REPLICATES.items():
        counts = [r["replicates"] for r in records if r["replicate"] == kind]
        if counts:
            least, most = min(counts), max(counts)
            of = f"{least}" if least == most else f"{least} to {most}"
            yield f"The replicates are {words}: {of} for each of {len(counts)} cells."
    floors = [100 * (r["floor"] - 1) for r in records if r["floor"] is not None]
    yield (
        f"The noise floor: with so many trials a cell seems to differ from itself by up to "
        f"{digits(np.median(floors))} % (median over cells; at most {digits(max(floors))} %), in "
        "95 of 100 cases."
        if floors
        else "The noise floor is not known: no cell has trials in rounds next to each other."
    )
    threshold = digits(100 * comparison.attrs["threshold"])
    yield f"A difference under {threshold} % does not matter here."


def _table(comparison: xr.Dataset) -> Table:
    axes, threshold = telling_axes(comparison), comparison.attrs["threshold"]
    records = of_both(comparison)
    shown = sorted(records, key=_certainty)[:MOST_ROWS] if len(records) > MOST_ROWS else records
    columns = [
        *(Column(axis, comparison[axis].dtype.kind in "if") for axis in axes),
        *map(Column, ("A ms", "B ms", "B / A", "low", "high", "does not count, ± %")),
        Column("outcome", number=False),
        Column("replicates"),
        Column("verdict", number=False),
    ]
    rows = (
        [
            *(record[axis] for axis in axes),
            *(digits(record[f"{side}_ns"] / 1e6) for side in "ab"),
            *(_ratio(record[f"ratio{end}"]) for end in ("", "_low", "_high")),
            "-" if record["limit"] is None else digits(100 * (record["limit"] - 1)),
            outcome_in_words(record, threshold),
            record["replicates"],
            verdict(reasons_of(record)),
        ]
        for record in shown
    )
    note = ""
    if len(shown) < len(records):
        note = f"Shown are {len(shown)} of {len(records)} cells, those furthest from 1 first."
    return table_of("cells-table", "Table of compared cells", columns, rows, note)


def _certainty(record: Record) -> float:
    return -abs(float(np.log(record["ratio"])))


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _open(comparison: xr.Dataset) -> Iterator[tuple[str, list[str]]]:
    """Yield why cells are not called, or not to be trusted, and which they are."""
    axes, threshold = telling_axes(comparison), comparison.attrs["threshold"]
    found: dict[str, list[str]] = {}
    undecided = [r for r in of_both(comparison) if r["outcome"] == "undecided"]
    for record in sorted(undecided, key=lambda r: math.inf if r["more"] is None else r["more"]):
        words, _, more = outcome_in_words(record, threshold).partition(", ")
        found.setdefault(words, []).append(point_of(record, axes) + (more and f": {more}"))
    for record in of_both(comparison):
        for reason in reasons_of(record):
            found.setdefault(f"not valid, {REASONS[reason]}", []).append(point_of(record, axes))
    for words, cells in found.items():
        others = len(cells) - MOST_NAMED
        yield words, cells[:MOST_NAMED] + ([f"and {others} more"] if others > 0 else [])


def provenance_of(
    sides: dict[str, xr.Dataset],
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return what differs in where results come from, and what they share."""
    of_sides = {name: provenance(side) for name, side in sides.items()}
    keys = dict.fromkeys(key for of in of_sides.values() for key in of)
    rows = [{"what": key, **{n: of.get(key, "-") for n, of in of_sides.items()}} for key in keys]
    differing = [row for row in rows if len({row[name] for name in sides}) > 1]
    shared = [
        {"what": row["what"], "of all": next(row[n] for n in sides)}
        for row in rows
        if row not in differing
    ]
    return differing, shared
