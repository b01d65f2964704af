"""The table of a run: for people on a terminal, for spreadsheets, for programs, for documents."""

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.speedups import speedup

RATIOS: dict[str, dict[str, Any]] = {
    "speedup_threads": {"threads": 1},
    "speedup_float32": {"quantization": "float32"},
}
"""Speed-ups in the table, and the cell that each is over."""

FIRST = (
    *("cell_id", "median_ns", "ci_low_ns", "ci_high_ns", "trials"),
    *("artifact_bytes", "peak_rss_bytes", "status"),
)
WHOLE = ("artifact_bytes", "artifact_compressed_bytes", "peak_rss_bytes", "trials")

Record = dict[str, Any]


def to_json(results: xr.Dataset) -> list[Record]:
    """Return an object for each cell of the sweep, for programs.

    Keys: the axes; `cell_id`; `median_ns`, `ci_low_ns`, `ci_high_ns`; `trials`;
    `artifact_bytes`, `peak_rss_bytes`; `status` ("ok", "failed", "missing"); `verdict` (a list of
    reasons, empty where valid); `error` (text or null); `throughput_per_s`; `speedup_threads` and
    `speedup_float32` with `_low` and `_high`; `artifact_compressed_bytes`; and the error against
    the float reference. What is not known is null.
    """
    axes = _axes(results)
    plain = results[[name for name in results.data_vars if results[name].dims == axes]]
    for name, baseline in RATIOS.items():
        if baseline.keys() <= set(axes):
            ratio = speedup(results, **baseline)
            plain = plain.assign(
                {name + end: ratio["ratio" + end] for end in ("", "_low", "_high")}
            )
    records = []
    for place in np.ndindex(*results["status"].shape):
        values = {str(name): plain[name].values[place] for name in plain.data_vars}
        if values["status"]:
            point = {
                axis: results[axis].values[i].item() for axis, i in zip(axes, place, strict=True)
            }
            records.append(_record(point, values))
    return records


def _record(point: Record, values: Record) -> Record:
    known = {name: _plain(name, value) for name, value in values.items()}
    median_ns = known["median_ns"]
    return {
        **point,
        **{name: known.pop(name) for name in FIRST},
        "verdict": known.pop("verdict").split(),
        "error": known.pop("error") or None,
        "throughput_per_s": 1e9 / median_ns if median_ns else None,
        **known,
    }


def _plain(name: str, value: Any) -> Any:
    """Return a number or text as JSON has them; None for NaN."""
    if isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if name in WHOLE else number


def to_csv(results: xr.Dataset) -> str:
    """Return the same as CSV, a line a cell; the verdict's reasons are separated by blanks."""
    records = to_json(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0] if records else (), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "verdict": " ".join(record["verdict"])} for record in records)
    return text.getvalue()


def to_rich_table(results: xr.Dataset) -> RenderableType:
    """Return the table for a terminal; what failed says why below it."""
    records = to_json(results)
    axes = _telling_axes(records, _axes(results))
    headings = [*(axis.replace("_", " ") for axis in axes), *_HEADINGS]
    table = Table(
        box=None, header_style="bold", padding=(0, 1), collapse_padding=True, pad_edge=False
    )
    for number, heading in enumerate(headings):
        left = number < len(axes) or heading == "verdict"
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for record in records:
        style = "" if not record["verdict"] else "yellow" if record["status"] == "ok" else "red"
        table.add_row(*_cells_of(record, axes), style=style)
    return Group(Text(results.attrs.get("name", ""), style="bold"), table, *_reasons(records))


def to_markdown(results: xr.Dataset) -> str:
    """Return the table in Markdown, for documents."""
    records = to_json(results)
    axes = _telling_axes(records, _axes(results))
    rows = [[*(axis.replace("_", " ") for axis in axes), *_HEADINGS]]
    rows.append(["---"] * len(axes) + ["---:"] * (len(_HEADINGS) - 1) + ["---"])
    rows += [_cells_of(record, axes) for record in records]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


_HEADINGS = (
    *("latency", "95 % interval", "per s", "× 1 thread", "× float32"),
    *("size MiB", "memory MiB", "trials", "verdict"),
)


def _axes(results: xr.Dataset) -> tuple[str, ...]:
    return tuple(map(str, results["status"].dims))


def _telling_axes(records: list[Record], axes: tuple[str, ...]) -> list[str]:
    """Return the axes on which cells differ, and always the model, quantization and threads."""
    always = ("model", "quantization", "threads")
    return [a for a in axes if a in always or len({record[a] for record in records}) > 1]


def _cells_of(record: Record, axes: list[str]) -> list[str]:
    unit, divisor = _time_unit(record["median_ns"])
    interval = "-"
    if record["ci_low_ns"]:
        low, high = (_digits(record[key] / divisor) for key in ("ci_low_ns", "ci_high_ns"))
        interval = f"{low} to {high}"
    latency = f"{_digits(record['median_ns'] / divisor)} {unit}" if record["median_ns"] else "-"
    return [
        *(str(record[axis]) for axis in axes),
        latency,
        interval,
        _digits(record["throughput_per_s"]),
        _digits(record.get("speedup_threads")),
        _digits(record.get("speedup_float32")),
        _mebibytes(record["artifact_bytes"]),
        _mebibytes(record["peak_rss_bytes"]),
        str(record["trials"]),
        ", ".join(record["verdict"]).replace("_", " ") or "valid",
    ]


def _time_unit(value_ns: float | None) -> tuple[str, float]:
    for unit, divisor in (("s", 1e9), ("ms", 1e6)):
        if value_ns and value_ns >= divisor:
            return unit, divisor
    return "µs", 1e3


def _digits(value: float | None) -> str:
    """Write a number with three significant digits, and none of its whole ones lost."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _mebibytes(value: float | None) -> str:
    return "-" if value is None else _digits(value / 2**20)


def _reasons(records: list[Record]) -> Iterator[Text]:
    """Yield each error once, with the cells that it befell."""
    errors: dict[str, list[str]] = {}
    for record in records:
        if record["error"]:
            name = f"{record['model']} {record['quantization']}, threads {record['threads']}"
            errors.setdefault(record["error"], []).append(name)
    for error, names in errors.items():
        yield Text(f"{'; '.join(names)}: {error}", style="red")
