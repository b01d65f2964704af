"""Results as an xarray Dataset over the sweep's axes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.frugality import (
    CLIMATE_VARIABLES,
    ENERGY_VARIABLES,
    MEMORY_VARIABLES,
    Used,
    counts_memory,
    energy_absent,
    energy_of,
    medians_of,
)
from analysis.invocations import (
    INVOCATION_VARIABLES,
    QUANTILES,
    median_error,
    of_invocations,
    steady,
)
from analysis.naming import coordinates, node_names, numbered, results_file, run_name
from analysis.noise import noise_of_nodes
from analysis.runs import combine
from suite.errors import UserError
from suite.intervals import Intervals, geometric_mean, median
from suite.results.read import read_results
from suite.results.rows import LOCAL, CellRow, TrialRow
from suite.verdict import Judgement, judge_cells

TRIAL_VARIABLES = {
    "order": "1",
    "load_ns": "ns",
    "first_invocation_ns": "ns",
    "process_wall_ns": "ns",
    "warmup_count": "1",
    "effective_parallelism": "1",
    "threads_seen": "1",
    "start_unix_ns": "nanoseconds since 1970-01-01",
    **{f"frequency_{moment}_hz": "Hz" for moment in ("before", "after")},
    **{f"temperature_{moment}_degc": "degC" for moment in ("before", "after")},
    **dict.fromkeys(("idle_package_w", "idle_dram_w"), "W"),
    "window_ns": "ns",
}
"""What is taken over for each trial as it stands, with its unit."""

THROUGHPUT = ("throughput_per_s", "throughput_low_per_s", "throughput_high_per_s")

TOLD = ("output_digest", "computes_in")
DELEGATION = ("operators_run", "operators_delegated")

ARTIFACT_VARIABLES = {
    "artifact_bytes": "byte",
    "artifact_compressed_bytes": "byte",
    "error_rel_l2": "1",
    "error_max_abs": "1",
    "error_cosine": "1",
    "top1_agreement": "1",
    "labelled_top1": "1",
    "reference_top1": "1",
    "labelled_examples": "1",
    "encoded_bytes": "byte",
    "multiply_adds": "1",
    "weight_bytes": "byte",
    "activation_bytes": "byte",
}
ONLY_WITH = {
    "labelled_top1": "labelled_examples",
    "reference_top1": "labelled_examples",
    "encoded_bytes": "encoded_bytes",
}
"""What there is nothing of where the other is 0."""

NODE_VARIABLES = {
    **dict.fromkeys(("cpu_name", "microarchitecture", "kernel", "governor"), ""),
    **dict.fromkeys(("sockets", "cores", "cpus", "numa_nodes"), "1"),
    "memory_bytes": "byte",
}


def open_results(path: Path | str | Sequence[Path | str]) -> xr.Dataset:
    """Open the results of a run, or of several.

    Parameters
    ----------
    path
        A run's folder, or a file of results; or a list of them, for a Dataset with a dimension
        `run` more (named after the folders, numbered where two share a name) over the union of
        their grids, see `analysis.runs.combine`.

    Returns
    -------
    xarray.Dataset
        A dimension for each axis of the sweep (`model`, `quantization`, `threads`, `cpu_type`;
        `optimization`, `resolution`, `batch` where a cell is not at their default), then `node`
        (host names, numbered where two share one) and `trial` (rounds).

        Over the axes: `median_ns` with `ci_low_ns` and `ci_high_ns` (median of the trials'
        medians and its 95 % interval, see `suite.intervals.median`: of the nodes that measured it),
        `figure` ("latency", or "throughput" of the scenarios `offline` and `server@20ms`: these
        numbers are then of the time for each invocation, all instances together),
        `type_low_ns` and `type_high_ns` (95 % interval of a claim about the CPU type, over its
        nodes; NaN for one node, or `local`), `trials` (how many entered),
        `status` ("ok", "failed", "missing"; "" where the sweep has no such cell), `verdict`
        (reasons not to trust it, separated by blanks; empty is valid), `error`, `cell_id`,
        `throughput_per_s` with `throughput_low_per_s` and `throughput_high_per_s` (examples a
        second, of all instances, and its 95 % interval), `offered_per_s` (rate at which a server's
        invocations came; that which was found, of `server@20ms`),
        `peak_rss_bytes` (the largest of any trial, its instances together), `operators_run` and
        `operators_delegated` (to XNNPACK; the least of any trial), `output_digest` (of the outputs
        for the seeded inputs) and `computes_in` (the precision that the runtime tells), both empty
        where trials differ, and the artifact's size, error and accuracy. Of all
        invocations: `min_ns`, `spread` (interquartile range over median), and `p90_ns` and
        `p99_ns`, NaN with the reason in `p90_lack`, `p99_lack` where the evidence that
        `analysis.tails` asks for is lacking.

        Of energy, NaN where it was not counted, with the reason in `energy_lack`: `energy_j` of an
        invocation with `energy_low_j` and `energy_high_j` (median of the trials and its interval),
        of what `energy_covers` says: "packages and memory", or "packages" where the memory is not
        counted; `net_energy_j`, likewise, without what the idle node uses in the same time;
        `package_energy_j` and `dram_energy_j`; `images_per_joule`, likewise (a batch has many).
        Medians of the trials: `frequency_during_hz`, `temperature_during_degc`, and what was
        resident in memory, `steady_rss_bytes`, `load_rss_bytes`, `weights_rss_bytes`,
        `arena_bytes` (see docs/energy.md).

        Over the axes, `node` and `trial`: `trial_median_ns` (where the figure is the throughput,
        the time for each invocation), `trial_throughput_per_s`, `trial_energy_j`,
        `trial_invocations`,
        `trial_median_error` (see `analysis.invocations`) and what else is known of a trial; NaN
        where there is none.

        Over `node`: its noise (see `analysis.noise`), and what is known of the machine, as
        `cpu_name` and `cores`; and `energy_absent`, what of its trials' energy was not counted, and
        why.

        Attributes: the run's provenance.

    Raises
    ------
    UserError
        If there are no results, or they cannot be read; if a run has an axis that another lacks.

    Examples
    --------
    >>> both = open_results(["runs/before", "runs/after"])  # doctest: +SKIP
    >>> both["median_ns"].sel(run="after") / both["median_ns"].sel(run="before")  # doctest: +SKIP
    """
    if isinstance(path, (str, Path)):
        return _open(results_file(path))
    files = [results_file(each) for each in path]
    if not files:
        raise UserError("There is no run to open: the list is empty.")
    return combine(dict(zip(numbered(map(run_name, files)), map(_open, files), strict=True)))


def _open(file: Path) -> xr.Dataset:
    results = read_results(file)
    axes = coordinates(results)
    nodes = node_names(results)
    rounds = max((trial.round + 1 for trial in results.trials), default=0)
    shape = tuple(len(values) for values in axes.values())
    variables = _empty(tuple(axes), shape, len(nodes), rounds)
    artifacts = {row.artifact_key: row for row in results.artifacts}
    hosts = {node.node_id: node.host for node in results.nodes}
    node_place = {node_id: place for place, node_id in enumerate(nodes)}
    for cell, judgement in zip(results.cells, judge_cells(results), strict=True):
        place = tuple(axes[axis].index(value) for axis, value in cell.axes.items())
        _fill_cell(variables, place, cell, judgement, hosts)
        if artifact := artifacts.get(cell.artifact_key):
            for name in ARTIFACT_VARIABLES:
                absent = name in ONLY_WITH and not getattr(artifact, ONLY_WITH[name])
                variables[name].values[place] = np.nan if absent else getattr(artifact, name)
        memory = counts_memory(judgement.counted)
        for trial in judgement.counted:
            at = (*place, node_place[trial.node_id], trial.round)
            _fill_trial(variables, at, trial, _batch(cell))
            variables["trial_energy_j"].values[at] = Used.by(trial, _batch(cell)).in_all(
                memory=memory
            )
    for name, units in NODE_VARIABLES.items():
        values = [getattr(node, name) for node in results.nodes]
        machine = np.array(values) if units else np.array(values, dtype=object)
        variables[name] = xr.Variable("node", machine, {"units": units} if units else {})
    variables["energy_absent"] = xr.Variable("node", _energy_absent(results.trials, nodes))
    for name, noise in noise_of_nodes(variables["trial_median_ns"].values).items():
        variables[name] = xr.Variable("node", noise, {"units": "1"})
    return xr.Dataset(
        variables,
        coords={**axes, "node": list(nodes.values()), "trial": np.arange(rounds)},
        attrs=dict(results.provenance),
    )


def _energy_absent(trials: Sequence[TrialRow], nodes: Iterable[str]) -> np.ndarray[Any, Any]:
    """Return for each node what of the energy of its trials is not known, and why."""
    by_node: dict[str, list[TrialRow]] = {node_id: [] for node_id in nodes}
    for trial in trials:
        by_node[trial.node_id].append(trial)
    return np.array([energy_absent(of_node) for of_node in by_node.values()], dtype=object)


def _empty(
    axes: tuple[str, ...], shape: tuple[int, ...], nodes: int, rounds: int
) -> dict[str, xr.Variable]:
    """Return the Dataset's variables with nothing in them."""

    def numbers(units: str) -> xr.Variable:
        return xr.Variable(axes, np.full(shape, np.nan), {"units": units})

    def text() -> xr.Variable:
        return xr.Variable(axes, np.full(shape, "", dtype=object))

    def by_trial(units: str) -> xr.Variable:
        values = np.full((*shape, nodes, rounds), np.nan)
        return xr.Variable((*axes, "node", "trial"), values, {"units": units})

    return {
        "median_ns": numbers("ns"),
        "ci_low_ns": numbers("ns"),
        "ci_high_ns": numbers("ns"),
        "type_low_ns": numbers("ns"),
        "type_high_ns": numbers("ns"),
        "figure": text(),
        **{name: numbers("s-1") for name in THROUGHPUT},
        "offered_per_s": numbers("s-1"),
        "trials": xr.Variable(axes, np.zeros(shape, dtype=np.int64), {"units": "1"}),
        "status": text(),
        "verdict": text(),
        "error": text(),
        "cell_id": text(),
        **{name: text() for name in TOLD},
        "peak_rss_bytes": numbers("byte"),
        "energy_covers": text(),
        "energy_lack": text(),
        **{name: numbers(units) for name, units in ENERGY_VARIABLES.items()},
        **{name: numbers(units) for name, units in CLIMATE_VARIABLES.items()},
        **{name: numbers(units) for name, units in MEMORY_VARIABLES.items()},
        **{name: numbers("1") for name in DELEGATION},
        **{name: numbers(units) for name, units in INVOCATION_VARIABLES.items()},
        **{f"{name}_lack": text() for name in QUANTILES},
        **{name: numbers(units) for name, units in ARTIFACT_VARIABLES.items()},
        "trial_median_ns": by_trial("ns"),
        "trial_throughput_per_s": by_trial("s-1"),
        "trial_offered_per_s": by_trial("s-1"),
        "trial_peak_rss_bytes": by_trial("byte"),
        "trial_invocations": by_trial("1"),
        "trial_median_error": by_trial("1"),
        "trial_energy_j": by_trial("J"),
        **{name: by_trial(units) for name, units in TRIAL_VARIABLES.items()},
    }


