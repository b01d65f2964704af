"""Measurements of other tools beside a run's cells."""

import math
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pandas as pd
import xarray as xr
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.others.measurement import LACKS
from analysis.others.read import latency_ns, read_others
from analysis.slices import at, parse
from analysis.table import digits, half_width, latency
from suite.errors import UserError

RATIO = ("ratio", "ratio_low", "ratio_high")
HEADINGS = ("latency", "± %", "p90", "per s", "× the\nrun's", "lacks")
EXPLANATION = "× the run's: its latency over that of the cell that was named"


def beside(results: xr.Dataset, named: Iterable[Path | str]) -> pd.DataFrame:
    """Set measurements of other tools beside the cells of a run.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    named
        Files as `read_others` takes them; after a colon, the cell that was measured, as
        `lite.json:model=resnet50,quantization=int8,threads=1`. A thread count that the file has
        need not be named, nor an axis on which the run has one value.

    Returns
    -------
    pandas.DataFrame
        The rows of `read_others`, with `file` in front, and behind: `cell_id` (empty where no cell
        is named), and `ratio`, the latency over that cell's; `ratio_low` and `ratio_high`, where
        both have an interval, between the far ends of the two.

    Raises
    ------
    UserError
        If a file cannot be used, or a name leaves open which cell is meant, or that was not
        measured.
    """
    frames = [_rows(results, str(text)) for text in named]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _rows(results: xr.Dataset, text: str) -> pd.DataFrame:
    path, fixed = parse(text)
    found = read_others(path)
    beside_cells = [_beside_cell(results, text, fixed, row) for row in found.to_dict("records")]
    found.insert(0, "file", str(path))
    return pd.concat([found, pd.DataFrame.from_records(beside_cells)], axis=1)


def _beside_cell(
    results: xr.Dataset, text: str, fixed: Mapping[str, str], row: Mapping[Hashable, Any]
) -> dict[str, Any]:
    if not fixed:
        return {"cell_id": "", **dict.fromkeys(RATIO, math.nan)}
    if "threads" in results.dims and "threads" not in fixed and not math.isnan(row["threads"]):
        fixed = {**fixed, "threads": f"{row['threads']:.0f}"}
    chosen = at(results, fixed, text)
    open_axes = [str(axis) for axis, size in chosen["status"].sizes.items() if size > 1]
    if open_axes:
        raise UserError(
            f"{text!r} names {chosen['status'].size} cells of the run.",
            f"Add {','.join(f'{axis}=...' for axis in open_axes)}.",
        )
    cell = chosen.squeeze()
    if cell["status"].item() != "ok":
        raise UserError(f"{text!r}: the run has measured nothing there.")
    ours = [float(cell[name]) for name in ("median_ns", "ci_high_ns", "ci_low_ns")]
    theirs = [latency_ns(row["median_ns"], row["mean_ns"]), row["ci_low_ns"], row["ci_high_ns"]]
    ratios = dict(zip(RATIO, (a / b for a, b in zip(theirs, ours, strict=True)), strict=True))
    return {"cell_id": cell["cell_id"].item(), **ratios}


def beside_to_rich_table(rows: pd.DataFrame) -> RenderableType:
    """Return what `beside` returns as a table for a terminal, with what each row lacks in words."""
    found = {lack for lacks in rows["lacks"] for lack in lacks.split()}
    letters = dict(zip((name for name in LACKS if name in found), ascii_lowercase, strict=False))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("measured by", "what", *HEADINGS):
        left = heading in ("measured by", "what", "lacks")
        table.add_column(heading, justify="left" if left else "right", vertical="bottom",
                         overflow="fold")  # fmt: skip
    for row in rows.to_dict("records"):
        marks = "".join(letters[lack] for lack in row["lacks"].split())
        table.add_row(*map(Text, (row["tool"], row["name"], *_numbers(row), marks)))
    return Group(
        Text("\nmeasured by others", style="bold"),
        table,
        Text(f"\n{EXPLANATION}", style="dim"),
        *(Text(f"{letter}  {LACKS[name]}", style="yellow") for name, letter in letters.items()),
    )


def _numbers(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    centre = latency_ns(row["median_ns"], row["mean_ns"])
    interval = [centre, row["ci_low_ns"], row["ci_high_ns"]]
    return (
        "-" if math.isnan(centre) else latency(centre),
        "-" if any(map(math.isnan, interval)) else half_width(*interval),
        "-" if math.isnan(row["p90_ns"]) else latency(row["p90_ns"]),
        digits(row["throughput_per_s"]),
        digits(row["ratio"]),
    )
