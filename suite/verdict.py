"""Whether a number is to be trusted, and if not, why: verdicts on cells and runs.

Those on single trials are taken where they are measured, in `suite.trial.launch`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntFlag
from functools import reduce
from itertools import groupby
from operator import attrgetter, or_
from types import MappingProxyType
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from suite.intervals import LEAST_TRIALS, relative_half_width
from suite.results.rows import (
    LOCAL,
    ArtifactRow,
    CellFlag,
    CellRow,
    Results,
    TrialFlag,
    TrialRow,
)

OF_NOISE = (
    TrialFlag.NO_STEADY_STATE
    | TrialFlag.THREADS_NOT_USED
    | TrialFlag.CLOCK_COARSE
    | TrialFlag.NOISY_NODE
    | TrialFlag.OVERLOADED
)
"""Flags that a disturbance can raise in a trial or two of a good cell; any other counts at once."""
SHARE_OF_TRIALS = 0.25
"""A flag of noise is the cell's when more than this share of its trials has it."""
TREND_Z = 2.576
"""Two-sided 1 % of a normal distribution: how sure a drift must be to be called one."""
LEAST_COPIED_SAMPLES = 5
"""Two trials of so many different samples do not agree in every nanosecond by chance."""
MOST_COMPARED = 1000

REASONS = {
    "failed": "no trial ran to its end",
    "missing": "not measured yet",
    "no_steady_state": "no steady state: latencies still drifted when the warm-up reached its cap",
    "affinity_mismatch": "affinity mismatch: ran on other CPUs than it was to be pinned to",
    "threads_not_used": "threads not used: fewer threads worked than were asked for",
    "clock_coarse": "clock coarse: samples are too short for the clock",
    "output_not_finite": "output not finite: NaN or infinity among the outputs",
    "cpu_type_mismatch": "CPU type mismatch: measured on another microarchitecture than expected",
    "quota_throttled": "quota throttled: the cgroup's CPU quota held the process back",
    "delegate_missing": "delegate missing: XNNPACK took none of the model's operators",
    "noisy_node": "noisy node: others used the CPUs that it was pinned to",
    "artifact_changed": "artifact changed: the file was not the one that was built and checked",
    "overloaded": "overloaded: invocations came faster than they were served, so the queue grew",
    "failed_trials": "failed trials: some trials did not run to their end",
    "output_differs": "output differs: not all trials computed the same",
    "few_trials": f"few trials: under {LEAST_TRIALS}, the least for an interval to rely on",
    "unresolved": "unresolved: the interval is wider than the precision asked for",
    "single_node": "single node: says nothing of other nodes of this CPU type",
    "drifting": "drifting: latencies rose or fell over the run by more than the precision",
    "replicate_copied": "replicate copied: two trials have the same samples to the nanosecond",
    "recipe_not_applied": "recipe not applied: the file holds what another recipe makes",
}
"""What can stand in a verdict, in words."""