def _fill_cell(
    variables: dict[str, xr.Variable],
    place: tuple[int, ...],
    cell: CellRow,
    judgement: Judgement[TrialRow],
    hosts: Mapping[str, str],
) -> None:
    batch = _batch(cell)
    estimate = median([trial.figure_ns for trial in judgement.counted] or [np.nan])
    per_s = [throughput_per_s(trial, batch) for trial in judgement.counted]
    offered = [trial.offered_per_s for trial in judgement.counted]
    of_type = _over_hosts(cell, judgement.counted, hosts)
    found = {
        "median_ns": estimate.estimate,
        "ci_low_ns": estimate.low,
        "ci_high_ns": estimate.high,
        "figure": _figure(judgement.counted),
        **_throughput(estimate, per_s, batch, judgement.counted),
        "offered_per_s": np.median(offered or [np.nan]),
        "type_low_ns": of_type.low,
        "type_high_ns": of_type.high,
        "trials": len(judgement.counted),
        "status": judgement.status,
        "verdict": " ".join(judgement.reasons),
        "error": judgement.error,
        "cell_id": cell.cell_id,
        **{name: _one([getattr(t, name) for t in judgement.counted]) for name in TOLD},
        "peak_rss_bytes": max((t.peak_rss_bytes for t in judgement.counted), default=np.nan),
        **{
            name: min((getattr(t, name) for t in judgement.counted), default=np.nan)
            for name in DELEGATION
        },
        **of_invocations(judgement.counted),
        "energy_lack": energy_absent(judgement.counted),
        **energy_of(judgement.counted, _batch(cell)),
        **medians_of(judgement.counted),
    }
    for name, value in found.items():
        variables[name].values[place] = value


