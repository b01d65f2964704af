"""Many runs of a sweep in time: what changed, when, and against a baseline."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.change_points import LEAST_RUNS, first_p_value, segments
from analysis.dataset import open_results
from analysis.differences import check_threshold, holm
from analysis.naming import RESULTS_FILE, numbered, results_file, run_name
from analysis.runs import combine
from suite.errors import UserError

OF_CELLS = ("median_ns", "ci_low_ns", "ci_high_ns", "status", "verdict")
MACHINE = ("cpu_name", "kernel", "governor")
PACKAGES = ("packages", "job_packages")
NEVER_ALIKE = (
    *("run", "start", "run_id", "created", "sweep", "environment"),
    *("job_slurm", "job_journals"),
)
"""Coordinates of runs that tell nothing about why latencies changed."""
WORDS = ("outcome", "reason")
STEP = ("step", "step_low", "step_high")
OVER_RUNS = ("level_ns", *STEP)
Floats = npt.NDArray[np.float64]

NUMBERS = ("ratio", "ratio_low", "ratio_high", "confidence", "run_sd", "p_value")


def open_history(
    paths: Sequence[Path | str], baseline: Path | str | None = None
) -> tuple[xr.Dataset, str]:
    """Open runs of a sweep as a history, in order of time.

    Parameters
    ----------
    paths
        Runs' folders or files of results; a folder that holds runs stands for all of them.
    baseline
        The run that others are held against, one of these or another; None for the oldest.

    Returns
    -------
    xarray.Dataset
        Over `run` and the sweep's axes: `median_ns`, `ci_low_ns`, `ci_high_ns`, `status`,
        `verdict`; along `run` also `start` (of its first trial, UTC), and whatever of the runs'
        provenance and machines (`hosts`, `cpu_name`, ...) is not the same in all. The attribute
        `left_out` has a line for each run that has nothing to show, with the reason.
    str
        The name of the baseline.

    Raises
    ------
    UserError
        If there are no results, or none of the runs or not the baseline has any that can be read;
        or a run has an axis that another one lacks, and that has no default.
    """
    files = list(dict.fromkeys(_real(file) for path in paths for file in _files(Path(path))))
    base = _real(results_file(baseline)) if baseline is not None else None
    if base and base not in files:
        files.append(base)
    names = numbered(map(run_name, files))
    if not files:
        raise UserError("There is no run to open: the list is empty.")
    opened: dict[str, xr.Dataset] = {}
    left_out: list[str] = []
    for name, file in zip(names, files, strict=True):
        try:
            opened[name] = _opened(file)
        except UserError as reason:
            if file == base or not file.exists():
                raise
            left_out.append(f"{name}: {reason.what}")
    if not opened:
        raise UserError(f"None of the runs has anything to show. {' '.join(left_out)}")
    runs = combine({name: _of_cells(of) for name, of in opened.items()}).load()
    times = np.array([*map(_start, opened.values())]).astype("int64").astype("datetime64[ns]")
    in_time = runs.assign_coords(start=("run", times)).sortby("start")
    in_time.attrs["left_out"] = left_out
    return in_time, names[files.index(base)] if base else str(in_time["run"].values[0])


def _opened(file: Path) -> xr.Dataset:
    results = open_results(file)
    if math.isinf(_start(results)):
        raise UserError(f"{str(file)!r} has no trial that measured anything.")
    return results


def _real(file: Path) -> Path:
    # Not resolve(): it has an error of its own for links in a ring, where opening tells as well.
    return Path(os.path.realpath(file))


def _start(results: xr.Dataset) -> float:
    """Return when the first trial started; infinity where there is none."""
    times = results["start_unix_ns"].values
    return float(times[np.isfinite(times)].min(initial=np.inf))


def _files(path: Path) -> list[Path]:
    """Return the file that a path names, or those of the runs in it."""
    within = sorted(path.glob(f"*/{RESULTS_FILE}"))
    if path.is_dir() and not (path / RESULTS_FILE).exists() and within:
        return within
    return [results_file(path)]


def _of_cells(results: xr.Dataset) -> xr.Dataset:
    machine = {
        name: ", ".join(sorted({str(value) for value in results[name].values} - {""}))
        for name in MACHINE
    }
    hosts = ", ".join(map(str, results["node"].values))
    return results[[*OF_CELLS]].assign_attrs({**results.attrs, "hosts": hosts, **machine})


def history(runs: xr.Dataset, baseline: str = "", *, threshold: float = 0.01) -> xr.Dataset:
    """Say of each cell whether its latency has changed over runs, and against the baseline.

    Parameters
    ----------
    runs
        As `open_history` returns them.
    baseline
        The name of a run; "" for the oldest.
    threshold
        Relative difference that matters.

    Returns
    -------
    xarray.Dataset
        `runs`, and over `run` and the axes: `level_ns`, the mean of the runs between two steps;
        `step` with `step_low` and `step_high`, at the first run after a step that matters: the
        ratio of the level to the one before and its interval; NaN elsewhere.

        Over the axes: `outcome` (`slower` or `faster` where the newest run's level differs from
        the baseline's by more than the threshold, `unchanged`, `undecided`; "" where no run has
        it), with the `reason` for the last (`few_runs`, `not_in_newest`, `not_in_baseline`);
        `ratio` of these levels with `ratio_low` and `ratio_high`, at `confidence`: 95 % or more, by
        Holm's correction for the number of cells; `run_sd`, how a single run varies around its
        level; `p_value` of the likeliest step; `run_count`.

    Raises
    ------
    UserError
        If there is no such run, or the threshold is none.

    References
    ----------
    See `analysis.change_points`.

    Examples
    --------
    >>> judged = history(open_history(["runs/may", "runs/june", "runs/july"]))  # doctest: +SKIP
    >>> judged["outcome"].sel(model="resnet50", threads=1)  # doctest: +SKIP
    """
    check_threshold(threshold)
    names = runs["run"].values.tolist()
    baseline = baseline or names[0]
    if baseline not in names:
        raise UserError(f"There is no run {baseline!r}.", f"Known: {', '.join(names)}.")
    axes = [str(dim) for dim in runs["median_ns"].dims if dim != "run"]
    medians = runs["median_ns"].transpose(*axes, "run").values
    known = np.isfinite(medians)
    columns = {name: np.full(medians.shape[:-1], np.nan) for name in NUMBERS}
    columns |= {name: np.full(medians.shape[:-1], "", object) for name in WORDS}
    columns |= {name: np.full(medians.shape, np.nan) for name in OVER_RUNS}
    places = [place for place in np.ndindex(*medians.shape[:-1]) if known[place].any()]
    p_values = [first_p_value(np.log(medians[place][known[place]])) for place in places]
    for place, p_value, alpha in zip(places, p_values, holm(p_values), strict=True):
        ends = names.index(baseline), len(names) - 1
        judged = _judged(medians[place], ends, alpha, math.log1p(threshold))
        for name, value in {**judged, "p_value": p_value}.items():
            columns[name][place] = value
    variables = {
        name: ((*axes, "run") if name in OVER_RUNS else axes, values)
        for name, values in columns.items()
    }
    variables["run_count"] = axes, known.sum(axis=-1)
    attrs = {"baseline": baseline, "newest": names[-1], "threshold": threshold}
    attrs["left_out"] = runs.attrs.get("left_out", [])
    return runs.assign(variables).assign_attrs(attrs)


def _judged(medians: Floats, ends: tuple[int, int], alpha: float, matters: float) -> dict[str, Any]:
    """Judge the runs of one cell.

    Parameters
    ----------
    medians
        Of each run; NaN where it has none.
    ends
        The places of the baseline and of the newest run.
    alpha
        The level that steps are looked for at.
    matters
        Difference of logs that does.
    """
    known = np.flatnonzero(np.isfinite(medians))
    if len(known) < LEAST_RUNS:
        return {"outcome": "undecided", "reason": "few_runs"}
    cut = segments(np.log(medians[known]), alpha)
    found: dict[str, Any] = {name: np.full(len(medians), np.nan) for name in OVER_RUNS}
    found |= {"run_sd": cut.error, "confidence": 1 - alpha}
    found["level_ns"][known] = np.exp(np.repeat(cut.means, cut.counts))
    for number in range(1, len(cut.starts)):
        difference = cut.between(number - 1, number, alpha)
        if abs(difference[0]) > matters:
            for name, value in zip(STEP, np.exp(difference), strict=True):
                found[name][known[cut.starts[number]]] = value
    for end, reason in zip(ends, ("not_in_baseline", "not_in_newest"), strict=True):
        if end not in known:
            return {**found, "outcome": "undecided", "reason": reason}
    then, now = (cut.of(int(np.searchsorted(known, end))) for end in ends)
    since = cut.between(then, now, alpha)
    found |= zip(("ratio", "ratio_low", "ratio_high"), np.exp(since), strict=True)
    changed = abs(since[0]) > matters and not since[1] <= 0 <= since[2]
    return {**found, "outcome": ("faster", "slower")[since[0] > 0] if changed else "unchanged"}


@dataclass(frozen=True)
class Step:
    """A change of a cell's latency between two runs that matters."""

    point: dict[str, Any]
    run: str
    """The first that is at the new level."""
    after: str
    """The last at the old one."""
    ratio: float
    low: float
    high: float
    changed: tuple[str, ...]
    """What else changed between the two runs, as far as they tell."""


