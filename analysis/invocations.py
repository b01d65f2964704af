"""What a cell's invocations tell: the medians of its trials, and beside these least, spread, tails.

All of it comes from one reading of the samples, a block of cells at a time.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.blocks import Trials, Work, for_each_block
from analysis.segments import Array, Floats, Ints, Segments, middle, pooled, sort
from analysis.tails import slowest, tails
from analysis.two_sorted import TwoSorted
from suite.results.stored import Stored

QUANTILES = {"p90": 0.90, "p99": 0.99}

INVOCATION_VARIABLES = {"min_ns": "ns", "spread": "1", **{f"{name}_ns": "ns" for name in QUANTILES}}
"""Over the invocations of all trials after their warm-up; `spread` is their interquartile range
over their median."""

BLOCKS = 10
"""Of a trial's invocations. Few and long, since neighbours are alike; enough for a variance."""


@dataclass(frozen=True, eq=False)
class Found:
    """What samples tell; NaN and "" where they tell nothing."""

    median_ns: Floats
    """Of each trial that ran."""
    figure_ns: Floats
    """Of each trial that counts: its median, or where a rate counts the time for an invocation."""
    median_error: Floats
    """Of each trial that counts, see `median_error`."""
    of_cells: dict[str, Array]
    """The `INVOCATION_VARIABLES`, and what each percentile lacks, of each cell."""

    @classmethod
    def nothing(cls, trials: int, cells: int) -> "Found":
        """Return what no samples tell."""
        median_ns, figure_ns, error = (np.full(trials, np.nan) for _ in range(3))
        of_cells: dict[str, Array] = {n: np.full(cells, np.nan) for n in INVOCATION_VARIABLES}
        of_cells |= {f"{name}_lack": np.full(cells, "", object) for name in QUANTILES}
        return cls(median_ns, figure_ns, error, of_cells)


def of_samples(stored: Stored, trials: Trials, memory: int, also: Work | None = None) -> Found:
    """Read all samples once.

    Parameters
    ----------
    memory
        In bytes, see `analysis.blocks`.
    also
        What else is to be done in the same reading.
    """
    found = Found.nothing(len(trials.cell), stored.rows["cell"])

    def work(samples: Array, first: int, block: Ints) -> None:
        if also:
            also(samples, first, block)
        _of_block(samples, first, block, trials, found)

    for_each_block(stored, trials, np.ones(stored.rows["cell"], bool), memory, work)
    return found


def _of_block(samples: Array, first: int, block: Ints, trials: Trials, found: Found) -> None:
    """Put what the samples of a block's trials tell to its place in `found`."""
    order, pools = pooled(trials.cell[block], trials.node[block])
    chosen = block[order]
    inside = Segments(trials.kept.starts[chosen] - first, trials.kept.sizes[chosen])
    of_trials = Segments.end_to_end(inside.sizes)
    by_trial = np.empty(of_trials.sizes.sum(), samples.dtype)
    medians, errors = np.full((2, len(chosen)), np.nan)
    for places, rows in inside.stacks(samples):
        errors[places] = _errors(rows)
        sort(rows)
        medians[places] = middle(rows)
        of_trials.put(places, rows, by_trial)
    found.median_ns[chosen] = medians
    rates = trials.rate_ns[chosen]
    figures = np.where(np.isnan(rates), medians, rates)
    counts = figures > 0
    if counts.all():
        found.figure_ns[chosen], found.median_error[chosen] = figures, errors
        _of_cells(by_trial, of_trials, pools, _InCells.of(chosen, pools, trials), found)
    elif counts.any():  # some ran, but nothing was left after the warm-up
        _of_block(samples, first, np.sort(chosen[counts]), trials, found)


@dataclass(frozen=True)
class _InCells:
    """How the pools of a block, each of the trials of a cell on one node, lie in its cells."""

    cells: Ints
    pools: Segments
    """Of each cell."""
    loops: Ints
    """Invocations in a sample of each, at most."""

    @classmethod
    def of(cls, chosen: Ints, pools: Segments, trials: Trials) -> "_InCells":
        cell_of_pool = trials.cell[chosen[pools.starts]]
        firsts = np.flatnonzero(np.diff(cell_of_pool, prepend=-1))
        sizes = np.diff(firsts, append=len(cell_of_pool))
        loops = np.maximum.reduceat(trials.loops[chosen], pools.starts[firsts])
        return cls(cell_of_pool[firsts], Segments.end_to_end(sizes), loops)


def _of_cells(
    by_trial: Array, of_trials: Segments, pools: Segments, within: _InCells, found: Found
) -> None:
    """Put what the samples of cells tell to its place; they are sorted within each trial."""
    by_pool = by_trial.copy()
    of_pools = of_trials.joined(pools)
    of_pools.sort(by_pool, in_stretches=True)
    # The slowest invocation hides in the mean of many.
    means = within.loops > 1
    of_means = [f"each sample is the mean of {n} invocations" for n in within.loops[means]]
    for name, share in QUANTILES.items():
        values, lacks = slowest(*tails(by_trial, by_pool, of_trials, pools, share), within.pools)
        values[means], lacks[means] = np.nan, of_means
        found.of_cells[f"{name}_ns"][within.cells] = values
        found.of_cells[f"{name}_lack"][within.cells] = lacks
    some = np.flatnonzero(of_pools.joined(within.pools).sizes)
    halves = TwoSorted.of(by_pool, of_pools, within.pools).that(some)
    lower, half, upper = (halves.quantile(share) for share in (0.25, 0.5, 0.75))
    found.of_cells["min_ns"][within.cells[some]] = halves.quantile(0)
    found.of_cells["spread"][within.cells[some]] = (upper - lower) / half


def median_error(latency_ns: npt.ArrayLike) -> float:
    """Return the relative standard error of a trial's median that its own invocations account for.

    Invocations that follow each other are alike, so the spread of single ones tells too little.
    The medians of about `BLOCKS` stretches of them vary by what outlasts single invocations too
    (batch means: Law and Kelton, Simulation Modeling and Analysis, 9.5.3). What outlasts a stretch
    is not seen here, and counts as the trial's.

    Parameters
    ----------
    latency_ns
        Latencies in order of execution, after the warm-up.

    Returns
    -------
    float
        On the scale of logarithms; NaN for fewer than two invocations.
    """
    latencies = np.asarray(latency_ns)
    return float(_errors(latencies[None])[0]) if len(latencies) else math.nan


def _errors(rows: Array) -> Floats:
    """Return the same of trials of one length, one at least."""
    length = max(1, rows.shape[1] // BLOCKS)
    count = rows.shape[1] // length
    if count < 2:
        return np.full(len(rows), np.nan)
    # What does not fill a stretch is left out, at the end.
    stretches = rows[:, : count * length].reshape(len(rows), count, length)
    stretches = np.sort(stretches, axis=2)
    logs = np.log(np.maximum(middle(stretches), 1))
    found: Floats = np.std(logs, axis=1, ddof=1) / np.sqrt(count)
    return found