def _batch(cell: CellRow) -> int:
    return int(cell.axes.get("batch", 1))


def _figure(trials: Sequence[TrialRow]) -> str:
    """Return what counts in a cell: every trial of it says the same."""
    if not trials:
        return ""
    return "throughput" if trials[0].counts_rate else "latency"


def throughput_per_s(trial: TrialRow, batch: int) -> float:
    """Return a trial's examples a second: what its instances have done, or one without pause."""
    if _has_its_own(trial):
        return trial.throughput_per_s
    return 1e9 * batch / trial.figure_ns


def _has_its_own(trial: TrialRow) -> bool:
    """Say whether a trial's throughput is not the inverse of its figure."""
    return not trial.counts_rate and trial.throughput_per_s > 0


def _throughput(
    figure: Intervals, per_s: Sequence[float], batch: int, trials: Sequence[TrialRow]
) -> dict[str, float]:
    """Return the throughput with its interval, by the figure wherever that is its inverse."""
    if any(map(_has_its_own, trials)):
        found = median(per_s)
        ends: tuple[Any, ...] = (found.estimate, found.low, found.high)
    else:
        inverse = (figure.estimate, figure.high, figure.low)
        ends = tuple(1e9 * batch / end for end in inverse)
    return dict(zip(THROUGHPUT, map(float, ends), strict=True))


