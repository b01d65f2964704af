"""Taking trials on this node: each of the artifact that was planned, recorded before the next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from jobs.plan import Plan, PlannedArtifact
from suite.artifacts.watched import Watched
from suite.cells import Cell
from suite.errors import UserError
from suite.journal import Journal
from suite.profile.launch import of_cell, refused, run_profile
from suite.results.rows import InstanceRow, OperatorRow, TrialFlag, TrialRow
from suite.scenarios import SINGLE_STREAM, parse
from suite.topology import place_instances, read_cpus
from suite.trial.instruments import BARE, Instruments
from suite.trial.launch import TrialName, run_trial
from suite.trial.loads import Load, run_load_trial
from suite.trial.protocol import TrialRequest
from suite.watch import Watch

Taken = tuple[TrialRow, tuple[InstanceRow, ...]]


class Meter:
    """Takes the trials of a job on this node.

    Parameters
    ----------
    cpus
        In the order in which threads take them.
    artifacts
        By `cell_id`.
    flags
        What is to be said of every trial.
    is_wanted
        Asked before each trial whether anybody still waits for the job.
    instruments
        What trials are watched with beside the clock.

    Raises
    ------
    UserError
        If an artifact is not the one that was built.
    """

    def __init__(
        self,
        plan: Plan,
        cpus: tuple[int, ...],
        artifacts: Mapping[str, PlannedArtifact],
        *,
        journal: Journal,
        watch: Watch,
        flags: TrialFlag,
        is_wanted: Callable[[], bool],
        instruments: Instruments = BARE,
    ) -> None:
        self._plan = plan
        self._cpus = cpus
        self._places = read_cpus(cpus)
        self._artifacts = artifacts
        self._journal = journal
        self._watch = watch
        self._flags = flags
        self._is_wanted = is_wanted
        self._instruments = instruments
        self._files = {
            artifact.path: Watched(artifact.path, artifact.row.artifact_sha256)
            for artifact in artifacts.values()
        }
        for path, file in self._files.items():
            if not file.is_intact():
                raise UserError(
                    f"The artifact {path} is not the one that was built.",
                    "Delete its folder from the artifact store and run again: it will be built "
                    "anew.",
                )

    def measure(self, cell: Cell, number: int, order: int, sampling_ns: int) -> TrialRow:
        """Take a trial of `cell` in round `number`, and record it.

        Raises
        ------
        InterruptedError
            If nobody waits for it.
        """
        self._check_wanted()
        self._watch.before(number)
        name = TrialName(self._plan.run_id, cell.cell_id, self._watch.node_id, number, order)
        trial, instances = self._run(name, cell, sampling_ns)
        trial = replace(trial, validity=trial.validity | self._flags)
        self._journal.append(*instances, trial)  # without their trial they count for nothing
        return trial

    def _check_wanted(self) -> None:
        if not self._is_wanted():
            raise InterruptedError("the process that waited for this job has ended")

    def _request(self, cell: Cell) -> TrialRequest:
        return TrialRequest(
            artifact_path=str(self._artifacts[cell.cell_id].path),
            threads=cell.threads,
            cpus=self._cpus[: cell.threads],
            seed=self._plan.measure.seed,
            runtime=cell.runtime,
            delegate=cell.delegate,
            memory_bytes=self._plan.measure.trial_memory,
        )

    def _run(self, name: TrialName, cell: Cell, sampling_ns: int) -> Taken:
        path = self._artifacts[cell.cell_id].path
        file = self._files[path]
        if not file.is_intact():
            said = f"{path} has changed since the job began"
            return name.refused(said, TrialFlag.ARTIFACT_CHANGED), ()
        request = replace(self._request(cell), sampling_ns=sampling_ns)
        trial, instances = self._take(name, cell, request)
        if request.memory_bytes and trial.status in ("failed", "crashed"):
            limit = f" (trial_memory grants it {request.memory_bytes / 1e6:g} MB)"
            trial = replace(trial, error=trial.error + limit)
        if not file.is_intact():
            trial = replace(trial, validity=trial.validity | TrialFlag.ARTIFACT_CHANGED)
        return trial, instances

    def _take(self, name: TrialName, cell: Cell, request: TrialRequest) -> Taken:
        timeout_s, instruments = self._plan.measure.trial_timeout, self._instruments
        scenario = parse(cell.scenario)
        if cell.instances == 1 and scenario.kind == SINGLE_STREAM:
            return run_trial(name, request, timeout_s, instruments=instruments), ()
        placement = place_instances(self._places, cell.threads, cell.instances)
        shared = cell.cpus > len(self._places)
        load = Load(scenario, placement, cell.batch, shared)
        return run_load_trial(name, request, load, timeout_s, instruments=instruments)

    def profile(self, cell: Cell) -> tuple[OperatorRow, ...]:
        """Ask the runtime what each operator of `cell` takes; record nothing.

        Raises
        ------
        InterruptedError
            If nobody waits for it.
        """
        self._check_wanted()
        path = self._artifacts[cell.cell_id].path
        rows = run_profile(self._request(cell), self._plan.measure.trial_timeout)
        if not self._files[path].is_intact():
            return (refused(f"{path} has changed since the job began"),)
        return rows

    def record_profile(self, cell: Cell, rows: Sequence[OperatorRow]) -> None:
        """Record a profile as that of `cell`, its first operator last: with it, it is whole."""
        named = of_cell(rows, self._plan.run_id, cell.cell_id, self._watch.node_id)
        self._journal.append(*reversed(named))
