"""The profiles of a job's cells on this node, once its last trial is taken."""

from collections.abc import Callable, Mapping, Sequence

from jobs.meter import Meter
from jobs.plan import PlannedArtifact
from suite.cells import Cell
from suite.journal import JournalContent
from suite.results.rows import OperatorRow
from suite.runtimes.names import LITERT

Profile = Sequence[OperatorRow]


def profile_cells(
    cells: Sequence[Cell],
    artifacts: Mapping[str, PlannedArtifact],
    recorded: JournalContent,
    meter: Meter,
    report: Callable[[Cell, int], None],
) -> list[str]:
    """Profile every cell of LiteRT's that has been measured, and record it.

    What is recorded is not profiled again, and cells that differ only in how many processes run
    the same, or in what calls for it, are profiled once.

    Parameters
    ----------
    artifacts
        By `cell_id`.
    recorded
        What this node's journal holds.
    report
        Told before each: the cell, and how many are still to come, it included.

    Returns
    -------
    list of str
        A line for each cell that could not be profiled.
    """
    measured = {trial.cell_id for trial in recorded.trials if trial.status == "ok"}
    wanted = [cell for cell in cells if cell.runtime == LITERT and cell.cell_id in measured]
    done: dict[str, list[OperatorRow]] = {}
    for row in recorded.operators:
        done.setdefault(row.operator_cell_id, []).append(row)

    def same(cell: Cell) -> tuple[str, int, str]:
        return artifacts[cell.cell_id].row.artifact_key, cell.threads, cell.delegate

    profiles: dict[tuple[str, int, str], Profile] = {
        same(cell): done[cell.cell_id] for cell in wanted if cell.cell_id in done
    }
    missing = [cell for cell in wanted if cell.cell_id not in done]
    for number, cell in enumerate(missing):
        if same(cell) not in profiles:
            report(cell, len(missing) - number)
            profiles[same(cell)] = meter.profile(cell)
        meter.record_profile(cell, profiles[same(cell)])
    return [
        f"not profiled: {cell}: {error}"
        for cell in wanted
        if (error := profiles[same(cell)][0].operator_error)
    ]
