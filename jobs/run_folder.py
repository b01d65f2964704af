"""A run's folder: what lies where, and whose it is."""

import fcntl
import json
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from jobs.provenance import provenance
from suite.atomic import write_whole
from suite.errors import UserError, no_locks
from suite.files import file_name, read_file, refuse_link
from suite.sweep import Sweep


class BusyError(UserError):
    """Another process has the run."""


@dataclass(frozen=True)
class RunFolder:
    """A submitted sweep's folder.

    ::

        sweep.toml     the sweep verbatim
        run.json       which run this is, and where it comes from
        plan.json      cells, artifacts and slices, once the artifacts are built
        site.json      the cluster that it was submitted to
        sent.jsonl     what was submitted to it
        journals/      by job, each node's finished trials, as they finish
        shards/        a job's results, once it has ended well
        logs/          of builders and jobs, and how far they have come
        results.h5     everything together
    """

    path: Path

    @property
    def owner(self) -> int:
        """The user id whose folder it is, and whose the run's jobs are: see `check_ours`."""
        return self.path.stat().st_uid

    @property
    def sweep_file(self) -> Path:
        return self.path / "sweep.toml"

    @property
    def identity_file(self) -> Path:
        return self.path / "run.json"

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def site_file(self) -> Path:
        return self.path / "site.json"

    @property
    def sent_file(self) -> Path:
        return self.path / "sent.jsonl"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def results_file(self) -> Path:
        return self.path / "results.h5"

    @property
    def collected_file(self) -> Path:
        """Where stands what `results_file` was made of."""
        return self.path / ".collected"

    def journal(self, index: int, host: str) -> Path:
        """Return where the node `host` records its trials of the slice number `index`.

        Raises
        ------
        UserError
            If the host's name leads elsewhere.
        """
        name = f"{file_name(host, 'A node')}.journal"
        return self.path / "journals" / f"job-{index:05d}" / name

    def journal_hosts(self, index: int) -> list[str]:
        """Return the nodes that have begun to measure the slice, sorted."""
        return sorted(path.stem for path in self.journal(index, "x").parent.glob("*.journal"))

    def shard(self, index: int) -> Path:
        """Return where the slice's results go once all of it is measured."""
        return self.path / "shards" / f"job-{index:05d}.h5"

    def shard_journals(self, index: int) -> Path:
        """Return where stands of which journals, and how much of each, the shard was made."""
        return self.path / "shards" / f"job-{index:05d}.journals"

    def job_logs(self, index: int) -> Path:
        """Return the folder in which the nodes of a job tell of themselves."""
        return self.logs / f"job-{index:05d}"

    def progress(self, index: int, host: str) -> Path:
        """Return where the node `host` tells how far it has come."""
        return self.job_logs(index) / f"{host}.json"

    def word(self, index: int, host: str) -> Path:
        """Return where the node `host` says why it ended before its time."""
        return self.job_logs(index) / f"{host}.txt"

    def warning(self, index: int, host: str) -> Path:
        """Return where the node `host` says what is wrong with its trials."""
        return self.job_logs(index) / f"{host}.warning"

    def unprofiled(self, index: int, host: str) -> Path:
        """Return where the node `host` says which cells it could not profile: a warning, too."""
        return self.job_logs(index) / f"{host}.profile.warning"

    def unstaged(self, index: int, host: str) -> Path:
        """Return where the node `host` says why it has no artifacts of its own: a warning, too."""
        return self.job_logs(index) / f"{host}.stage.warning"

    def identity(self) -> dict[str, str]:
        """Return the run's provenance: `run_id`, `sweep_hash`, versions and so on.

        Raises
        ------
        UserError
            If the file holds something else.
        """
        try:
            identity: dict[str, str] = json.loads(read_file(self.identity_file))
            if not all(isinstance(identity[name], str) for name in ("run_id", "name", *identity)):
                raise TypeError("an entry that is no text")
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(
                f"{str(self.identity_file)!r} is damaged, or of another release of litesweep.",
                "Choose another folder with --out.",
            ) from error
        return identity


def default_folder(sweep: Sweep) -> Path:
    """Return where a sweep's run goes unless told otherwise."""
    return Path("runs") / f"{sweep.name}-{sweep.sweep_hash}"


