"""How a submitted run stands: jobs by state, cells done, time left, what failed and why."""

import json
import math
import re
import shlex
import shutil
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.cluster.batch import BEGUN
from jobs.cluster.sent import Sent, read_sent
from jobs.cluster.slurm import LiveJob, ended_jobs, live_jobs
from jobs.collect import has_shard
from jobs.display import duration
from jobs.plan import Plan, Slice
from jobs.run_folder import RunFolder
from jobs.world import START_S
from suite.errors import UserError
from suite.files import read_end
from suite.text import harmless

STATES = ("done", "running", "pending", "failed", "waiting", "unknown")

IN_WORDS: Mapping[str, str] = {
    "TIMEOUT": "The job reached its time limit.",
    "NODE_FAIL": "A node of the job failed.",
    "PREEMPTED": "The job was preempted.",
    "CANCELLED": "The job was cancelled.",
    "OUT_OF_MEMORY": "The job ran out of memory.",
    "BOOT_FAIL": "A node of the job did not boot.",
    "DEADLINE": "The job reached its deadline.",
}
"""What the accounting says of a job that left no word itself."""

WORDLESS = "The job ended without a word; its log may say more."
SHARDLESS = "The job ended well, and its shard is not there."

OURS = re.compile(r"^(?:litesweep: .*|FATAL: .*)$", re.MULTILINE)
"""What the batch script, the worker and Apptainer say when they give up."""

THEIRS = re.compile(
    r"^(?:ModuleNotFoundError: .*|ImportError: .*|.*No module named .*|ERROR\s*: .*"
    r"|srun: error: (?!\S+: task).*|slurmstepd\S*: error: .*(?:DUE TO|NODE FAILURE|oom).*"
    r"|.*[Cc]ommand not found.*|.*No space left on device.*)$",
    re.MULTILINE,
)
"""What Python, Slurm and the shell say."""

EXITED = re.compile(r"^srun: error: (\S+): tasks? (\S+): (.+?)(?: \(core dumped\))?$", re.MULTILINE)
"""How srun tells of a rank: `Exited with exit code 137` from a container, `Killed` without one."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""In which Apptainer writes some of what it says, to a file as well."""

SIGNALLED = 128
"""A shell's exit code for a process that a signal has ended: this and the signal's number."""
LEAST_FREE_BYTES = 1_000_000
MOST_WARNINGS = 20
MOST_JOBS = 100
"""That are shown to people, those that have failed first."""


