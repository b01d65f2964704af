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
    parts = [plan.results()]
    for index in range(len(plan.slices)):
        shard, journal = folder.shard(index), folder.journal(index)
        if journal.exists() and not _is_newer(shard, journal):
            parts.append(journal_results(folder, plan, index))
        elif shard.exists():
            parts.append(read_results(shard))
    write_results(folder.results_file, merge(parts))


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


def _is_newer(shard: Path, journal: Path) -> bool:
    """Say whether the shard was written after the journal's last record, and so holds them all."""
    return shard.exists() and shard.stat().st_mtime_ns >= journal.stat().st_mtime_ns