class Judged(Protocol):
    """What of a trial is judged: a `TrialRow`, or something smaller."""

    @property
    def cell_id(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def start_unix_ns(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def output_digest(self) -> str: ...
    @property
    def validity(self) -> int: ...
    @property
    def figure_ns(self) -> float: ...
    @property
    def samples_sha256(self) -> bytes: ...
    @property
    def latency_ns(self) -> npt.NDArray[Any]: ...


AnyTrial = TypeVar("AnyTrial", bound=Judged)


@dataclass(frozen=True)
class Judgement(Generic[AnyTrial]):
    """A cell's status, the trials that count, and the reasons against it."""

    status: Literal["ok", "failed", "missing"]
    counted: tuple[AnyTrial, ...]
    validity: int
    """`TrialFlag` and `CellFlag` bits; 0 is valid."""
    error: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons by name, in the order of their bits; empty where the cell is valid."""
        return reasons(self.validity)


def reasons(validity: int) -> tuple[str, ...]:
    """Return the names of the bits that are set."""
    flags: tuple[IntFlag, ...] = (*TrialFlag, *CellFlag)
    return tuple(str(flag.name).lower() for flag in flags if flag & validity)


def judge_cells(results: Results) -> Iterator[Judgement[TrialRow]]:
    """Judge each cell of `results`, in their order."""
    return judge_each(results, results.trials)


def judge_each(results: Results, taken: Iterable[AnyTrial]) -> Iterator[Judgement[AnyTrial]]:
    """Judge each cell of `results` by the trials `taken`, in place of those that are there."""
    trials: dict[str, list[AnyTrial]] = {}
    for trial in taken:
        trials.setdefault(trial.cell_id, []).append(trial)
    precision = float(results.provenance.get("precision", "inf"))
    hosts = {node.node_id: node.host for node in results.nodes}
    not_as_asked = {artifact.artifact_key for artifact in results.artifacts if _misnamed(artifact)}
    for cell in results.cells:
        judgement = judge(cell, trials.get(cell.cell_id, []), precision, hosts)
        if cell.artifact_key in not_as_asked and judgement.counted:
            validity = judgement.validity | CellFlag.RECIPE_NOT_APPLIED
            judgement = replace(judgement, validity=validity)
        yield judgement


def _misnamed(artifact: ArtifactRow) -> bool:
    """Say whether a file holds what its recipe does not make: small tensors are left alone.

    A mixture may be all that the recipe can do for a model.
    """
    return artifact.holds not in ("", "mixed", artifact.recipe)


def judge_run(cells: Sequence[int]) -> int:
    """Return the validity of a run: every reason that one of its cells has."""
    return reduce(or_, cells, 0)


def judge(
    cell: CellRow,
    trials: Sequence[AnyTrial],
    precision: float,
    hosts: Mapping[str, str] = MappingProxyType({}),
) -> Judgement[AnyTrial]:
    """Judge a cell by its trials.

    Every trial that ran to its end counts, flagged or not: to leave out what looks bad would bias
    the estimate. What is flagged is said.

    Parameters
    ----------
    precision
        Relative half-width of the 95 % interval that the run asked for.
    hosts
        By `node_id`: one machine that was described twice is one node here.
    """
    if cell.build_error:
        return Judgement("failed", (), int(TrialFlag.FAILED), cell.build_error)
    if not trials:
        return Judgement("missing", (), int(CellFlag.MISSING))
    # A trial may end well with nothing left after its warm-up: then it says nothing.
    counted = tuple(t for t in trials if t.status == "ok" and t.figure_ns > 0)
    # Trials that were refused for it do not count, and tell of it nevertheless.
    changed = reduce(or_, (t.validity for t in trials)) & TrialFlag.ARTIFACT_CHANGED
    if not counted:
        return Judgement("failed", (), int(TrialFlag.FAILED | changed), trials[-1].error)
    found = {
        CellFlag.FAILED_TRIALS: len(counted) < len(trials),
        CellFlag.OUTPUT_DIFFERS: len({trial.output_digest for trial in counted}) > 1,
        CellFlag.FEW_TRIALS: len(counted) < LEAST_TRIALS,
        # Not the other way round: without an interval nothing is resolved.
        CellFlag.UNRESOLVED: not relative_half_width([t.figure_ns for t in counted]) <= precision,
        CellFlag.SINGLE_NODE: cell.axes.get("cpu_type", LOCAL) != LOCAL
        and len({hosts.get(trial.node_id, trial.node_id) for trial in counted}) == 1,
        CellFlag.DRIFTING: _drifts(counted, precision),
        CellFlag.REPLICATE_COPIED: _has_copies(counted),
    }
    deserved = reduce(or_, (flag for flag, holds in found.items() if holds), CellFlag(0))
    error = next((trial.error for trial in trials if trial.status != "ok"), "")
    validity = int(_of_trials(counted)) | int(deserved) | changed
    return Judgement("ok", counted, validity, error)


def _of_trials(trials: Sequence[Judged]) -> TrialFlag:
    """Return the flags of trials that the cell as a whole deserves."""
    deserved = TrialFlag(0)
    any_has = reduce(or_, (trial.validity for trial in trials))
    for flag in (flag for flag in TrialFlag if flag & any_has):
        share = sum(flag & trial.validity > 0 for trial in trials) / len(trials)
        if share > (SHARE_OF_TRIALS if flag in OF_NOISE else 0):
            deserved |= flag
    return deserved


def _drifts(trials: Sequence[Judged], precision: float) -> bool:
    """Say whether the latencies of one of the nodes have a trend that matters."""
    in_time = sorted(trials, key=attrgetter("node_id", "start_unix_ns", "round"))
    return any(
        has_trend([trial.figure_ns for trial in of_node], precision)
        for _, of_node in groupby(in_time, key=attrgetter("node_id"))
    )


def has_trend(medians_ns: Sequence[float], least_change: float) -> bool:
    """Say whether values in the order of time rise or fall, surely and by more than a share.

    Surely: by the test of Mann (Econometrica 13, 1945) and Kendall at 1 %. By more than
    `least_change`: from the median of the first third to that of the last.
    """
    n = len(medians_ns)
    if n < LEAST_TRIALS:
        return False
    logs = np.log(medians_ns)
    score = int(np.sign(logs[None, :] - logs[:, None])[np.triu_indices(n, 1)].sum())
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    third = n // 3
    change = abs(float(np.median(logs[-third:]) - np.median(logs[:third])))
    return abs(score) - 1 > TREND_Z * deviation and change > least_change


def _has_copies(trials: Iterable[Judged]) -> bool:
    known: dict[bytes, Judged] = {}
    return any(
        known.setdefault(trial.samples_sha256, trial) is not trial
        and len({*trial.latency_ns[:MOST_COMPARED].tolist()}) >= LEAST_COPIED_SAMPLES
        for trial in trials
    )