@dataclass(frozen=True)
class JobStatus:
    """How one slice of a run stands."""

    slice: int
    cpu_type: str
    nodes: int
    state: str
    """One of `STATES`."""
    job_id: str
    reason: str
    """Why it failed or waits; empty where there is nothing to say."""
    log: str
    """The path of its standard error."""
    cells: int
    cells_done: int
    seconds_left: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunStatus:
    """How a run stands."""

    run: str
    name: str
    jobs: tuple[JobStatus, ...]
    cells: int
    """Of the sweep; those without an artifact are none of any job's."""
    live: int
    """Jobs that Slurm has, those of slices that are done and just ending too."""
    scheduler: str
    """Why Slurm could not be asked; empty if it could."""

    def count(self, *states: str) -> int:
        """Return how many jobs are in any of these states."""
        return sum(job.state in states for job in self.jobs)

    @property
    def cells_done(self) -> int:
        """Cells that no job has anything left to measure of."""
        return sum(job.cells_done for job in self.jobs)

    @property
    def seconds_left(self) -> float:
        """Estimate the time until all is measured, with as many jobs at a time as run now."""
        left = [job.seconds_left for job in self.jobs if job.state != "done"]
        at_a_time = max(1, self.count("running"))
        return max(max(left, default=0.0), sum(left) / at_a_time)

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON types."""
        return {
            "run": self.run,
            "name": self.name,
            "done": self.count("done") == len(self.jobs),
            "states": dict(Counter(job.state for job in self.jobs)),
            "cells": self.cells,
            "cells_done": self.cells_done,
            "seconds_left": self.seconds_left,
            "scheduler": self.scheduler,
            "jobs": [{**vars(job), "warnings": list(job.warnings)} for job in self.jobs],
        }


def status(folder: RunFolder) -> RunStatus:
    """Return how a run stands: one question to squeue, at most one to sacct, and its own files."""
    slices, cells = Plan.read_slices(folder.plan_file)
    sent = read_sent(folder)
    last = {index: submission for submission in sent for index in submission.slices}
    scheduler, live = "", {}
    try:
        live = live_by_slice(folder, sent)
    except UserError as error:
        scheduler = error.what
    done = {index for index in slices if has_shard(folder, index)}
    over = [last[index].job_id(index) for index in last.keys() - live.keys() - done]
    ended: dict[str, str] = {}
    if over and not scheduler:
        ended = ended_jobs(over, sent[0].at, folder.owner)
    logs = _rank_logs(folder)
    jobs = tuple(
        _job(
            folder,
            index,
            slice_,
            is_done=index in done,
            sent=last.get(index),
            live=live.get(index),
            ended=ended,
            scheduler=scheduler,
            logs=logs,
        )
        for index, slice_ in slices.items()
    )
    identity = folder.identity()
    return RunStatus(
        run=str(folder.path),
        name=identity["name"],
        jobs=jobs,
        cells=cells,
        live=len(live),
        scheduler=scheduler,
    )


def live_by_slice(folder: RunFolder, sent: list[Sent]) -> dict[int, LiveJob]:
    """Return the jobs that wait or run, by the slice that they measure.

    By name, where no id is known: a job whose id we died before recording is found too.
    """
    by_name = {submission.name: submission for submission in sent}
    live = live_jobs(by_name, folder.owner)
    mine = (job for job in live if by_name[job.name].has(job.job_id))
    return {by_name[job.name].slice_of(job.job_id): job for job in mine}


def _job(
    folder: RunFolder,
    index: int,
    slice_: Slice,
    *,
    is_done: bool,
    sent: Sent | None,
    live: LiveJob | None,
    ended: Mapping[str, str],
    scheduler: str,
    logs: Mapping[str, Sequence[Path]],
) -> JobStatus:
    job_id = live.job_id if live else sent.job_id(index) if sent else ""
    mine = () if is_done else logs.get(job_id, ())
    done, left_s = (0, None) if is_done else _progress(folder, index, slice_)
    left_s = slice_.seconds if left_s is None else left_s
    if is_done:
        state, reason, done, left_s = "done", "", len(slice_.cell_ids), 0.0
    elif live:
        state = "pending" if live.state in ("PENDING", "REQUEUED", "CONFIGURING") else "running"
        reason = live.reason if state == "pending" and live.reason != "None" else ""
        if state == "pending" and _has_begun(folder, index, sent):
            reason = f"queued again by Slurm: it was preempted, or a node failed ({live.reason})"
    elif sent is None or sent.refused:
        state, reason = "waiting", "not submitted yet"
    elif scheduler:
        state, reason = "unknown", scheduler
    else:
        end = "CANCELLED" if job_id in sent.cancelled else ended.get(job_id, "")
        state, reason = "failed", _why(folder, index, mine, end)
    # Of rank 0, or of the rank that has said most.
    log = max(mine, key=lambda path: path.lstat().st_size, default=None)
    return JobStatus(
        slice=index,
        cpu_type=slice_.cpu_type,
        nodes=slice_.nodes,
        state=state,
        job_id=job_id,
        reason=reason,
        log=str(log or ""),
        cells=len(slice_.cell_ids),
        cells_done=done,
        seconds_left=left_s,
        warnings=tuple(
            harmless(line)
            for path in sorted(folder.job_logs(index).glob("*.warning"))
            for line in read_end(path).splitlines()
        ),
    )


def _has_begun(folder: RunFolder, index: int, sent: Sent | None) -> bool:
    """Say whether a job of this submission has measured something already."""
    if sent is None:
        return False
    since = datetime.fromisoformat(sent.at).timestamp()
    told = folder.job_logs(index).glob("*.json")
    return any(path.lstat().st_mtime > since for path in told)


def _rank_logs(folder: RunFolder) -> dict[str, list[Path]]:
    """Return the standard errors of the ranks of each job, by its id: `123_4_0_log.err`."""
    found: dict[str, list[Path]] = {}
    for path in sorted((folder.logs / "slurm").glob("*_log.err")):
        job_id, _, _ = path.name.removesuffix("_log.err").rpartition("_")
        found.setdefault(job_id, []).append(path)
    return found


def _progress(folder: RunFolder, index: int, slice_: Slice) -> tuple[int, float | None]:
    """Return the cells done and the seconds left, as the nodes have told.

    A cell is done when as many nodes have finished it as are to, in whichever of the slice's jobs.
    """
    finished, lefts_s = [], []
    for path in folder.job_logs(index).glob("*.json"):
        try:
            told = json.loads(read_end(path))
            cells, left_s = [m == "1" for m in told["finished"]], float(told["seconds_left"])
        except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
            continue  # being replaced just now, or none of ours
        if len(cells) == len(slice_.cell_ids) and math.isfinite(left_s):
            finished.append(cells)
            lefts_s.append(left_s)
    done = sum(sum(nodes) >= slice_.copies for nodes in zip(*finished, strict=True))
    return done, max(lefts_s, default=None)


def _why(folder: RunFolder, index: int, logs: Sequence[Path], state: str) -> str:
    """Return why a job that has ended did not end well: its own word, or what others say of it."""
    told = sorted(folder.job_logs(index).glob("*.txt"))
    words = [harmless(read_end(path).strip()) for path in told]
    if any(words):
        return _in_short(next(filter(None, words)))
    # "FAILED" tells nothing that is not seen already.
    said = [IN_WORDS[state]] if state in IN_WORDS else []
    said += _telling_lines(logs)
    if shutil.disk_usage(folder.path).free < LEAST_FREE_BYTES:
        said.append(f"There is no room on the disk of {folder.path}.")
    return " ".join(said) or (SHARDLESS if state == "COMPLETED" else WORDLESS)


def _in_short(word: str) -> str:
    """Return what a rank said; of a traceback the last line, which names the error."""
    if not word.startswith("Traceback"):
        return word
    return f"An error inside litesweep: {word.splitlines()[-1]}"


def _telling_lines(logs: Sequence[Path]) -> list[str]:
    """Return up to two lines of all ranks' standard errors that say what happened."""
    texts = (COLOUR.sub("", read_end(path)) for path in logs)
    text = "\n".join(harmless(BEGUN.split(said)[-1]) for said in texts)
    lines = (
        OURS.findall(text)
        or THEIRS.findall(text)
        or [
            _ended(host, rank, by)
            for host, rank, how in EXITED.findall(text)
            if (by := _cause(how))
        ][:1]  # those after it were ended by Slurm
        or text.strip().splitlines()[-1:]
    )
    return [line.strip().removeprefix("litesweep: ") for line in dict.fromkeys(lines)][:2]


