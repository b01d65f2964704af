"""Artifacts on storage of the node's own: copied once when a job begins, gone when it ends."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from jobs.plan import PlannedArtifact
from suite.files import write_file

PREFIX = "litesweep-staged-"
PIECE_BYTES = 4 * 2**20


@contextmanager
def staged(
    artifacts: Mapping[str, PlannedArtifact], where: str, failure: Path
) -> Iterator[Mapping[str, PlannedArtifact]]:
    """Give the same artifacts, in files of the node's own while the block lasts.

    Each is read once, and held against its SHA-256 meanwhile. One that is another file than was
    built stays where it is: who takes trials of it says so.

    Parameters
    ----------
    artifacts
        By `cell_id`.
    where
        The folder for them, its environment variables not yet filled in. Empty: none is copied.
    failure
        Written if they cannot be copied, and why; they are then given where they are.
    """
    failure.unlink(missing_ok=True)
    with ExitStack() as stack:
        copies: dict[Path, Path] = {}
        if where and artifacts:
            try:
                copies = _copied(stack, artifacts, where)
            except OSError as error:
                stack.close()
                write_file(
                    failure,
                    f"Artifacts could not be staged in {where}: {error.strerror}. "
                    "Trials read them from the shared store.",
                )
        yield {
            cell_id: replace(artifact, path=copies.get(artifact.path, artifact.path))
            for cell_id, artifact in artifacts.items()
        }


def free_bytes(where: str) -> int:
    """Return the room in the folder that `where` means on this node.

    Raises
    ------
    OSError
        If it is not there, or may not be written to.
    """
    return shutil.disk_usage(_local_folder(where)).free


def _local_folder(where: str) -> Path:
    """Return the folder that `where` means on this node.

    Raises
    ------
    OSError
        If it is not there, or may not be written to.
    """
    name, _, rest = where.partition("/")
    told = os.environ.get(name.removeprefix("$"), "") if name else "/"
    if not told:
        raise OSError(errno.ENOENT, f"{name} is not set on the node")
    path = Path(told, rest)
    if not os.access(path, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "it is not there, or may not be written to")
    return path


def _copied(
    stack: ExitStack, artifacts: Mapping[str, PlannedArtifact], where: str
) -> dict[Path, Path]:
    """Return where each artifact's file has been copied to, until `stack` is closed."""
    parent = _local_folder(where)
    _remove_orphans(parent)
    planned = {artifact.path: artifact.row.artifact_sha256 for artifact in artifacts.values()}
    bytes_wanted = sum(path.stat().st_size for path in planned)
    if free_bytes(where) < bytes_wanted:  # others need what is left of it, too
        raise OSError(errno.ENOSPC, f"there is no room for {bytes_wanted / 1e6:.3g} MB")
    folder = _own_folder(stack, parent)
    copies = {}
    for number, (path, sha256) in enumerate(planned.items()):
        copy = folder / str(number) / path.name
        copy.parent.mkdir()
        if _copy(path, copy) == sha256:
            copies[path] = copy
    return copies


def _copy(path: Path, copy: Path) -> str:
    """Copy a file; return the SHA-256 of what was read."""
    sha256 = hashlib.sha256()
    with path.open("rb", buffering=0) as source, copy.open("xb") as target:
        while piece := source.read(PIECE_BYTES):
            sha256.update(piece)
            target.write(piece)
    return sha256.hexdigest()


def _own_folder(stack: ExitStack, parent: Path) -> Path:
    """Make a folder that nobody else removes while this process lives; `stack` removes it."""
    while True:
        folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with suppress(FileNotFoundError):  # taken for an orphan before it was locked
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder


def _remove_orphans(parent: Path) -> None:
    """Remove what our jobs have left here that were killed: a lock goes with its process."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, or in use
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(lock)
