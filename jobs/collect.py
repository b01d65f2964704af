"""Collecting: the shards of a run's jobs, and the journals of those that died, into one file."""

from pathlib import Path

from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.journal import read_journal
from suite.results.merge import merge
from suite.results.read import read_results
from suite.results.rows import Results
from suite.results.write import write_results


def collect(folder: RunFolder) -> None:
    """Write the run's `results.h5` from what its jobs have left; it can be repeated at any time."""
    plan = Plan.read(folder.plan_file)
    left = [_left_by(folder, index) for index in range(len(plan.slices))]
    if all(holds_all(folder.results_file, file) for file in (folder.plan_file, *left) if file):
        return
    parts = [plan.results()]
    for index, file in enumerate(left):
        if file == folder.shard(index):
            parts.append(read_results(file))
        elif file:
            parts.append(journal_results(folder, plan, index))
    write_results(folder.results_file, merge(parts))


def _left_by(folder: RunFolder, index: int) -> Path | None:
    """Return what the slice's job has left: its shard, or its journal if the job died before."""
    shard, journal = folder.shard(index), folder.journal(index)
    if holds_all(shard, journal):
        return shard
    return journal if journal.exists() else None


def journal_results(folder: RunFolder, plan: Plan, index: int) -> Results:
    """Return what the journal of a slice's job holds, as results."""
    content = read_journal(folder.journal(index))
    cells = plan.slice_cells(index)
    keys = {cell.artifact_key for cell in cells}
    return Results(
        cells=tuple(cell.row for cell in cells),
        artifacts=tuple(plan.artifacts[key].row for key in sorted(keys)),
        nodes=content.nodes,
        trials=content.trials,
        provenance=plan.provenance,
    )


def holds_all(made: Path, of: Path) -> bool:
    """Say whether `made` is there and was written after the last change of what it was made of."""
    if not made.exists():
        return False
    return not of.exists() or made.stat().st_mtime_ns >= of.stat().st_mtime_ns
