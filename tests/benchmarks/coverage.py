"""How often nominal 95 % intervals hold the truth: ours with the stopping rule on, and others'.

A simulation, because only there the truth is known. A run is one cell on one node: trials that
differ (each a process), invocations in them that resemble their neighbours, spikes, drift.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.differences import unpaired
from suite.intervals import Intervals, geometric_mean, median
from suite.sweep import Measure

Floats = npt.NDArray[np.float64]
Location = Callable[..., Any]


class Stopped(NamedTuple):
    """Intervals of the logs, and how many trials each run took; all of shape (runs,)."""

    low: Floats
    high: Floats
    trials: npt.NDArray[np.int64]


RULE = Measure()
INVOCATIONS = 50
CORRELATION = 0.8
"""Of an invocation with the one before."""


@dataclass(frozen=True)
class Noise:
    """What disturbs a node; standard deviations of logs, and shares."""

    name: str
    process: float = 0.02
    invocation: float = 0.01
    spikes: float = 0.01
    """Share of invocations that something else hits."""
    hit_processes: float = 0.0
    """Share of processes that something else hits for as long as they live."""
    slow_processes: float = 0.0
    """Share of processes that run in a second mode, 8 % slower."""
    drift: float = 0.0
    """Of the node, over as many rounds as there can be."""


NOISES = (
    Noise("processes differ by 1 %", process=0.01),
    Noise("processes differ by 2 %"),
    Noise("processes differ by 4 %", process=0.04),
    Noise("noise in a process above that between", process=0.01, invocation=0.05),
    Noise("one invocation in ten a spike", spikes=0.1),
    Noise("one process in eight hit", hit_processes=0.125),
    Noise("two speeds, 30 % of processes 8 % slower", process=0.01, slow_processes=0.3),
    Noise("the node drifts by 3 %", drift=0.03),
)


def latencies(noise: Noise, runs: int, trials: int, rng: np.random.Generator) -> Floats:
    """Draw logs of latencies, shape (runs, trials, INVOCATIONS); without noise they are 0."""
    shape = runs, trials, INVOCATIONS
    innovations = rng.normal(0, noise.invocation * np.sqrt(1 - CORRELATION**2), shape)
    innovations[..., 0] /= np.sqrt(1 - CORRELATION**2)
    for now in range(1, INVOCATIONS):
        innovations[..., now] += CORRELATION * innovations[..., now - 1]
    process = rng.normal(0, noise.process, shape[:2])
    process += (rng.random(shape[:2]) < noise.slow_processes) * np.log(1.08)
    process += (rng.random(shape[:2]) < noise.hit_processes) * rng.exponential(0.1, shape[:2])
    spikes = (rng.random(shape) < noise.spikes) * rng.exponential(0.5, shape)
    return innovations + spikes + process[..., None] + drift(noise, trials)[:, None]


def drift(noise: Noise, trials: int) -> Floats:
    """Return how far the node is off in each round, in logs."""
    return np.asarray(noise.drift * (np.arange(trials) / RULE.max_trials - 0.5))


def ours(logs: Floats) -> Stopped:
    """Return what a sweep leaves."""
    return _stopped(logs, median)


def t_with_our_rule(logs: Floats) -> Stopped:
    """Return t intervals on the logs of trial medians, under the same rule."""
    return _stopped(logs, geometric_mean)


def _stopped(logs: Floats, interval: Callable[[Floats], Intervals]) -> Stopped:
    medians = np.median(np.exp(logs), axis=-1)
    count = np.zeros(len(medians), int)
    low, high = np.empty(len(medians)), np.empty(len(medians))
    for trials in range(RULE.min_trials, RULE.max_trials + 1):
        found = interval(medians[:, :trials])
        stops = (found.relative_half_width <= RULE.precision) | (trials == RULE.max_trials)
        now = stops & (count == 0)
        low[now], high[now], count[now] = found.low[now], found.high[now], trials
    return Stopped(np.log(low), np.log(high), count)


def pooled(logs: Floats) -> Stopped:
    """Return t intervals over all invocations of six processes as if they were independent."""
    return _t(logs, RULE.min_trials)


def pyperf(logs: Floats) -> Stopped:
    """Return t intervals over all values of 20 processes, three in each, as pyperf's test does."""
    return _t(logs[..., :3], 20)


def google_benchmark(logs: Floats) -> Stopped:
    """Return t intervals over ten repetitions in one process, each the mean of its invocations."""
    return _t(logs[:, :1].reshape(len(logs), 10, -1).mean(-1)[:, None], 1)


