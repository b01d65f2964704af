"""The table of a run: for people on a terminal, for spreadsheets, for programs, for documents."""

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.cells import THROUGHPUT
from analysis.extras import need
from analysis.frugality import CLIMATE_VARIABLES, ENERGY_VARIABLES
from analysis.planes import PLANE, planes
from analysis.runs import as_grid, with_verdict
from analysis.speedups import between
from suite.verdict import REASONS

RATIOS: dict[str, dict[str, Any]] = {
    "speedup_threads": {"threads": 1},
    "speedup_float32": {"quantization": "float32"},
    "speedup_litert": {"runtime": "litert"},
}
"""Speed-ups in the table, and the cell that each is over."""

FIRST = (
    *("cell_id", "median_ns", "ci_low_ns", "ci_high_ns", "trials"),
    *("artifact_bytes", "peak_rss_bytes", "status"),
)
WHOLE = (
    *("artifact_bytes", "artifact_compressed_bytes", "encoded_bytes", "peak_rss_bytes"),
    *("labelled_examples", "trials", "operators_run", "operators_delegated"),
    *("multiply_adds", "weight_bytes", "activation_bytes"),
)
ONLY_IF_ANY = (*ENERGY_VARIABLES, *CLIMATE_VARIABLES)
"""What most machines do not tell: without a single value it is left out."""

Record = dict[str, Any]
Places = npt.NDArray[np.int64]


def to_json(results: xr.Dataset) -> list[Record]:
    """Return an object for each cell of the sweep, for programs.

    Keys: the axes; `cell_id`; `median_ns`, `ci_low_ns`, `ci_high_ns`; `trials`; `artifact_bytes`,
    `peak_rss_bytes`; `status` ("ok", "failed", "missing"); `verdict` (a list of reasons, empty
    where valid); `error` (text or null); `throughput_per_s` with `throughput_low_per_s` and
    `throughput_high_per_s`; `figure` (what counts: "latency", or "throughput", of which `median_ns`
    is then the inverse); `offered_per_s`; `speedup_threads`, `speedup_float32` and, over runtimes,
    `speedup_litert`, with `_low` and `_high`; `min_ns`, `spread`, `p90_ns`, `p99_ns` and what these
    two lack, as `p90_lack`; `artifact_compressed_bytes` and `encoded_bytes`; the error against the
    float reference; the accuracy on labelled examples, `labelled_top1`, beside the reference's; and
    what was resident in memory. What is not known is null. Energy and what it covers, frequency and
    temperature are there only where any cell has them; `energy_lack` says why energy is not.
    """
    return records(with_ratios(as_grid(results)))


def records(results: xr.Dataset, places: Places | None = None) -> list[Record]:
    """Return the same of some cells, where the speed-ups are there already.

    Parameters
    ----------
    places
        Of each cell the place on each axis; None for all cells.
    """
    columns = _columns(results, places)
    columns["verdict"] = [reasons.split() for reasons in columns.get("verdict", ())]
    columns["error"] = [error or None for error in columns.get("error", ())]
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def with_ratios(results: xr.Dataset) -> xr.Dataset:
    """Add the speed-ups; those that are there already are over cells that may have been left."""
    results = with_verdict(results)
    for name, baseline in RATIOS.items():
        if name not in results and baseline.keys() <= set(_axes(results)):
            ratio = between(results["trial_median_ns"], results, **baseline)
            ends = {name + end: ratio["ratio" + end] for end in ("", "_low", "_high")}
            results = results.assign(ends)
    return results


def _columns(results: xr.Dataset, places: Places | None = None) -> dict[str, list[Any]]:
    """Return what cells have on each axis and in each variable; None for what is not known."""
    if places is None:
        places = np.argwhere(results["status"].values != "")
    if not len(places):
        return {}
    axes, at = _axes(results), tuple(places.T)
    of_cells = results[[name for name in results.data_vars if results[name].dims == axes]]
    unknown = [name for name in ONLY_IF_ANY if name in of_cells and of_cells[name].isnull().all()]
    told = of_cells.drop_vars([*unknown, *(["energy_covers"] if "energy_j" in unknown else [])])
    columns = {str(name): _plain(str(name), of.values[at]) for name, of in told.data_vars.items()}
    first = (*FIRST, "verdict", "error", *THROUGHPUT)
    return {
        **{
            axis: results[axis].values[place].tolist() for axis, place in zip(axes, at, strict=True)
        },
        **{name: columns.pop(name) for name in first},
        **columns,
    }


def _plain(name: str, values: npt.NDArray[Any]) -> list[Any]:
    """Return numbers or texts as JSON has them; None for what is not known."""
    listed: list[Any] = np.ravel(values).tolist()
    if np.asarray(values).dtype.kind in "OU":
        return listed
    number = int if name in WHOLE else float
    return [number(value) if math.isfinite(value) else None for value in listed]