def _one(said: Sequence[str]) -> str:
    """Return what all say; nothing where they differ."""
    return said[0] if len({*said}) == 1 else ""


def _over_hosts(cell: CellRow, trials: Sequence[TrialRow], hosts: Mapping[str, str]) -> Intervals:
    """Return the interval of a CPU type's latency: t over its nodes, each with its mean log."""
    if cell.axes.get("cpu_type", LOCAL) == LOCAL:
        return geometric_mean([np.nan])
    logs: dict[str, list[float]] = {}
    for trial in trials:
        logs.setdefault(hosts[trial.node_id], []).append(math.log(trial.figure_ns))
    return geometric_mean([math.exp(np.mean(of_host)) for of_host in logs.values()] or [np.nan])


def _fill_trial(
    variables: dict[str, xr.Variable], place: tuple[int, ...], trial: TrialRow, batch: int
) -> None:
    variables["trial_median_ns"].values[place] = trial.figure_ns
    variables["trial_throughput_per_s"].values[place] = throughput_per_s(trial, batch)
    variables["trial_peak_rss_bytes"].values[place] = trial.peak_rss_bytes
    kept = steady(trial)
    variables["trial_invocations"].values[place] = len(kept) * trial.inner_loops
    variables["trial_median_error"].values[place] = median_error(kept)
    variables["trial_offered_per_s"].values[place] = trial.offered_per_s
    for name in TRIAL_VARIABLES:
        variables[name].values[place] = getattr(trial, name)
