"""What was submitted for a run: a line before sbatch is called, one with the jobs' ids after.

And one of the jobs that the user has ended.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from jobs.run_folder import RunFolder
from suite.errors import UserError
from suite.files import read_file, writable

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """One call of sbatch."""

    name: str
    """Of the jobs; no other submission has it."""
    at: str
    """ISO 8601 without a zone: the cluster's own, as sacct takes it."""
    slices: tuple[int, ...]
    """What each job measures."""
    job_ids: tuple[str, ...] = ()
    """In the same order; empty if sbatch refused, or we died before it answered."""
    refused: bool = False
    cancelled: tuple[str, ...] = ()
    """Jobs that we have ended. The accounting knows nothing of one that had not started."""

    def job_id(self, index: int) -> str:
        """Return the id of the job of a slice, "" if it is not known."""
        return self._job_ids.get(index, "")

    @cached_property
    def _arrays(self) -> set[str]:
        return {job_id.partition("_")[0] for job_id in self.job_ids}

    @cached_property
    def _job_ids(self) -> dict[int, str]:
        return dict(zip(self.slices, self.job_ids, strict=False))

    def has(self, job_id: str) -> bool:
        """Say whether a job of this name is of this submission, and not of a copy of the run."""
        array, _, element = job_id.partition("_")
        return int(element or 0) < len(self.slices) and array in (self._arrays or {array})

    def slice_of(self, job_id: str) -> int:
        """Return the slice that a job of this name measures."""
        # Elements of an array are in the order of the slices; a single job has no element.
        return self.slices[int(job_id.partition("_")[2] or 0)]


def read_sent(folder: RunFolder) -> list[Sent]:
    """Return all submissions of a run, the oldest first.

    Raises
    ------
    UserError
        If the file has something else in it.
    """
    if not folder.sent_file.exists():
        return []
    found: dict[str, Sent] = {}
    for line in read_file(folder.sent_file).decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):  # a line that a full disk or a kill has cut off
            continue
        try:
            _take(found, said)
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{str(folder.sent_file)!r} has a line that is none of litesweep's: {line[:60]!r}."
            ) from error
    return list(found.values())


def _take(found: dict[str, Sent], said: Any) -> None:
    """Add what a line says to what those before it have said."""
    (name,) = _all(str, [said["name"]])
    if "slices" in said:
        datetime.fromisoformat(said["at"])
        found[name] = Sent(name, said["at"], _all(int, said["slices"]))
    elif "cancelled" in said:
        cancelled = (*found[name].cancelled, *_all(str, said["cancelled"]))
        found[name] = replace(found[name], cancelled=cancelled)
    else:
        job_ids = _all(str, said["job_ids"])
        if job_ids and len(job_ids) != len(found[name].slices):
            raise ValueError("not as many jobs as slices")
        found[name] = replace(found[name], job_ids=job_ids, refused=not job_ids)


def _all(kind: type[T], values: Iterable[Any]) -> tuple[T, ...]:
    """Return values that must all be of one type."""
    taken = tuple(values)
    if not all(isinstance(value, kind) for value in taken):
        raise TypeError(f"{kind.__name__} is wanted")
    return taken


def record_intent(folder: RunFolder, name: str, slices: Sequence[int]) -> None:
    """Record that jobs of `name` are about to be submitted."""
    at = datetime.now().strftime("%Y-%m-%dT%H:%M:%S")
    _append(folder, {"name": name, "at": at, "slices": list(slices)})


def record_answer(folder: RunFolder, name: str, job_ids: Sequence[str]) -> None:
    """Record their ids; none if they were refused."""
    _append(folder, {"name": name, "job_ids": list(job_ids)})


def record_cancel(folder: RunFolder, name: str, job_ids: Sequence[str]) -> None:
    """Record that jobs of `name` are about to be ended."""
    _append(folder, {"name": name, "cancelled": list(job_ids)})


def _append(folder: RunFolder, record: dict[str, object]) -> None:
    with os.fdopen(writable(folder.sent_file, os.O_APPEND), "a") as file:
        # In front: a line that was cut off must not swallow this one.
        file.write(("\n" if file.tell() else "") + json.dumps(record))
        file.flush()
        os.fsync(file.fileno())