def criterion(logs: Floats) -> Stopped:
    """Return bootstrap intervals of the mean over the invocations of one process."""
    rng = np.random.default_rng(0)
    one = logs[:, 0]
    draws = [one[:, rng.integers(0, INVOCATIONS, INVOCATIONS)].mean(-1) for _ in range(400)]
    return _fixed(*np.quantile(draws, (0.025, 0.975), axis=0), 1)


def nanobench(logs: Floats) -> Stopped:
    """Return the median of one process, give or take its median absolute percentage error."""
    middle = np.median(logs[:, 0], axis=-1)
    error = np.median(np.abs(logs[:, 0] - middle[:, None]), axis=-1)
    return _fixed(middle - error, middle + error, 1)


def _t(logs: Floats, trials: int) -> Stopped:
    values = logs[:, :trials].reshape(len(logs), -1)
    half = stats.t.ppf(0.975, values.shape[1] - 1) * stats.sem(values, axis=1)
    return _fixed(values.mean(1) - half, values.mean(1) + half, trials)


def _fixed(low: Floats, high: Floats, trials: int) -> Stopped:
    return Stopped(low, high, np.full(len(low), trials))


METHODS: dict[str, tuple[Callable[[Floats], Stopped], Location]] = {
    "litesweep": (ours, np.median),
    "t, same rule": (t_with_our_rule, np.median),
    "pooled": (pooled, np.mean),
    "pyperf": (pyperf, np.mean),
    "google-benchmark": (google_benchmark, np.mean),
    "Criterion": (criterion, np.mean),
    "nanobench": (nanobench, np.median),
}
"""Intervals, and whether they are for the median or the mean: of trials, of invocations in them."""


class Found(NamedTuple):
    """What came of a method."""

    held: float
    """Share of intervals that hold the truth."""
    trials: float
    """Taken by a run, on average."""


def coverage(noise: Noise, runs: int, methods: Iterable[str] = tuple(METHODS)) -> dict[str, Found]:
    """Return what comes of each method on the same latencies."""
    rng = np.random.default_rng(1)
    logs = latencies(noise, runs, RULE.max_trials, rng)
    endless = latencies(replace(noise, drift=0.0), 1, 20_000, rng)[0]
    levels = np.cumsum(drift(noise, RULE.max_trials))
    found = {}
    for name in methods:
        interval, location = METHODS[name]
        runs_ = interval(logs)
        # Of a node that drifts, the truth is what it was while the cell was measured.
        truth = location(location(endless, axis=-1)) + levels[runs_.trials - 1] / runs_.trials
        held = (runs_.low <= truth) & (truth <= runs_.high)
        found[name] = Found(float(held.mean()), float(runs_.trials.mean()))
    return found


NODES = (2, 3, 5, 10, 20)
NODE_NOISES = {
    "nodes differ by 2 %": 0.0,
    "bimodal nodes, 30 % of them 8 % slower": 0.3,
}
"""Kinds of nodes, and the share of those that are slow."""


def coverage_of_types(slow_nodes: float, nodes: int, runs: int) -> float:
    """Return the share of intervals of the ratio of two like CPU types that hold 1."""
    rng = np.random.default_rng(2)
    shape = 2, runs, nodes
    logs = rng.normal(0, 0.02, shape) + rng.normal(0, 0.02 / np.sqrt(RULE.min_trials), shape)
    logs += (rng.random(shape) < slow_nodes) * np.log(1.08)
    found = [unpaired(a, b) for a, b in zip(*logs, strict=True)]
    return float(np.mean([abs(f.log_ratio) <= f.half_width(0.05) for f in found]))


def main() -> None:
    """Print the tables of docs/trust.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    arguments = parser.parse_args()
    print("| noise | " + " | ".join(METHODS) + " |\n|---|" + "---:|" * len(METHODS))
    for noise in NOISES:
        found = coverage(noise, arguments.runs).values()
        shares = " | ".join(f"{100 * held:.1f} % ({trials:.1f})" for held, trials in found)
        print(f"| {noise.name} | {shares} |", flush=True)
    print("\n| nodes of each type | " + " | ".join(map(str, NODES)) + " |")
    print("|---|" + "---:|" * len(NODES))
    for name, slow_nodes in NODE_NOISES.items():
        held = (coverage_of_types(slow_nodes, nodes, arguments.runs) for nodes in NODES)
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in held) + " |")


if __name__ == "__main__":
    main()
