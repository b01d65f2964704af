"""Profiles: of a job's cells on this node, once its last trial is taken; of a single file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jobs.meter import Meter
from jobs.plan import PlannedArtifact
from suite.cells import Cell
from suite.errors import UserError
from suite.profile.launch import run_profile
from suite.results.rows import OperatorRow, TrialRow
from suite.rounds import Progress
from suite.runtimes.names import LITERT
from suite.topology import granted_cpus, pin_order, read_cpus
from suite.trial.protocol import TrialRequest

PROFILE_S = 2.0
"""What one is expected to take, of most models."""

Profile = Sequence[OperatorRow]


def profile_cells(
    cells: Sequence[Cell],
    artifacts: Mapping[str, PlannedArtifact],
    *,
    trials: Sequence[TrialRow],
    recorded: Sequence[OperatorRow],
    meter: Meter,
    report: Callable[[Progress], None],
) -> list[str]:
    """Profile every cell of LiteRT's that has been measured, and record it.

    What is recorded is not profiled again, and cells that differ only in how many processes run
    the same, or in what calls for it, are profiled once.

    Parameters
    ----------
    artifacts
        By `cell_id`.
    trials, recorded
        What this node has measured and profiled before.
    report
        Told before each how far it has come.

    Returns
    -------
    list of str
        A line for each cell that could not be profiled.
    """
    measured = {trial.cell_id for trial in trials if trial.status == "ok"}
    wanted = [cell for cell in cells if cell.runtime == LITERT and cell.cell_id in measured]
    done: dict[str, list[OperatorRow]] = {}
    for row in recorded:
        done.setdefault(row.operator_cell_id, []).append(row)

    def same(cell: Cell) -> tuple[str, int, str]:
        return artifacts[cell.cell_id].row.artifact_key, cell.threads, cell.delegate

    profiles: dict[tuple[str, int, str], Profile] = {
        same(cell): done[cell.cell_id] for cell in wanted if cell.cell_id in done
    }
    missing = [cell for cell in wanted if cell.cell_id not in done]
    for number, cell in enumerate(missing):
        if same(cell) not in profiles:
            left_s = PROFILE_S * (len(missing) - number)
            now = f"the profile of {cell}"
            report(Progress(len(cells), (), len(trials), 0, now, left_s))
            profiles[same(cell)] = meter.profile(cell)
        meter.record_profile(cell, profiles[same(cell)])
    return [
        f"not profiled: {cell}: {error}"
        for cell in wanted
        if (error := profiles[same(cell)][0].operator_error)
    ]


FILE_TIMEOUT_S = 600.0


def profile_file(path: Path, threads: int, delegate: str) -> Profile:
    """Profile a .tflite file on this machine, of inputs from the seed 0.

    Raises
    ------
    UserError
        If there is no such file, this machine grants fewer CPUs, or LiteRT cannot run or profile
        the file.
    """
    if not path.is_file():
        raise UserError(f"There is no file {str(path)!r}.")
    cpus = pin_order(read_cpus(granted_cpus()))
    if threads > len(cpus):
        raise UserError(
            f"{threads} threads are asked for, and this machine grants {len(cpus)} CPUs.",
            "Lower --threads.",
        )
    request = TrialRequest(str(path.absolute()), threads, cpus[:threads], 0, delegate=delegate)
    rows = run_profile(request, FILE_TIMEOUT_S)
    if rows[0].operator_error:
        raise UserError(f"{path} cannot be profiled: {rows[0].operator_error}.")
    return rows
