"""What results say, computed trial by trial and cell by cell: slow, plain, and without a file.

`analysis.open_results` computes the same by columns, in blocks; it is held against this.
"""

import math
from collections.abc import Sequence
from statistics import median as middle
from typing import Any

import numpy as np
from scipy.special import betainc, ndtri, stdtrit

from suite.intervals import geometric_mean, median
from suite.results.order import in_order
from suite.results.rows import LOCAL, ArtifactRow, CellRow, Results, TrialRow
from suite.verdict import judge_cells

NAN = math.nan
Record = dict[str, Any]


def of_cells(results: Results) -> dict[str, Record]:
    """Return by `cell_id` what is known of each cell."""
    results = in_order(results)
    hosts = {node.node_id: node.host for node in results.nodes}
    artifacts = {row.artifact_key: row for row in results.artifacts}
    found = {}
    for cell, judgement in zip(results.cells, judge_cells(results), strict=True):
        trials = judgement.counted
        found[cell.cell_id] = {
            "status": judgement.status,
            "verdict": " ".join(judgement.reasons),
            "error": judgement.error,
            "trials": len(trials),
            **_figures(trials, int(cell.axes.get("batch", 1))),
            **_type(cell, trials, hosts),
            **_told(trials),
            **_invocations(trials),
            **_energy(trials, int(cell.axes.get("batch", 1))),
            **_artifact(artifacts.get(cell.artifact_key)),
        }
    return found


def of_trials(results: Results) -> dict[tuple[str, str, int], Record]:
    """Return by cell, node and round what is known of each trial that counts."""
    results = in_order(results)
    return {
        (cell.cell_id, trial.node_id, trial.round): {
            "trial_median_ns": trial.figure_ns,
            "trial_throughput_per_s": _per_s(trial, int(cell.axes.get("batch", 1))),
            "trial_invocations": len(_steady(trial)) * trial.inner_loops,
            "trial_median_error": _error(_steady(trial)),
            "load_ns": trial.load_ns,
            "start_unix_ns": trial.start_unix_ns,
        }
        for cell, judgement in zip(results.cells, judge_cells(results), strict=True)
        for trial in judgement.counted
    }


def _steady(trial: TrialRow) -> Any:
    return trial.latency_ns[trial.warmup_count :]


def _figures(trials: Sequence[TrialRow], batch: int) -> Record:
    figure = median([trial.figure_ns for trial in trials] or [NAN])
    ends: tuple[Any, ...] = tuple(
        1e9 * batch / end for end in (figure.estimate, figure.high, figure.low)
    )
    if any(map(_has_its_own, trials)):
        own = median([_per_s(trial, batch) for trial in trials])
        ends = own.estimate, own.low, own.high
    names = ("throughput_per_s", "throughput_low_per_s", "throughput_high_per_s")
    rates = [trial.counts_rate for trial in trials]
    return {
        "median_ns": figure.estimate,
        "ci_low_ns": figure.low,
        "ci_high_ns": figure.high,
        "figure": ("throughput" if rates[0] else "latency") if rates else "",
        **dict(zip(names, ends, strict=True)),
        "offered_per_s": np.median([trial.offered_per_s for trial in trials] or [NAN]),
    }


def _has_its_own(trial: TrialRow) -> bool:
    return not trial.counts_rate and trial.throughput_per_s > 0


def _per_s(trial: TrialRow, batch: int) -> float:
    return trial.throughput_per_s if _has_its_own(trial) else 1e9 * batch / trial.figure_ns


def _type(cell: CellRow, trials: Sequence[TrialRow], hosts: dict[str, str]) -> Record:
    logs: dict[str, list[float]] = {}
    for trial in trials:
        logs.setdefault(hosts[trial.node_id], []).append(math.log(trial.figure_ns))
    means = [math.exp(np.mean(of_host)) for of_host in logs.values()]
    claimed = means if cell.axes["cpu_type"] != LOCAL else []
    found = geometric_mean(claimed or [NAN])
    return {"type_low_ns": found.low, "type_high_ns": found.high}


def _told(trials: Sequence[TrialRow]) -> Record:
    said = {trial.output_digest for trial in trials}
    peaks = [trial.peak_rss_bytes for trial in trials]
    rss = [v for trial in trials if not math.isnan(v := trial.steady_rss_bytes)]
    return {
        "output_digest": said.pop() if len(said) == 1 else "",
        "peak_rss_bytes": max(peaks, default=NAN),
        "operators_run": min((trial.operators_run for trial in trials), default=NAN),
        "steady_rss_bytes": middle(rss) if rss else NAN,
    }