def steps(judged: xr.Dataset) -> list[Step]:
    """Return the steps that a history has, the newest first.

    Parameters
    ----------
    judged
        As `history` returns it.

    Returns
    -------
    list of Step
        Of each: the cell, the runs before and after it, the ratio of levels with its interval
        (unit "1"), and what else changed between the two runs.

    Examples
    --------
    >>> [(step.run, step.ratio) for step in steps(judged)]  # doctest: +SKIP
    """
    axes = [str(dim) for dim in judged["step"].dims if dim != "run"]
    names = judged["run"].values.tolist()
    found = []
    for *place, run in np.argwhere(np.isfinite(judged["step"].transpose(*axes, "run").values)):
        cell = judged[dict(zip(axes, place, strict=True))]
        known = np.flatnonzero(np.isfinite(cell["level_ns"].values))
        before = int(known[known < run][-1])
        ratio, low, high = (float(cell[name].values[run]) for name in STEP)
        point = {axis: cell[axis].item() for axis in axes}
        changed = tuple(changes(judged, before, int(run)))
        found.append((run, Step(point, names[run], names[before], ratio, low, high, changed)))
    return [step for _, step in sorted(found, key=lambda item: -item[0])]


def changes(runs: xr.Dataset, before: int, after: int) -> Iterator[str]:
    """Yield what differs in the provenance and machines of two runs, by their places."""
    for name, values in runs.coords.items():
        if values.dims != ("run",) or name in NEVER_ALIKE:
            continue
        old, new = str(values.values[before]), str(values.values[after])
        if name in PACKAGES:
            yield from _versions(old, new)
        elif old != new:
            yield f"{name}: {old or 'none'} → {new or 'none'}"


def _versions(old: str, new: str) -> Iterator[str]:
    try:
        of_old, of_new = json.loads(old or "{}"), json.loads(new or "{}")
    except (ValueError, RecursionError):
        return
    if not (isinstance(of_old, dict) and isinstance(of_new, dict)):
        return
    for name in sorted({*of_old, *of_new}):
        if of_old.get(name) != of_new.get(name):
            yield f"{name} {of_old.get(name, 'none')} → {of_new.get(name, 'none')}"
