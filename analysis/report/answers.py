"""What results say, in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from analysis.cells import THROUGHPUT
from analysis.costs import cost
from analysis.gains import quantization_gain
from analysis.nodes import node_variability
from analysis.planes import first_planes
from analysis.scalability import scaling
from analysis.table import counts_throughput, digits, latency, mebibytes, thread_count
from analysis.trade_offs import best, pareto
from suite.errors import UserError

SHARES_FIRST_PLACE = 0.05
"""From this share of resamplings on, another cell may be the fastest too."""


@dataclass(frozen=True)
class Answers:
    """What there is to say of one model on one CPU type, and whatever other axes there are."""

    title: str
    sentences: tuple[str, ...]


def answers(results: xr.Dataset) -> list[Answers]:
    """Return the headline answers: how fast, how small, what it gains, how it scales."""
    return [Answers(title, tuple(_sentences(plane))) for title, plane in first_planes(results)]


def _sentences(plane: xr.Dataset) -> Iterator[str]:
    try:
        ranked = best(plane)
    except UserError:
        yield "Nothing here was measured that can be relied on: see the verdicts."
        return
    first = ranked.iloc[0]
    yield from _fastest(ranked)
    yield from _gain(plane, first)
    yield from _scaling(plane, first)
    yield from _smallest(ranked)
    cheapest = best(plane.assign(cost(plane)), objective="core_seconds_per_million").iloc[0]
    yield (
        f"Cheapest: {_name(cheapest)}, {digits(cheapest['core_seconds_per_million'])} core-seconds "
        "for a million inferences."
    )
    yield from _frugal(plane)
    yield from _worth(plane)


def _fastest(ranked: pd.DataFrame) -> Iterator[str]:
    first = ranked.iloc[0]
    counts = counts_throughput(first.to_dict())
    names = THROUGHPUT if counts else ("median_ns", "ci_low_ns", "ci_high_ns")
    value, low, high = (digits(v) if counts else latency(v) for v in first[[*names]])
    text = f"Fastest: {_name(first)}, {value}" + " a second" * counts
    if np.isfinite(first["ci_low_ns"]):
        text += f" (95\u00a0% interval {low} to {high})"
    yield f"{text}.{_doubt(first)}"
    rivals = ranked[1:][ranked["probability_best"][1:] >= SHARES_FIRST_PLACE]
    if len(rivals):
        named = (
            f"{_name(row)} ({_percent(row['probability_best'])})" for _, row in rivals.iterrows()
        )
        share = _percent(first["probability_best"])
        yield (
            f"Not beyond doubt: it comes first in {share} of the times that the trials are drawn "
            f"anew; else {', '.join(named)}."
        )


def _gain(plane: xr.Dataset, cell: pd.Series) -> Iterator[str]:
    if "float32" not in plane["quantization"] or cell["quantization"] == "float32":
        return
    at = _at(quantization_gain(plane), cell)
    if np.isfinite(at["gain"]):
        text = f"Over float32 on as many threads: {_times(at, 'gain')}"
        if np.isfinite(at["size_ratio"]):
            text += f"; the file {digits(at['size_ratio'].item())} times smaller"
        yield f"{text}."


def _scaling(plane: xr.Dataset, cell: pd.Series) -> Iterator[str]:
    law = scaling(plane)
    most = plane["threads"].values[-1]
    end = law.sel(threads=most, quantization=cell["quantization"]).squeeze()
    if most > 1 and np.isfinite(end["speedup"]):
        text = f"{cell['quantization']} on {most} threads over one: {_times(end, 'speedup')}"
        if np.isfinite(end["serial_fraction"]):
            share, low, high = (
                _percent(end["serial_fraction" + bound].item(), 1)
                for bound in ("", "_low", "_high")
            )
            text += f"; by Amdahl's law {share} of the work is serial ({low} to {high})"
        yield f"{text}."


def _smallest(ranked: pd.DataFrame) -> Iterator[str]:
    smallest = ranked.sort_values("artifact_bytes").iloc[0]
    if np.isfinite(smallest["artifact_bytes"]):
        yield f"Smallest: {smallest['quantization']}, {mebibytes(smallest['artifact_bytes'])} MiB."


def _frugal(plane: xr.Dataset) -> Iterator[str]:
    """Say which needs the least energy, if any was counted."""
    if plane["energy_j"].isnull().all():
        return
    first = best(plane, objective="energy_j").iloc[0]
    batch = first.get("batch", 1)
    text = f"Most frugal: {_name(first)}, {digits(1e3 * first['energy_j'] / batch)} mJ an example"
    if np.isfinite(first.get("energy_low_j", np.nan)):
        low, high = (digits(1e3 * first[f"energy_{end}_j"] / batch) for end in ("low", "high"))
        text += f" (95\u00a0% interval {low} to {high})"
    if np.isfinite(first.get("net_energy_j", np.nan)):
        text += f", {digits(1e3 * first['net_energy_j'] / batch)} beyond what the idle node uses"
    text += f"; {digits(first['images_per_joule'])} examples a joule"
    yield f"{text}. Counted: the node's {first['energy_covers']}."


def _worth(plane: xr.Dataset) -> Iterator[str]:
    """Say what is on the front of latency and size, unless that is one cell, or all."""
    if plane["artifact_bytes"].isnull().all():
        return
    front = pareto(plane, ["median_ns", "artifact_bytes"])["probability"].to_series().dropna()
    likely = front[front >= 0.5].sort_values(ascending=False)
    if 1 < len(likely) < len(front):
        places = likely.reset_index().to_dict("records")
        named = (f"{_name(pd.Series(p))} ({_percent(p['probability'])})" for p in places)
        yield (
            "No other is both faster and smaller than these, with the probability that it is so: "
            f"{', '.join(named)}."
        )


def trust(results: xr.Dataset) -> list[str]:
    """Return what is to be said of all results: how many are valid, and whether nodes are alike."""
    planned = int((results["status"] != "").sum())
    valid = int(((results["status"] == "ok") & (results["verdict"] == "")).sum())
    said = [f"{valid} of {planned} cells are valid; of the others the table says why."]
    if valid == planned:
        said = [f"All {planned} cells are valid." if planned != 1 else "The only cell is valid."]
    said += _energy(results)
    if results.sizes["node"] > 1 and results["trial_median_ns"].size:
        said += _nodes(node_variability(results))
    return said


def _energy(results: xr.Dataset) -> Iterator[str]:
    """Say why energy was not counted, if it was nowhere."""
    if results["energy_j"].isnull().all() and results.sizes["node"]:
        absent = {str(reason) for reason in np.ravel(results["energy_absent"])} - {"", "nan"}
        yield f"Energy was not measured: {', '.join(sorted(absent)) or 'no trial counted it'}."


def _nodes(found: xr.Dataset) -> Iterator[str]:
    spreads = found["spread"]
    for place in np.argwhere(spreads.notnull().values):
        at = found.isel(dict(zip(spreads.dims, place, strict=True)))
        where = " ".join(str(at[dim].item()) for dim in spreads.dims)
        count = int(at["effect"].notnull().sum())
        text = (
            f"{where}: {count} nodes, whose latencies spread by {_percent(at['spread'].item(), 1)}"
        )
        names = at["node"].values[at["outlier"].values]
        away = (
            f"{name} ({at['effect'].sel(node=name).item():.2f} times the usual)" for name in names
        )
        yield (
            f"{text}; outliers: {', '.join(away)}."
            if len(names)
            else f"{text}; none is an outlier."
        )


def _at(found: xr.Dataset, cell: pd.Series) -> xr.Dataset:
    point = {str(dim): cell[str(dim)] for dim in found.dims}
    return found.sel(point)


def _name(cell: pd.Series) -> str:
    return f"{cell['quantization']} on {thread_count(cell['threads'])}"


def _times(found: xr.Dataset, name: str) -> str:
    """Write a ratio with its interval, and whether it is a difference at all."""
    ratio, low, high = (found[name + end].item() for end in ("", "_low", "_high"))
    if low <= 1 <= high:
        return f"no difference can be told ({digits(low)} to {digits(high)} times as fast)"
    word = "faster" if ratio >= 1 else "slower"
    if ratio < 1:
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    interval = f" ({digits(low)} to {digits(high)})" if np.isfinite(low) else ""
    return f"{digits(ratio)} times {word}{interval}"


def _percent(share: float, places: int = 0) -> str:
    return f"{100 * share:.{places}f}\u00a0%"


def _doubt(cell: pd.Series) -> str:
    reasons = ", ".join(cell["verdict"].split()).replace("_", " ")
    return f" Not valid: {reasons}." if reasons else ""
