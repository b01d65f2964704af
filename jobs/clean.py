"""What can go of runs and of the artifact store, because nothing needs it any more."""

import fcntl
import os
import re
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from jobs.cluster.sent import read_sent
from jobs.cluster.slurm import live_jobs
from jobs.collect import has_shard
from jobs.plan import Plan
from jobs.run_folder import RunFolder, held
from jobs.stores import tell_stores
from suite.artifacts import needs
from suite.artifacts.needs import Leftover, Need, disk_bytes
from suite.artifacts.store import ArtifactStore
from suite.errors import UserError
from suite.journal import read_journal
from suite.results.read import read_results

OF_A_JOB = re.compile(
    r"(\d+(?:_\d+)?)_(?:submission\.sh|submitted\.pkl|\d+_(?:result\.pkl|log\.(?:err|out)))"
)
"""How submitit calls its files."""
UNTOUCHED_S = 3600.0
"""A file that is being written is touched more often."""


@dataclass(frozen=True)
class Cleaning:
    """What can go, or has gone."""

    leftovers: tuple[Leftover, ...]
    notes: tuple[str, ...]
    """What was left alone and why, and which runs are not where they were: a sentence each."""


def clean(
    runs: Iterable[Path | str], store: ArtifactStore | None, chosen: Container[Path] = ()
) -> Cleaning:
    """Find what can go of `runs` and of `store`, and remove what of it is `chosen`.

    Jobs may run meanwhile: what they may still read or write is none of it.

    Raises
    ------
    UserError
        If one of `runs` is none, or the store cannot be cleaned.
    """
    leftovers: list[Leftover] = []
    notes: list[str] = []
    for path in dict.fromkeys(Path(run).absolute() for run in runs):
        folder = RunFolder(path)
        if not folder.plan_file.exists():
            raise UserError(f"{path} is no run of litesweep that has a plan.")
        try:
            leftovers += _clean_run(folder, chosen)
        except UserError as error:  # it is run now, or Slurm cannot be asked
            notes.append(f"{folder.path} was left alone: {error.what}")
        except OSError as error:  # another user's, perhaps, or on a disk that is read-only
            where = error.filename or folder.path
            notes.append(f"{folder.path} was left alone: {where}: {error.strerror}.")
    if store and store.root.is_dir():
        notes += _moved(store)
        leftovers += _clean_store(store, chosen)
    return Cleaning(tuple(leftovers), tuple(notes))


def runs_of(store: ArtifactStore) -> list[Path]:
    """Return the folders of our runs that have a plan and need something of `store`."""
    return [
        need.folder
        for need in needs.read_needs(store)
        if _is_there(need) and _has_a_plan_of_ours(need.folder)
    ]


def _has_a_plan_of_ours(run: Path) -> bool:
    try:
        return run.stat().st_uid == os.geteuid() and RunFolder(run).plan_file.exists()
    except OSError:  # below a folder that only another user may enter
        return False


def _moved(store: ArtifactStore) -> list[str]:
    """Say which runs are not where they were, as far as artifacts are there for them alone."""
    told = needs.read_needs(store)
    needed = {key for need in told if _is_there(need) for key in need.keys}
    return [
        f"There is no run in {need.folder} any more. If it has been moved: "
        "`litesweep clean ITS-FOLDER` tells the store where it is."
        for need in told
        if not _is_there(need) and any(store.folder(key).exists() for key in need.keys - needed)
    ]


def _clean_store(store: ArtifactStore, chosen: Container[Path]) -> list[Leftover]:
    with needs.cleaning(store) if chosen else nullcontext():
        told = needs.read_needs(store)
        there = [need for need in told if _is_there(need)]
        needed = {key for need in there for key in need.keys}
        found = list(needs.unneeded(store, needed))
        if not chosen:
            return found
        for need in {*told} - {*there}:
            needs.forget(store, need.run_id)
        return [each for each in found if each.path in chosen and needs.remove(store, each)]


def _is_there(need: Need) -> bool:
    try:
        return RunFolder(need.folder).identity()["run_id"] == need.run_id
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, UserError):  # another user's, perhaps, or half written
        return True


def _clean_run(folder: RunFolder, chosen: Container[Path]) -> list[Leftover]:
    with held(folder):
        plan = Plan.read(folder.plan_file)
        tell_stores(folder, plan)
        found = [each for each in _leftovers(folder, plan) if _lies_in(folder, each.path)]
        if not chosen:
            return found
        return [each for each in found if each.path in chosen and _remove(each.path)]


def _lies_in(folder: RunFolder, path: Path) -> bool:
    """Say whether a file is in a run's folder, and not by a link in it, perhaps a stranger's."""
    return Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder.path))


def _leftovers(folder: RunFolder, plan: Plan) -> Iterator[Leftover]:
    sent = read_sent(folder)
    by_name = {submission.name: submission for submission in sent}
    building = f"litesweep-{plan.run_id}-build"
    live = live_jobs([*by_name, building], folder.owner) if folder.site_file.exists() else []
    if any(job.name == building for job in live):
        raise UserError("its artifacts are being built.")
    live = [job for job in live if by_name[job.name].has(job.job_id)]
    at_work = {by_name[job.name].slice_of(job.job_id) for job in live}
    done = {i for i in plan.slices if i not in at_work and has_shard(folder, i)}
    for index in sorted(done):
        if _holds_its_journals(folder, index):
            hosts = folder.journal_hosts(index)
            journals = [folder.journal(index, host) for host in hosts]
            yield from _found("journals that their shard holds", journals)
        told = folder.job_logs(index).glob("*")
        yield from _found("logs of what is done", (p for p in told if p.suffix != ".warning"))
    # What a job that failed has left tells `status` why.
    last = {index: submission for submission in sent for index in submission.slices}
    kept = {submission.job_id(i) for i, submission in last.items() if i not in done}
    kept |= {job.job_id for job in live}
    # An array's script is of all its elements.
    kept |= {job_id.partition("_")[0] for job_id in kept}
    yield from _found(
        "logs of what is done",
        (
            path
            for path in (folder.logs / "slurm").glob("*")
            if not (name := OF_A_JOB.fullmatch(path.name)) or name[1] not in kept
        ),
    )
    if len(done) == len(plan.slices):
        ours = [*folder.logs.glob("*.log"), *(folder.logs / "submitit").glob("*")]
        yield from _found("logs of what is done", ours)
    if not any(planned.build_error for planned in plan.cells):
        yield from _found("logs of what is done", (folder.logs / "build").glob("*"))
    old = time.time() - UNTOUCHED_S
    parts = [*folder.path.glob(".*.tmp"), *(folder.path / "shards").glob(".*.tmp")]
    yield from _found("half-written files", (p for p in parts if p.stat().st_mtime < old))


def _holds_its_journals(folder: RunFolder, index: int) -> bool:
    """Say whether every trial in the journals of a slice is in its shard, read and not believed."""
    hosts = folder.journal_hosts(index)
    journals = [read_journal(folder.journal(index, host)) for host in hosts]
    held = {trial.trial_id for trial in read_results(folder.shard(index)).trials}
    return all(trial.trial_id in held for journal in journals for trial in journal.trials)


def _found(what: str, paths: Iterable[Path]) -> Iterator[Leftover]:
    for path in sorted(paths):
        if path.is_file():
            yield Leftover(path, what, disk_bytes(path))


def _remove(path: Path) -> bool:
    """Remove a file, unless another process has it locked, as one has a journal that it writes."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        path.unlink()
    return True
