"""Where the time goes, as a table for people on a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.profiles import OWN, by_type, cells_of
from analysis.table import digits, latency

RESOLUTION_NS = 1000
"""Of XNNPACK's times."""
NOTE = "time: profiled, for shares and not for latencies"
CUT_OFF = "; XNNPACK's in whole microseconds, the rest cut off and half of one added"


def operators_to_rich_table(found: pd.DataFrame, *, each: bool = False) -> RenderableType:
    """Return a table for each cell, the types of operators that take the most first.

    Parameters
    ----------
    found
        As `analysis.operators` returns it.
    each
        Whether each operator is a line, in the order of execution; else each type.
    """
    tables = [part for title, cell in cells_of(found) for part in _section(title, cell, each=each)]
    unprofiled = (Text(f"not profiled: {lack}", style="red") for lack in _lacks(found))
    note = NOTE + CUT_OFF * bool((found["run_by"] != OWN).any())
    return Group(*tables, Text(note, style="dim"), *unprofiled)


def _section(title: str, cell: pd.DataFrame, *, each: bool) -> Iterator[RenderableType]:
    yield Text(f"{title}", style="bold")
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("place" if each else "operators", justify="right")
    table.add_column("type", overflow="fold")
    table.add_column("by")
    for heading in ("time", "%"):
        table.add_column(heading, justify="right")
    lines = _each(cell) if each else by_type(cell)
    for line in lines.to_dict("records"):
        number = line["place"] if each else line["count"]
        names = str(number), line["type"], line["run_by"]
        table.add_row(*map(Text, names), _time(line, each=each), f"{100 * line['share']:.1f}")
    yield table
    yield Text(f"{_sum(lines)}\n")


def _time(line: Mapping[Any, Any], *, each: bool) -> str:
    cut_off = each and line["run_by"] != OWN and line["ns"] < RESOLUTION_NS
    return "< 1 µs" if cut_off else latency(line["ns"])


def _each(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the operators of a cell, the medians over nodes."""
    kinds = ["place", "type", "run_by"]
    return cell.groupby(kinds)[["ns", "share", "latency_ns"]].median().reset_index()


def _sum(lines: pd.DataFrame) -> str:
    total_ns, latency_ns = lines["ns"].sum(), lines["latency_ns"].iloc[0]
    if pd.isna(latency_ns):
        return f"{latency(total_ns)} in all"
    return (
        f"{latency(total_ns)} in all; its trials, unprofiled, have a latency of "
        f"{latency(latency_ns)} ({digits(total_ns / latency_ns)} times)"
    )


def _lacks(found: pd.DataFrame) -> list[str]:
    return list(found.attrs.get("unprofiled", ()))