def to_csv(results: xr.Dataset) -> str:
    """Return the same as CSV, a line a cell; the verdict's reasons are separated by blanks."""
    columns = _columns(with_ratios(as_grid(results)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def to_dataframe(results: xr.Dataset) -> pd.DataFrame:
    """Return the same as a pandas DataFrame, a row a cell; its `attrs` are the provenance.

    What is not known is NaN, an error that there is not is "".
    """
    frame = pd.DataFrame(_columns(with_ratios(as_grid(results))))
    frame = frame.astype({name: float for name in frame if frame[name].isna().all()})
    frame.attrs = dict(results.attrs)
    return frame


def to_parquet(results: xr.Dataset, path: Path | str) -> None:
    """Write the same to a Parquet file, the provenance in its metadata.

    Raises
    ------
    UserError
        If pyarrow is not installed.
    """
    need("parquet", "pyarrow")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    to_dataframe(results).to_parquet(path, engine="pyarrow", index=False)


MOST_PERCENT = 999
"""Of an interval's half width; a wider one says as little, and widens the table."""
OVER_1_THREAD = "× over 1\nthread"
OVER_LITERT = "× over\nlitert"
ENERGY = "mJ\neach"
TOP1 = "top-1\n%"
P99 = "p99"
HEADINGS = (
    *("latency", "± %", P99, "per s", OVER_1_THREAD, "× over\nfloat32", OVER_LITERT),
    *("disk\nMiB", "peak\nMiB", ENERGY, TOP1),
)
EXPLANATION = (
    "latency: median of the trials, ± half its 95 % interval; ×: times faster; "
    "disk: the model's file; peak: memory of the process that ran it"
)
ENERGY_EXPLANATION = "; mJ: energy of {covers} of the whole node for an example, idle included"
TOP1_EXPLANATION = "; top-1: labelled test examples that it gets right"
P99_EXPLANATION = "; p99: what 99 % of the queries were served in"
THROUGHPUT_EXPLANATION = "; without a latency, ± is that of what is done per second"


def to_rich_table(results: xr.Dataset) -> RenderableType:
    """Return a table for each model, for a terminal of 80 columns or more.

    A letter stands for a reason not to trust a cell; below, each is explained, and what failed
    says why.
    """
    cut = planes(with_ratios(as_grid(results)))
    sections = [(title, to_json(plane)) for title, plane in cut]
    records = [record for _, section in sections for record in section]
    shown = headings(records)
    covers = " or ".join(sorted({r["energy_covers"] for r in records if r.get("energy_j")}))
    explanation = EXPLANATION + TOP1_EXPLANATION * (TOP1 in shown)
    explanation += ENERGY_EXPLANATION.format(covers=covers) * (ENERGY in shown)
    explanation += P99_EXPLANATION * (P99 in shown)
    explanation += THROUGHPUT_EXPLANATION * any(map(counts_throughput, records))
    found = {reason for r in records if _measured(r) for reason in r["verdict"]}
    letters = dict(zip((name for name in REASONS if name in found), ascii_lowercase, strict=False))
    return Group(
        Text(results.attrs.get("name", ""), style="bold"),
        *(_section(title, section, shown, letters) for title, section in sections),
        Text(f"\n{explanation}", style="dim"),
        *(Text(line) for line in _summary(records)),
        *(Text(line) for line in _energy_lacks(records) if ENERGY in shown),
        *(Text(f"{letter}  {REASONS[name]}", style="yellow") for name, letter in letters.items()),
        *(Text(line, style="red") for section in sections for line in _errors(*section)),
    )


def _summary(records: list[Record]) -> Iterator[str]:
    """Yield what is to be said of the run as a whole."""
    measured = [record for record in records if _measured(record)]
    valid = sum(not record["verdict"] for record in measured)
    yield f"{valid} of {len(records)} cells valid"
    digests: dict[tuple[str, ...], set[str]] = {}
    for record in measured:
        axes = itertools.takewhile(lambda key: key != "cell_id", record)
        point = tuple(str(record[axis]) for axis in axes if axis != "cpu_type")
        digests.setdefault(point, set()).add(record["output_digest"])
    differing = [" ".join(point) for point, found in digests.items() if len(found) > 1]
    if differing:
        yield f"other outputs on one CPU type than on another: {', '.join(differing)}"


def _energy_lacks(records: list[Record]) -> Iterator[str]:
    """Yield why some cells have no energy where others have."""
    lacking = [r for r in records if _measured(r) and r.get("energy_j") is None]
    if lacks := sorted({record["energy_lack"] for record in lacking} - {""}):
        yield f"without mJ: {', '.join(lacks)}"


def _section(
    title: str, records: list[Record], shown: list[str], letters: dict[str, str]
) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("quantization", "threads", *shown, "trials,\nverdict"):
        left = heading in ("quantization", "trials,\nverdict")
        justify: Literal["left", "right"] = "left" if left else "right"
        table.add_column(heading, justify=justify, vertical="bottom", overflow="fold")
    for record in records:
        marks = "".join(letters.get(reason, "") for reason in record["verdict"])
        style = "red" if not _measured(record) else "yellow" if marks else ""
        verdict = f"{record['trials']:2} {marks or 'valid'}" if _measured(record) else " -"
        cells = (*(str(record[axis]) for axis in PLANE), *numbers(record, shown), verdict)
        table.add_row(*map(Text, cells), style=style)
    return Group(Text(f"\n{title}", style="bold"), table)


def to_markdown(results: xr.Dataset) -> str:
    """Return one table in Markdown, for documents, with the verdict in words."""
    results = as_grid(results)
    axes = [axis for axis in _axes(results) if axis in PLANE or results.sizes[axis] > 1]
    records = to_json(results)
    shown = headings(records)
    rows = [[*axes, *(heading.replace("\n", " ") for heading in shown), "trials", "verdict"]]
    rows.append(["---"] * len(axes) + ["---:"] * (len(shown) + 1) + ["---"])
    for record in records:
        verdict = ", ".join(record["verdict"]).replace("_", " ") or "valid"
        point = (in_markdown(record[axis]) for axis in axes)
        rows.append([*point, *numbers(record, shown), str(record["trials"]), verdict])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def in_markdown(value: Any) -> str:
    """Write a value for a field of a table in Markdown, where a name is text and no markup."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*\[\]<>|~&]|\b_|_\b)", r"\\\1", line)


def _axes(results: xr.Dataset) -> tuple[str, ...]:
    return tuple(map(str, results["status"].dims))


def _measured(record: Record) -> bool:
    return bool(record["status"] == "ok")


def headings(records: list[Record]) -> list[str]:
    """Return those of `HEADINGS` under which there is something to tell."""
    silent = set()
    if not any(record["labelled_examples"] for record in records):
        silent.add(TOP1)
    if not any(record.get("energy_j") for record in records):
        silent.add(ENERGY)
    if all(record["offered_per_s"] is None for record in records):
        silent.add(P99)
    if all(record["threads"] == 1 for record in records):
        silent.add(OVER_1_THREAD)
    if not any(record.get("speedup_litert") for record in records):
        silent.add(OVER_LITERT)
    return [heading for heading in HEADINGS if heading not in silent]


def numbers(record: Record, shown: list[str]) -> list[str]:
    """Write what stands under the headings `shown`; the status where there is no latency."""
    interval = [record[name] for name in ("median_ns", "ci_low_ns", "ci_high_ns")]
    written = (
        _latency_of(record) if _measured(record) else record["status"],
        "-" if None in interval else half_width(*interval),
        "-" if record["p99_ns"] is None else latency(record["p99_ns"]),
        digits(record["throughput_per_s"]),
        digits(record.get("speedup_threads")),
        digits(record.get("speedup_float32")),
        digits(record.get("speedup_litert")),
        mebibytes(record["artifact_bytes"]),
        mebibytes(record["peak_rss_bytes"]),
        millijoules(record),
        f"{100 * record['labelled_top1']:.2f}" if record["labelled_examples"] else "-",
    )
    named = dict(zip(HEADINGS, written, strict=True))
    return [named[heading] for heading in shown]


def counts_throughput(record: Mapping[Any, Any]) -> bool:
    """Say whether a cell's figure is what is done in a second, and no latency."""
    return bool(record["figure"] == "throughput")


def _latency_of(record: Record) -> str:
    return "-" if counts_throughput(record) else latency(record["median_ns"])


def latency(value_ns: float) -> str:
    """Write a latency with three significant digits, in the unit that suits it."""
    shown_ns = float(f"{value_ns:.2e}")  # rounded first: 999.9999 µs is 1.00 ms
    for unit, divisor in (("s", 1e9), ("ms", 1e6)):
        if shown_ns >= divisor:
            return f"{digits(value_ns / divisor)} {unit}"
    return f"{digits(value_ns / 1e3)} µs"


def thread_count(count: int) -> str:
    """Write how many threads."""
    return "1 thread" if count == 1 else f"{count} threads"


def half_width(median: float, low: float, high: float) -> str:
    """Write half the width of an interval, as percent of the median."""
    percent = 50 * (high - low) / median
    return f"{percent:.1f}" if percent < MOST_PERCENT else f"{MOST_PERCENT}+"


def digits(value: float | None) -> str:
    """Write a number with three significant digits, and none of its whole ones lost."""
    if value is None or math.isnan(value):
        return "-"
    if not value:
        return "0"
    exponent = int(f"{value:.2e}".partition("e")[2])  # rounded first: 9.999 is 10.0
    return f"{value:.{max(0, 2 - exponent)}f}"


def millijoules(record: Record) -> str:
    """Write the energy of an example."""
    joules = record.get("energy_j")
    return "-" if joules is None else digits(1e3 * joules / record.get("batch", 1))


def mebibytes(value: float | None) -> str:
    return "-" if value is None else digits(value / 2**20)


def _errors(title: str, records: list[Record]) -> Iterator[str]:
    """Yield each error with the cells that it befell."""
    threads: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record["error"]:
            threads.setdefault((record["quantization"], record["error"]), []).append(
                str(record["threads"])
            )
    for (quantization, error), counts in threads.items():
        yield f"{title}, {quantization}, threads {', '.join(counts)}: {error}"
