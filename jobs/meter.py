"""Taking trials on this node: each of the artifact that was planned, recorded before the next."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from jobs.plan import Plan, PlannedArtifact
from suite.artifacts.watched import Watched
from suite.cells import Cell
from suite.errors import UserError
from suite.journal import Journal
from suite.results.rows import TrialFlag, TrialRow
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from suite.watch import Watch


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
    ) -> None:
        self._plan = plan
        self._cpus = cpus
        self._artifacts = artifacts
        self._journal = journal
        self._watch = watch
        self._flags = flags
        self._is_wanted = is_wanted
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
        if not self._is_wanted():
            raise InterruptedError("the process that waited for this job has ended")
        self._watch.before(number)
        name = TrialName(self._plan.run_id, cell.cell_id, self._watch.node_id, number, order)
        trial = self._run(name, cell, sampling_ns)
        trial = replace(trial, validity=trial.validity | self._flags)
        self._journal.append(trial)
        return trial

    def _run(self, name: TrialName, cell: Cell, sampling_ns: int) -> TrialRow:
        path = self._artifacts[cell.cell_id].path
        file = self._files[path]
        if not file.is_intact():
            said = f"{path} has changed since the job began"
            return name.refused(said, TrialFlag.ARTIFACT_CHANGED)
        request = TrialRequest(
            artifact_path=str(path),
            threads=cell.threads,
            cpus=self._cpus[: cell.threads],
            seed=self._plan.measure.seed,
            sampling_ns=sampling_ns,
            runtime=cell.runtime,
            delegate=cell.delegate,
        )
        trial = run_trial(name, request, self._plan.measure.trial_timeout)
        if file.is_intact():
            return trial
        return replace(trial, validity=trial.validity | TrialFlag.ARTIFACT_CHANGED)