def _cause(how: str) -> signal.Signals | None:
    """Return the signal that has ended a rank, by how srun tells it, if that is a cause."""
    code = re.fullmatch(r"Exited with exit code (\d+)", how)
    number = int(code[1]) - SIGNALLED if code else 0
    found = next((s for s in signal.Signals if number == s or signal.strsignal(s) == how), None)
    # Slurm ends the other ranks with SIGCONT and SIGTERM; Python ends with 1, having said why.
    return None if found in (signal.SIGCONT, signal.SIGTERM) else found


def _ended(host: str, rank: str, by: signal.Signals) -> str:
    if by == signal.SIGALRM:
        return f"MPI did not bring rank {rank}, on {host}, together with the others in {START_S} s."
    # What MPI finds no room for in the memory that processes share is a bus error.
    room = " Is there room in its /dev/shm?" if by == signal.SIGBUS else ""
    return f"Rank {rank}, on {host}, was killed by {by.name}.{room}"


def print_status(seen: RunStatus, console: Console) -> None:
    """Print the status for people."""

    def say(line: str) -> None:
        console.print(harmless(line), markup=False, highlight=False, soft_wrap=True)

    states = ", ".join(f"{seen.count(s)} {s}" for s in STATES if seen.count(s))
    say(f"{seen.name}: {len(seen.jobs)} jobs" + (f" ({states})" if states else ""))
    left = f", about {duration(seen.seconds_left)} left" if seen.seconds_left else ""
    say(f"{seen.cells_done} of {seen.cells} cells done{left}")
    if unbuilt := seen.cells - sum(job.cells for job in seen.jobs):
        say(
            f"{unbuilt} cells are in no job, for want of an artifact: `litesweep collect` and "
            f"`show` say why of {seen.run}"
        )
    open_ = [job for job in seen.jobs if job.state != "done"]
    open_ = sorted(open_, key=lambda job: job.state != "failed")[:MOST_JOBS]
    if open_:
        table = Table("job", "CPU type", "nodes", "cells done", "state", box=None)
        for job in open_:
            done = f"{job.cells_done} of {job.cells}"
            words = (job.job_id or "-", job.cpu_type, str(job.nodes), done, job.state)
            table.add_row(*(Text(harmless(word)) for word in words))
        console.print(table)
    if more := len(seen.jobs) - seen.count("done") - len(open_):
        say(f"and {more} more jobs: litesweep status --json")
    for job in open_:
        if job.reason and job.state in ("failed", "pending"):
            say(f"{job.job_id or job.slice}: {job.reason}")
            if job.log and job.state == "failed":
                say(f"  log: {job.log}")
    warnings = [*dict.fromkeys(warning for job in seen.jobs for warning in job.warnings)]
    for warning in warnings[:MOST_WARNINGS]:
        say(warning)
    if more := len(warnings[MOST_WARNINGS:]):
        say(f"and {more} more warnings: {seen.run}/logs/*/*.warning")
    if seen.scheduler:
        say(f"Slurm was not asked: {seen.scheduler}")
    if seen.count("failed", "waiting"):
        say(f"litesweep resume {shlex.quote(seen.run)}")
