"""Where jobs run: submitit's executors, and how each is kept from surprising the user."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError

from jobs.run_folder import RunFolder, check_ours
from jobs.worker import Outcome, measure_slice
from suite.files import writable

ExecutorName = Literal["debug", "local"]
EXECUTORS: tuple[str, ...] = get_args(ExecutorName)

NO_LIMIT_MIN = 60 * 24 * 365
"""submitit's local executor ends a job after 5 minutes unless told otherwise; the budget rules."""
POLL_S = 0.5
PATIENCE_S = 5.0


def run_job(folder: RunFolder, index: int, executor: ExecutorName) -> Outcome:
    """Submit the job of a slice, wait for its end and return how it ended.

    `debug` runs it in this process, `local` in one of its own; trials have processes of their own
    under both.
    """
    check_ours(folder)
    submitter = submitit.AutoExecutor(folder=folder.logs / "submitit", cluster=executor)
    submitter.update_parameters(name="litesweep", timeout_min=NO_LIMIT_MIN)
    quiet = _stderr_in(folder.logs / "executor.log") if executor == "local" else nullcontext()
    with quiet:
        job = submitter.submit(measure_slice, str(folder.path), index, os.getpid())
    try:
        while not job.done():
            time.sleep(POLL_S)
    except BaseException:
        _end(job)
        raise
    try:
        outcome: Outcome = job.result()
    except (FailedJobError, UncompletedJobError) as error:
        return Outcome(fault=str(error))
    return outcome


@contextmanager
def _stderr_in(log: Path) -> Iterator[None]:
    """Give what is started in the block `log` for its standard error.

    submitit's local executor hands ours to the process that watches over the job, and Ctrl-C would
    have that one print a traceback in the user's face.
    """
    ours, theirs = os.dup(2), writable(log, os.O_APPEND)
    os.dup2(theirs, 2)
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
        os.close(theirs)


def _end(job: Any) -> None:
    """End a job that is in a process of its own, and wait until it has."""
    if isinstance(job, submitit.DebugJob):
        return
    # Ctrl-C in a terminal has reached the job too. A second signal would cut its cleaning up short,
    # so it gets one only if it goes on.
    for signalled in (False, True):
        if signalled:
            job.cancel()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if job.done():
                return
            time.sleep(0.05)
