"""What a store is for: the runs that need its artifacts, and what nobody needs any more.

A run tells the store what it needs before it builds or takes anything, and what cleans holds the
store meanwhile: nothing that a run has found there is taken away under it.
"""

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from suite.artifacts.store import HALF_BUILT, ArtifactStore
from suite.atomic import write_whole
from suite.errors import UserError
from suite.files import file_name, read_file

KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Need:
    """A run, and what it needs of a store."""

    run_id: str
    folder: Path
    """Of the run, where it was when it last said so."""
    keys: frozenset[str]


@dataclass(frozen=True)
class Leftover:
    """Something that can go."""

    path: Path
    what: str
    bytes: int
    """On the disk."""


def record_need(store: ArtifactStore, need: Need) -> None:
    """Tell `store` what a run needs, beside what it has told before.

    A store that we may not write to is not told: who wants to build there will hear of that.

    Raises
    ------
    OSError
        If there is no room.
    UserError
        If the run's id leads elsewhere.
    """
    try:
        with _held(store, fcntl.LOCK_SH):
            path = _file(store, need.run_id)
            known = _read(path)
            keys = need.keys | (known.keys if known else frozenset())
            if known and known == replace(need, keys=keys):
                return  # who cleans because the disk is full tells what is known already
            said = {"run_id": need.run_id, "folder": str(need.folder), "keys": sorted(keys)}
            write_whole(path, json.dumps(said, indent=1) + "\n")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise


def read_needs(store: ArtifactStore) -> list[Need]:
    """Return what runs have told `store`."""
    return [need for path in sorted(_told(store).glob("*.json")) if (need := _read(path))]


def forget(store: ArtifactStore, run_id: str) -> None:
    """Take back what a run has told `store`."""
    _file(store, run_id).unlink(missing_ok=True)


def unneeded(store: ArtifactStore, needed: Iterable[str]) -> Iterator[Leftover]:
    """Yield what is ours in `store` beside the artifacts `needed`, and what builds have left."""
    needed = {*needed}
    for kind, paths in (
        ("artifacts that no run needs", store.root.glob("??/*")),
        ("half-built artifacts", store.root.glob(f"{HALF_BUILT}*")),
        ("locks", store.locks.glob("*")),
    ):
        for path in sorted(paths):
            key = _key(path)
            if not KEY.fullmatch(key) or (path == store.folder(key) and key in needed):
                continue
            with suppress(FileNotFoundError):  # a builder has just ended
                if path.stat().st_uid == os.geteuid() and not _is_locked(store.locks / key):
                    yield Leftover(path, kind, disk_bytes(path))


@contextmanager
def cleaning(store: ArtifactStore) -> Iterator[None]:
    """Keep runs from telling `store` what they need until the block ends.

    Raises
    ------
    UserError
        If that cannot be done here.
    """
    try:
        with _held(store, fcntl.LOCK_EX, needs_locks=True):
            yield
    except OSError as error:
        raise UserError(
            f"The artifact store {str(store.root)!r} cannot be cleaned: {error.strerror}."
        ) from error


def remove(store: ArtifactStore, leftover: Leftover) -> bool:
    """Remove what `unneeded` has found, unless somebody builds it now; say whether it is gone."""
    key = _key(leftover.path)
    half_built = store.root / f"{HALF_BUILT}{key}"
    store.locks.mkdir(exist_ok=True)
    with (store.locks / key).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(half_built, ignore_errors=True)
        if leftover.path == store.folder(key):
            leftover.path.rename(half_built)  # gone before anything in it is
            shutil.rmtree(half_built)
        (store.locks / key).unlink()  # who waits for it makes another
    return True


def disk_bytes(path: Path) -> int:
    """Return the room that a file or a folder takes on the disk."""
    parts = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(part.lstat().st_blocks * 512 for part in parts)


def _key(path: Path) -> str:
    return path.name.removeprefix(HALF_BUILT)


def _is_locked(lock: Path) -> bool:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _told(store: ArtifactStore) -> Path:
    return store.root / ".runs"


def _file(store: ArtifactStore, run_id: str) -> Path:
    """Return where stands what a run needs.

    Raises
    ------
    UserError
        If the run's id leads elsewhere.
    """
    return _told(store) / f"{file_name(run_id, 'A run')}.json"


def _read(path: Path) -> Need | None:
    try:
        said = json.loads(read_file(path))
        need = Need(said["run_id"], Path(said["folder"]), frozenset(said["keys"]))
        return need if path.name == f"{need.run_id}.json" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _held(store: ArtifactStore, how: int, needs_locks: bool = False) -> Iterator[None]:
    _told(store).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(_told(store) / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        with suppress(*() if needs_locks else (OSError,)):  # a file system without locks
            fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