@contextmanager
def open_run(path: Path, sweep: Sweep) -> Iterator[RunFolder]:
    """Create the run folder of `sweep`, or take up the one that is there; it is ours in the block.

    A folder that was created here and has no plan when the block fails is removed again.

    Raises
    ------
    UserError
        If `path` holds something else, another sweep's run, or one that is being run now.
    """
    folder = RunFolder(path.absolute())
    missing = [part for part in (folder.path, *folder.path.parents) if not part.exists()]
    if not missing:
        _check_owner(folder, sweep)
    _check_links(folder)
    for sub in ("journals", "shards", "logs"):
        (folder.path / sub).mkdir(parents=True, exist_ok=True)
    with held(folder):
        try:
            check_ours(folder)  # before an hour goes into its artifacts
            if not folder.identity_file.exists():
                write_whole(folder.sweep_file, sweep.text)
                identity = {"run_id": token_hex(8), **provenance(sweep)}
                write_whole(folder.identity_file, json.dumps(identity, indent=1) + "\n")
            yield folder
        except BaseException:
            if missing and not folder.plan_file.exists():
                shutil.rmtree(folder.path, ignore_errors=True)
                with suppress(OSError):  # a parent that others have put something in stays
                    for part in missing[1:]:
                        part.rmdir()
            raise


@contextmanager
def take_up(path: Path) -> Iterator[RunFolder]:
    """Give a run that was submitted; it is ours in the block.

    Raises
    ------
    UserError
        If `path` holds none, or another process has it.
    """
    folder = submitted(path)
    _check_links(folder)
    folder.identity()  # nothing is sent for a run that cannot be named
    with held(folder):
        yield folder


def submitted(path: Path) -> RunFolder:
    """Return the folder of a run that was submitted to a cluster.

    Raises
    ------
    UserError
        If it is none.
    """
    folder = RunFolder(path.absolute())
    if not (folder.plan_file.exists() and folder.site_file.exists()):
        raise UserError(
            f"{path} is no run that was submitted to a cluster.",
            "Give the folder that `litesweep submit` has printed.",
        )
    return folder


def check_ours(folder: RunFolder) -> None:
    """Refuse to run what lies in a folder that others may have written in.

    submitit's pickles are there, and to read a pickle is to run what it says.

    Raises
    ------
    UserError
        If the folder, or one of those with pickles in it, is not the user's own.
    """
    for path in (folder.path, folder.logs, folder.logs / "slurm", folder.logs / "submitit"):
        if not path.exists():
            continue
        seen = path.stat()
        if seen.st_uid != os.geteuid() or seen.st_mode & stat.S_IWOTH:
            mend = "Take a copy that is, or choose another folder with --out."
            whose = "another user's"
            if seen.st_uid == os.geteuid():
                whose = "everybody may write in it"
                command = f"chmod -R o-w {shlex.quote(str(folder.path))}"
                mend = f"`{command}`, and `umask 022` before folders are made."
            raise UserError(f"{path} is not yours alone ({whose}): nothing in it is run.", mend)


def _check_links(folder: RunFolder) -> None:
    for sub in ("journals", "shards", "logs", "logs/build", "logs/slurm", "logs/submitit"):
        refuse_link(folder.path / sub)


def _check_owner(folder: RunFolder, sweep: Sweep) -> None:
    path = folder.path
    if not path.is_dir():
        raise UserError(f"{path} is a file, not a folder.", "Choose another one with --out.")
    if not folder.identity_file.exists():
        # Empty, or left behind by a run that was killed before it had an identity.
        if {entry.name for entry in path.iterdir()} - {"journals", "shards", "logs", ".lock"}:
            raise UserError(
                f"{path} is not empty and is no run of litesweep.", "Choose another one with --out."
            )
        return
    theirs = folder.identity().get("sweep_hash")
    if theirs != sweep.sweep_hash:
        raise UserError(
            f"{path} belongs to another sweep ({theirs}; this one is {sweep.sweep_hash}).",
            "Choose another folder with --out, or leave --out away for one of its own.",
        )


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Keep a run to ourselves in the block.

    Raises
    ------
    BusyError
        If another process has it.
    """
    # Not by a link: one that came with a stranger's run would make a file elsewhere.
    how = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW
    descriptor = os.open(folder.path / ".lock", how, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{folder.path} is being run by another process now.",
                "Wait for it to end, or choose another folder with --out.",
            ) from None
        except OSError as error:
            raise no_locks(folder.path, error) from error
        yield
    finally:
        os.close(descriptor)
