"""Collecting: the shards of a run's jobs, and the journals of those that died, into one file."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.atomic import whole_file, write_whole
from suite.canonical import digest
from suite.errors import UserError
from suite.files import read_file
from suite.journal import JournalContent, read_journal
from suite.results.merge_files import merge_files
from suite.results.rows import Results
from suite.results.seal import seal_in
from suite.results.write import write_results

JOURNALS = "job_journals"
"""Under this key of the provenance stand the journals, and how many bytes of each were read."""


def collect(folder: RunFolder) -> None:
    """Write the run's `results.h5` from what its jobs have left; it can be repeated at any time.

    Raises
    ------
    UserError
        If something that was left cannot be read, or contradicts the rest.
    """
    plan = Plan.read(folder.plan_file)
    made_of = _made_of(folder, plan)
    if _has_collected(folder, made_of):
        return
    try:
        merge_files(folder.results_file, _parts(folder, plan))
    except UserError as error:
        raise _of_shards(error, folder, plan) from error
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"What the jobs of {folder.path} have left does not fit together: {error}.",
            "Is there a journal or a shard of another run among them?",
        ) from error
    write_whole(folder.collected_file, made_of + _seen(folder.results_file))


def _parts(folder: RunFolder, plan: Plan) -> Iterator[Path | Results]:
    yield plan.results()
    for index in range(len(plan.slices)):
        yield from left_by(folder, plan, index)


def left_by(
    folder: RunFolder, plan: Plan, index: int, known: Collection[str] = ()
) -> Iterator[Path | Results]:
    """Yield what the jobs of a slice have left: its shard, and what is in journals alone.

    In journals alone is all that a job has measured which died before its shard, and what a twin of
    a job, which Slurm had queued again, has measured after the shard.

    Parameters
    ----------
    known
        The hosts whose journals are not asked for.
    """
    held = _journals_in_shard(folder, index)
    if has_shard(folder, index):
        yield folder.shard(index)
    hosts = [host for host in folder.journal_hosts(index) if host not in known]
    sizes = {host: folder.journal(index, host).lstat().st_size for host in hosts}
    more = [host for host in hosts if _line(folder, index, host, sizes[host]) not in held]
    if more:
        yield slice_results(folder, plan, index, more)


def has_shard(folder: RunFolder, index: int) -> bool:
    """Say whether the slice's shard is there: all that was planned has then been measured."""
    return folder.shard(index).exists()


def write_shard(folder: RunFolder, index: int, results: Results) -> None:
    """Write the slice's shard, and beside it what it was made of.

    By its seal the one names the other: of twins that both write, one may write the shard last, and
    the other what stands beside it.
    """
    with whole_file(folder.shard(index)) as temporary:
        write_results(temporary, results)
        seal = seal_in(temporary)
    made_of = f"{seal}\n{results.provenance.get(JOURNALS, '')}"
    write_whole(folder.shard_journals(index), made_of)


def _journals_in_shard(folder: RunFolder, index: int) -> set[str]:
    """Return the lines of the journals that the slice's shard was made of, as far as is known."""
    try:
        seal, *lines = read_file(folder.shard_journals(index)).decode().split("\n")
        return {*lines} if seal and seal == seal_in(folder.shard(index)) else set()
    except (OSError, ValueError):
        return set()


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
    wanted = folder.journal_hosts(index) if hosts is None else [*hosts]
    journals = [_described(read_journal(folder.journal(index, host))) for host in wanted]
    lines = [
        _line(folder, index, host, journal.whole_bytes)
        for host, journal in zip(wanted, journals, strict=True)
    ]
    cells = plan.slice_cells(index)
    keys = {cell.artifact_key for cell in cells}
    return Results(
        cells=plan.rows(cells),
        artifacts=tuple(plan.artifacts[key].row for key in sorted(keys)),
        nodes=tuple(node for journal in journals for node in journal.nodes),
        trials=tuple(trial for journal in journals for trial in journal.trials),
        provenance={**plan.provenance, **(provenance or {}), JOURNALS: "\n".join(lines)},
        states=tuple(state for journal in journals for state in journal.states),
        instances=tuple(row for journal in journals for row in journal.instances),
        operators=tuple(row for journal in journals for row in journal.operators),
    )


def _described(journal: JournalContent) -> JournalContent:
    """Leave out what is of a node whose own record a fault has hit.

    It is there again when a later job on that node has recorded what it is.
    """
    known = {node.node_id for node in journal.nodes}
    trials = tuple(trial for trial in journal.trials if trial.node_id in known)
    taken = {trial.trial_id for trial in trials}
    return replace(
        journal,
        trials=trials,
        states=tuple(state for state in journal.states if state.state_node_id in known),
        instances=tuple(row for row in journal.instances if row.instance_trial_id in taken),
        operators=tuple(row for row in journal.operators if row.operator_node_id in known),
    )


def _line(folder: RunFolder, index: int, host: str, size: int) -> str:
    """Name a journal and how much of it there is: it only grows."""
    return f"{folder.journal(index, host).relative_to(folder.path)} {size}"


def _of_shards(error: UserError, folder: RunFolder, plan: Plan) -> UserError:
    """Say of a shard that cannot be read that there may be journals in its place."""
    for index in range(len(plan.slices)):
        if repr(str(folder.shard(index))) in error.what and folder.journal_hosts(index):
            hosts = ", ".join(folder.journal_hosts(index))
            mend = f"Take it away: the journals of {hosts} are then read in its place."
            return UserError(error.what, mend)
    return error


def _has_collected(folder: RunFolder, made_of: str) -> bool:
    """Say whether `results_file` was made of what is there, and is as it was made.

    Times are held against nothing but what they were: clocks differ, and jump.
    """
    try:
        said = read_file(folder.collected_file).decode()
        return said == made_of + _seen(folder.results_file)
    except (OSError, ValueError):
        return False


def _made_of(folder: RunFolder, plan: Plan) -> str:
    """Return a digest of what there is to collect."""
    paths = [folder.plan_file]
    for index in range(len(plan.slices)):
        paths += [folder.journal(index, host) for host in folder.journal_hosts(index)]
        paths += [folder.shard(index)] if has_shard(folder, index) else []
    return digest([_seen(path) for path in paths], 32)


def _seen(path: Path) -> str:
    seen = path.stat()
    return f"\n{path.name} {seen.st_size} {seen.st_mtime_ns}"