def _invocations(trials: Sequence[TrialRow]) -> Record:
    if not trials:
        return {
            **dict.fromkeys(("min_ns", "spread", "p90_ns", "p99_ns"), NAN),
            **dict.fromkeys(("p90_lack", "p99_lack"), ""),
        }
    nodes: dict[str, list[Any]] = {}
    for trial in trials:
        nodes.setdefault(trial.node_id, []).append(_steady(trial).astype(float))
    pooled = np.concatenate([kept for of_node in nodes.values() for kept in of_node])
    lower, half, upper = np.quantile(pooled, [0.25, 0.5, 0.75])
    found: Record = {"min_ns": pooled.min(), "spread": (upper - lower) / half}
    loops = max(trial.inner_loops for trial in trials)
    for name, share in (("p90", 0.9), ("p99", 0.99)):
        tails = [_tail(of_node, share) for of_node in nodes.values()]
        value, lack = next((t for t in tails if t[1]), (max(v for v, _ in tails), ""))
        if loops > 1:
            value, lack = NAN, f"each sample is the mean of {loops} invocations"
        found |= {f"{name}_ns": value, f"{name}_lack": lack}
    return found


def _tail(trials: list[Any], share: float) -> tuple[float, str]:
    """Return a node's percentile by MLPerf's early stopping, and what it lacks."""
    pooled = np.sort(np.concatenate(trials))
    if len(trials) < 2:
        return NAN, "needs 2 trials, has 1"
    threshold = np.quantile(pooled, share)
    sizes = np.array([len(trial) for trial in trials])
    over = np.array([(trial >= threshold).sum() for trial in trials])
    count, clusters = sizes.sum(), len(trials)
    exceed = over.sum() / count
    between = clusters / (clusters - 1) * ((over - sizes * exceed) ** 2).sum() / count**2
    alone = exceed * (1 - exceed) / count
    effect = max(1.0, between / alone) if alone else 1.0
    independent = count / effect / (stdtrit(clusters - 1, 0.99) / ndtri(0.99)) ** 2
    counts = np.arange(1, max(1, math.ceil(independent * (1 - share))))
    may = int((betainc(independent - counts, counts + 1, share) <= 1 - 0.99).sum())
    if not may:
        least = {0.9: 64, 0.99: 662}[share]
        return NAN, f"needs {math.ceil(least * count / independent)} invocations, has {count}"
    return float(pooled[-max(1, math.floor(may / independent * count))]), ""


def _error(latencies: Any) -> float:
    if len(latencies) < 2:
        return NAN
    length = max(1, len(latencies) // 10)
    count = len(latencies) // length
    blocks = latencies[: count * length].astype(float).reshape(count, length)
    logs = np.log(np.maximum(np.median(blocks, axis=1), 1))
    return float(np.std(logs, ddof=1) / np.sqrt(count))


def _energy(trials: Sequence[TrialRow], batch: int) -> Record:
    names = ("energy_j", "energy_low_j", "energy_high_j", "net_energy_j", "dram_energy_j")
    counted = [trial for trial in trials if not math.isnan(trial.package_energy_j)]
    memory = not any(math.isnan(trial.dram_energy_j) for trial in counted)
    joules, net, dram = [], [], []
    for trial in counted:
        windowed = trial.window_ns > 0
        seconds = (trial.window_ns if windowed else trial.sampling_wall_ns) / 1e9
        invocations = len(_steady(trial)) * trial.inner_loops
        if windowed:
            invocations = trial.throughput_per_s * seconds / batch
        if not invocations > 0 or not trial.package_energy_j / invocations > 0:
            continue
        each = trial.package_energy_j / invocations
        idle = trial.idle_package_w * seconds / invocations
        dram.append(trial.dram_energy_j / invocations)
        joules.append(each + dram[-1] if memory else each)
        idle_dram = trial.idle_dram_w * seconds / invocations
        net.append(joules[-1] - (idle + idle_dram if memory else idle))
    if not joules:
        return {"energy_covers": "", **dict.fromkeys(names, NAN)}
    energy = median(joules)
    values = energy.estimate, energy.low, energy.high, np.median(net), middle(dram)
    return {
        "energy_covers": "packages and memory" if memory else "packages",
        **dict(zip(names, values, strict=True)),
        "dram_energy_j": middle(dram) if memory else NAN,
    }


def _artifact(artifact: ArtifactRow | None) -> Record:
    if artifact is None:
        return dict.fromkeys(("artifact_bytes", "labelled_top1"), NAN)
    labelled = artifact.labelled_top1 if artifact.labelled_examples else NAN
    return {"artifact_bytes": artifact.artifact_bytes, "labelled_top1": labelled}
