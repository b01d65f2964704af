"""The table of the report: what stands in it, and by what it is sorted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xarray as xr

from analysis.planes import PLANE
from analysis.table import HEADINGS, counts_throughput, digits, headings, numbers, to_json

SORTED_BY = dict(
    zip(
        HEADINGS,
        (
            *("latency_ms", "half_width", "p99_ns", "throughput_per_s"),
            *("speedup_threads", "speedup_float32"),
            *("artifact_bytes", "peak_rss_bytes", "energy_j", "labelled_top1"),
        ),
        strict=True,
    )
)
"""Of each heading the number behind the text."""


@dataclass(frozen=True)
class Entry:
    """A place in the table: its text, and the number or text that it is sorted by."""

    text: str
    order: Any
    number: bool = True


def columns(results: xr.Dataset) -> list[str]:
    """Return the headings."""
    others = (heading.replace("\n", " ") for heading in headings(to_json(results))[1:])
    # One unit throughout, for whoever filters by a number.
    return [*_telling(results), "latency ms", *others, "trials", "verdict"]


def rows(results: xr.Dataset) -> Iterator[list[Entry]]:
    """Yield the entries of each cell."""
    axes, records = _telling(results), to_json(results)
    shown = headings(records)
    for record in records:
        milliseconds = record["median_ns"] and record["median_ns"] / 1e6
        if counts_throughput(record):
            milliseconds = None
        latency, *others = numbers(record, shown)
        texts = [digits(milliseconds) if milliseconds else latency, *others]
        interval = [record[name] for name in ("median_ns", "ci_low_ns", "ci_high_ns")]
        width = None if None in interval else (interval[2] - interval[1]) / interval[0]
        behind = {**record, "half_width": width, "latency_ms": milliseconds}
        verdict = ", ".join(record["verdict"]).replace("_", " ") or "valid"
        yield [
            *(Entry(str(record[a]), record[a], not isinstance(record[a], str)) for a in axes),
            *(
                # What is not known comes last.
                Entry(text, float("1e300") if behind.get(name) is None else behind[name])
                for text, name in zip(texts, map(SORTED_BY.__getitem__, shown), strict=True)
            ),
            Entry(str(record["trials"]), record["trials"]),
            Entry(verdict, verdict, number=False),
        ]


def _telling(results: xr.Dataset) -> list[str]:
    dims = map(str, results["status"].dims)
    return [axis for axis in dims if axis in ("model", *PLANE) or results.sizes[axis] > 1]
