"""Collecting: the shards of a run's jobs, and the journals of those that died, into one file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.journal import read_journal
from suite.results.merge_files import merge_files
from suite.results.rows import Results


def collect(folder: RunFolder) -> None:
    """Write the run's `results.h5` from what its jobs have left; it can be repeated at any time."""
    plan = Plan.read(folder.plan_file)
    left = [path for index in range(len(plan.slices)) for path in _left_by(folder, index)]
    if all(holds_all(folder.results_file, path) for path in (folder.plan_file, *left)):
        return
    merge_files(folder.results_file, _parts(folder, plan))


def _parts(folder: RunFolder, plan: Plan) -> Iterator[Path | Results]:
    yield plan.results()
    for index in range(len(plan.slices)):
        if has_shard(folder, index):
            yield folder.shard(index)
        elif folder.journal_hosts(index):
            yield slice_results(folder, plan, index)


def _left_by(folder: RunFolder, index: int) -> list[Path]:
    """Return what the slice's job has left: its shard, or journals if it died before."""
    if has_shard(folder, index):
        return [folder.shard(index)]
    return [folder.journal(index, host) for host in folder.journal_hosts(index)]


def has_shard(folder: RunFolder, index: int) -> bool:
    """Say whether the slice's shard is there and holds all that its journals do."""
    journals = [folder.journal(index, host) for host in folder.journal_hosts(index)]
    shard = folder.shard(index)
    return shard.exists() and all(holds_all(shard, journal) for journal in journals)


def slice_results(
    folder: RunFolder,
    plan: Plan,
    index: int,
    hosts: Iterable[str] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Results:
    """Return what the journals of a slice hold, as results.

    Parameters
    ----------
    hosts
        Whose journals; by default all that there are.
    provenance
        Of the job, beside the plan's.
    """
    wanted = folder.journal_hosts(index) if hosts is None else hosts
    journals = [read_journal(folder.journal(index, host)) for host in wanted]
    cells = plan.slice_cells(index)
    keys = {cell.artifact_key for cell in cells}
    return Results(
        cells=plan.rows(cells),
        artifacts=tuple(plan.artifacts[key].row for key in sorted(keys)),
        nodes=tuple(node for journal in journals for node in journal.nodes),
        trials=tuple(trial for journal in journals for trial in journal.trials),
        provenance={**plan.provenance, **(provenance or {})},
        states=tuple(state for journal in journals for state in journal.states),
        instances=tuple(row for journal in journals for row in journal.instances),
        operators=tuple(row for journal in journals for row in journal.operators),
    )


def holds_all(made: Path, of: Path) -> bool:
    """Say whether `made` is there and was written after the last change of what it was made of."""
    if not made.exists():
        return False
    return not of.exists() or made.stat().st_mtime_ns >= of.stat().st_mtime_ns
