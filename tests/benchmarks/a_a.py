"""How often a comparison calls a difference: of a model with itself, and with itself made slower.

Real trials on this machine as it is, interleaved in rounds as a sweep's are. A batch is a run of
five cells: four are the same model, one is the same with 5 % more work, planted. It gives two
comparisons of the model with itself, and one with the slower. `analysis.compare` has the results as
a sweep would write them; the same trials are given to

- pyperf's comparison (`pyperf compare_to`: Student's t test over the values of all processes), with
  three values a process as pyperf takes them, each the mean of a third of the trial's samples;
- Welch's t test on the samples of all trials together.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyperf
from pyperf._compare import CompareData, CompareResult
from scipy.stats import binomtest, ttest_ind

import analysis
from suite.artifacts.store import Artifact
from suite.intervals import LEAST_TRIALS, relative_half_width
from suite.node import describe_node
from suite.results.rows import CellRow, Results, TrialRow
from suite.results.write import write_results
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding

BATCHES = 100
MOST_ROUNDS = 16
PRECISION = 0.02
"""A batch ends when the interval of each cell's median is within this, as a sweep does."""
CELLS = {"a": 0, "b": 0, "c": 0, "d": 0, "slower": 1}
"""The cells of a batch, and what is planted in each."""
SELF = (("a", "b"), ("c", "d"))
PLANTED = (("a", "slower"),)
SAMPLING_NS = 60_000_000

Trials = dict[str, list[TrialRow]]


def a_batch(artifact: Artifact, most_rounds: int, seed: int) -> Trials:
    """Measure all cells in rounds, each in an order of its own, until all are resolved."""
    node, cpus = describe_node(), granted_cpus()[:1]
    request = TrialRequest(str(artifact.path), 1, cpus, 0, sampling_ns=SAMPLING_NS)
    order = random.Random(seed)
    trials: Trials = {cell: [] for cell in CELLS}
    for number in range(most_rounds):
        if number >= LEAST_TRIALS and all(map(resolved, trials.values())):
            break
        for place, cell in enumerate(order.sample([*CELLS], len(CELLS))):
            command = (sys.executable, "-m", "tests.benchmarks.planted", str(CELLS[cell]))
            name = TrialName(f"batch-{seed}", cell, node.node_id, number, place)
            trial = run_trial(name, request, timeout_s=60, command=command)
            if trial.status != "ok":
                raise RuntimeError(trial.error)
            trials[cell].append(trial)
    return trials


def resolved(trials: list[TrialRow]) -> bool:
    """Say whether a sweep would measure a cell no further."""
    return relative_half_width([trial.median_ns for trial in trials]) <= PRECISION


def by_litesweep(trials: Trials, a: str, b: str) -> float:
    """Return the ratio that `analysis.compare` calls a difference, 1 if it calls none."""
    cells = [
        CellRow(cell, {"model": cell, "threads": 1, "cpu_type": "local"}, "", "") for cell in trials
    ]
    rows = tuple(trial for of_cell in trials.values() for trial in of_cell)
    run = {"run_id": rows[0].trial_id, "sweep": ""}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.h5"
        write_results(path, Results(tuple(cells), (), (describe_node(),), rows, run))
        results = analysis.open_results(path)
    found = analysis.compare(results.sel(model=a), results.sel(model=b))
    called = found["outcome"].item() in ("slower", "faster")
    return float(found["ratio"].item()) if called else 1.0


def by_pyperf(trials: Trials, a: str, b: str) -> float:
    """Return the ratio that pyperf calls significant, 1 if it calls none so."""
    sides = [CompareData(cell, a_benchmark(trials[cell])) for cell in (a, b)]
    result = CompareResult(*sides)
    return float(result.norm_mean) if result.significant else 1.0


def a_benchmark(trials: list[TrialRow]) -> pyperf.Benchmark:
    """Return trials as pyperf has them: a run is a process with three values, in seconds."""
    thirds = [np.array_split(steady_ns(trial) / 1e9, 3) for trial in trials]
    values = [[float(third.mean()) for third in of_trial] for of_trial in thirds]
    runs = [
        pyperf.Run(of_run, metadata={"name": "a_a"}, collect_metadata=False) for of_run in values
    ]
    return pyperf.Benchmark(runs)


def by_t_test(trials: Trials, a: str, b: str) -> float:
    """Return the ratio of means that Welch's test on all samples rejects 1 for, else 1."""
    pooled = [np.concatenate([*map(steady_ns, trials[cell])]) for cell in (a, b)]
    rejects = ttest_ind(*pooled, equal_var=False).pvalue < 0.05
    return float(pooled[1].mean() / pooled[0].mean()) if rejects else 1.0


def steady_ns(trial: TrialRow) -> np.ndarray:
    """Return the samples after the warm-up."""
    return trial.latency_ns[trial.warmup_count :].astype(float)


METHODS: dict[str, Callable[[Trials, str, str], float]] = {
    "litesweep compare": by_litesweep,
    "pyperf compare_to": by_pyperf,
    "t test, all samples": by_t_test,
}


def a_a(
    artifact: Artifact, batches: int = BATCHES, most_rounds: int = MOST_ROUNDS
) -> Iterator[Finding]:
    """Compare by each method; a share of comparisons has its exact binomial interval."""
    wrong: dict[str, list[bool]] = {method: [] for method in METHODS}
    right: dict[str, list[bool]] = {method: [] for method in METHODS}
    for seed in range(batches):
        trials = a_batch(artifact, most_rounds, seed)
        for method, ratio_called in METHODS.items():
            wrong[method] += [ratio_called(trials, *pair) != 1 for pair in SELF]
            right[method] += [ratio_called(trials, *pair) > 1 for pair in PLANTED]
    for method in METHODS:
        yield share(f"{method}: called, of a model with itself", "at most 0.05", wrong[method])
        yield share(f"{method}: called, of 5 % more work", "at least 0.9", right[method])


def share(what: str, wanted: str, called: list[bool]) -> Finding:
    """Return the share of comparisons that called a difference."""
    found = binomtest(sum(called), len(called))
    interval = found.proportion_ci(0.95, method="exact")
    return Finding(what, found.statistic, interval.low, interval.high, wanted, len(called))


def main() -> None:
    """Print a line for each method, and write the findings as JSON."""
    from tests.benchmarks.__main__ import artifacts

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--most-rounds", type=int, default=MOST_ROUNDS)
    parser.add_argument("--json", type=Path, default=Path("a_a.json"))
    arguments = parser.parse_args()
    (artifact,) = artifacts(Path(__file__).with_suffix(".toml")).values()
    found = list(a_a(artifact, arguments.batches, arguments.most_rounds))
    print("| method | A/A called | planted 5 % called |\n|---|---|---|")
    for wrong, right in zip(found[::2], found[1::2], strict=True):
        cells = (
            f"{f.ratio:.3f} ({f.low:.3f} to {f.high:.3f}) of {f.pairs}" for f in (wrong, right)
        )
        print(f"| {wrong.what.partition(':')[0]} | {' | '.join(cells)} |")
    arguments.json.write_text(json.dumps([asdict(f) for f in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
