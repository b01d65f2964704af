"""The tables of the pages that can be sorted and filtered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xarray as xr
from markupsafe import Markup, escape

from analysis.planes import PLANE
from analysis.report.reduction import MOST_ROWS, ROWS_AS_HTML, fastest
from analysis.table import (
    P99,
    Record,
    counts_throughput,
    digits,
    headings,
    numbers,
    records,
    with_ratios,
)

TAILS = {"p90 ms": "p90", "p99 ms": "p99"}


@dataclass(frozen=True)
class Column:
    """A heading, and whether numbers stand below it."""

    heading: str
    number: bool = True


@dataclass(frozen=True)
class Table:
    """A table; what stands in its cells is HTML, escaped."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Markup]]
    note: str = ""

    @property
    def ready(self) -> Sequence[Sequence[Markup]]:
        """The rows that stand in the page as HTML."""
        return self.rows[:ROWS_AS_HTML]

    @property
    def packed(self) -> Sequence[Sequence[Markup]]:
        """The others."""
        return self.rows[ROWS_AS_HTML:]


def table_of(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    note: str = "",
) -> Table:
    """Return a table of texts, each of them escaped unless it is markup."""
    return Table(name, title, columns, [[escape(text) for text in row] for row in rows], note)


def cells_table(results: xr.Dataset) -> Table:
    """Return the table of a run's cells."""
    axes = telling(results)
    count = int((results["status"] != "").sum())
    of = records(with_ratios(results), fastest(results))
    # Percentiles stand with what they lack.
    shown = [heading for heading in headings(of) if heading != P99]
    others = [heading.replace("\n", " ") for heading in shown[1:]]
    tails = TAILS if any(record["median_ns"] for record in of) else {}
    columns = [
        *(Column(axis, results[axis].dtype.kind in "if") for axis in axes),
        *map(Column, ("latency ms", others[0], *tails, *others[1:], "trials")),
        Column("verdict", number=False),
    ]
    note = ""
    if len(of) < count:
        note = (
            f"Shown are {len(of)} of {count} cells: those that are fastest for each "
            f"model and CPU type, {MOST_ROWS} at most. "
            "For all of them: litesweep show RUN --csv; for a part: "
            "litesweep report RUN:model=NAME --out FILE."
        )
    rows = (_row(record, axes, shown, tails) for record in of)
    return table_of("cells-table", "Table of cells", columns, rows, note)


def _row(record: Record, axes: list[str], shown: list[str], tails: dict[str, str]) -> list[object]:
    """Write a cell's row; latencies in one unit throughout, for whoever filters by a number."""
    latency, width, *others = numbers(record, shown)
    if record["median_ns"] and not counts_throughput(record):
        latency = _milliseconds(record["median_ns"])
    return [
        *(record[axis] for axis in axes),
        latency,
        width,
        *(_tail(record, name) for name in tails.values()),
        *others,
        record["trials"],
        verdict(record["verdict"]),
    ]


def _tail(record: Record, name: str) -> str:
    """Write a percentile, or what it lacks."""
    value = record[f"{name}_ns"]
    return _milliseconds(value) if value else record[f"{name}_lack"] or "-"


def _milliseconds(value_ns: float) -> str:
    return digits(value_ns / 1e6)


def verdict(reasons: Iterable[str]) -> Markup | str:
    """Write a verdict, so that the eye finds what is not valid."""
    words = ", ".join(reasons).replace("_", " ")
    return Markup('<span class="warn">{}</span>').format(words) if words else "valid"


def telling(results: xr.Dataset) -> list[str]:
    """Return the axes that tell cells apart, and those that every table has."""
    dims = map(str, results["status"].dims)
    return [axis for axis in dims if axis in ("model", *PLANE) or results.sizes[axis] > 1]
