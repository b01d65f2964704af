"""What a sweep will cost, from what is known before it is measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.grid import Grid
from jobs.plan import PlannedCell
from suite.artifacts.store import Artifact, ArtifactStore
from suite.cells import Cell
from suite.load.arrivals import query_count
from suite.runtimes.names import ABOUT
from suite.scenarios import SERVER, parse
from suite.sweep import Measure
from suite.topology import granted_cpus
from suite.trial.loads import EXPECTED_RUNS, LOAD_SHARE
from suite.trial.protocol import TrialRequest
from suite.trial.worker import LEAST_SAMPLES, LEAST_SAMPLES_SLOW
from suite.warmup import SLOW_NS, window_size

START_S = 0.3
"""Starting a process and importing the runtime."""
LOAD_S_PER_BYTE = 4e-9
"""Opening a model and packing its weights."""
BUILD_S = 20.0
"""Converting a model the size of ResNet50."""
GUESSED_LATENCY_S = 0.08
"""ResNet50, float32, one thread: what stands in for a model that has not been built."""
LATENCY_OVER_FLOAT32: Mapping[str, float] = {
    "dynamic": 0.3,
    "int8": 0.2,
    "int16x8": 18.0,
}
"""Where it differs by more than a guess's error; int16x8 runs on reference kernels."""
NOT_THREADED = ("int16x8",)
USUAL = Measure()


@dataclass(frozen=True)
class Projection:
    """The expected cost of a sweep on this machine."""

    build_seconds: float
    measure_seconds: float
    to_build: tuple[str, ...]
    """Keys of the artifacts that are not in the store."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.build_seconds + self.measure_seconds


def project(grid: Grid, store: ArtifactStore) -> Projection:
    """Project the time to build the artifacts of `grid` and to take the least trials."""
    keys = grid.artifact_keys
    refused = {request.key for request in grid.requests.values() if request.refusal}
    to_build = tuple(key for key in keys if key not in refused and store.find(key) is None)
    per_trial = [planned.trial_seconds for planned in planned_cells(grid, store)]
    return Projection(
        build_seconds=len(to_build) * BUILD_S / len(granted_cpus()),
        measure_seconds=measure_seconds(per_trial, grid.sweep.measure),
        to_build=to_build,
    )


def planned_cells(grid: Grid, store: ArtifactStore) -> list[PlannedCell]:
    """Return the cells of `grid` with what a trial is expected to take, built or not."""
    found = {key: store.find(key) for key in grid.artifact_keys}
    keys = {cell_id: request.key for cell_id, request in grid.requests.items()}
    return [
        PlannedCell(
            cell=cell,
            artifact_key=keys[cell.cell_id],
            build_error="",
            trial_seconds=trial_seconds(cell, found[keys[cell.cell_id]], grid.sweep.measure),
        )
        for cell in grid.cells
    ]


def measure_seconds(per_trial: list[float], measure: Measure) -> float:
    """Return the time of the least number of rounds, as far as the budget allows them.

    A profile, if one is asked for, takes about as long as a trial.
    """
    round_s = sum(per_trial)
    rounds_s = max(round_s, min(round_s * measure.min_trials, measure.budget))
    return rounds_s + measure.profile * round_s


def trial_seconds(cell: Cell, artifact: Artifact | None, measure: Measure = USUAL) -> float:
    """Return what a trial of `cell` is expected to take: process, load, warm-up and samples."""
    if artifact is None:
        latency_s = (
            GUESSED_LATENCY_S * cell.batch * LATENCY_OVER_FLOAT32.get(cell.quantization, 1.0)
        )
        load_s = START_S
    else:
        latency_s = artifact.rough_latency_ns / 1e9
        load_s = artifact.row.artifact_bytes * LOAD_S_PER_BYTE
    if cell.quantization not in NOT_THREADED:
        latency_s /= cell.threads
    latency_ns = max(1, round(latency_s * 1e9))
    least = LEAST_SAMPLES_SLOW if latency_ns > SLOW_NS else LEAST_SAMPLES
    start_s = START_S + ABOUT[cell.runtime].start_s
    sampling_s = max(least, TrialRequest.sampling_ns / latency_ns) * latency_s
    warmup_s = (3 + window_size(latency_ns)) * latency_s
    return start_s + load_s + warmup_s + load_seconds(cell, latency_s, sampling_s, measure)


def load_seconds(cell: Cell, latency_s: float, sampling_s: float, measure: Measure) -> float:
    """Return what is expected between the warm-up of a trial's instances and its end."""
    scenario = parse(cell.scenario)
    if scenario.kind != SERVER:
        return sampling_s
    allowed_s = measure.trial_timeout * LOAD_SHARE
    if scenario.rate_per_s is not None:
        rate, runs = scenario.rate_per_s, 1
    else:
        rate, runs = cell.instances / latency_s, EXPECTED_RUNS
    queries = query_count(rate, TrialRequest.sampling_ns, allowed_s / runs * 1e9)
    return min(allowed_s, runs * queries / rate)
