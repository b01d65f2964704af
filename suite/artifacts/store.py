"""The artifact store: one folder an artifact, named by its key, there whole or not at all."""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from suite.atomic import sync
from suite.errors import UserError
from suite.files import read_file
from suite.results.normal import check_types
from suite.results.rows import ArtifactRow
from suite.runtimes.names import ABOUT, LITERT

DESCRIPTION = "artifact.json"
HALF_BUILT = ".building-"
LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Artifact:
    """A built file and what is known of it."""

    path: Path
    row: ArtifactRow
    rough_latency_ns: int
    """One invocation on one thread, seen once while checking: for projections alone."""

    @property
    def key(self) -> str:
        """The content address."""
        return self.row.artifact_key


def store_of(artifact: Path) -> Path:
    """Return the root of the store that the file `artifact` is in."""
    return artifact.parents[2]


class ArtifactStore:
    """Artifacts by key, below one folder that any number of runs may share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def at(cls, root: Path | str | None = None) -> Self:
        """Return the store below `root`; by default the user's.

        That is `$LITESWEEP_STORE`, or `litesweep/artifacts` in the user's folder for caches.

        Raises
        ------
        UserError
            If there is no such folder, as the user has no home.
        """
        if root is None:
            root = os.environ.get("LITESWEEP_STORE") or _cache() / "litesweep" / "artifacts"
        return cls(Path(root).absolute())

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of `key`, if it is there, and whole."""
        folder = self.folder(key)
        try:
            said = json.loads(read_file(folder / DESCRIPTION))
            row = ArtifactRow(**said["row"])
            path = folder / Path(said.get("file", ABOUT[LITERT].file)).name
            rough_latency_ns = int(said["rough_latency_ns"])
            check_types(row)
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            return None  # damaged, or of another release
        if not path.is_file():  # a cache may be cleaned file by file
            return None
        return Artifact(path, row, rough_latency_ns)

    @contextmanager
    def building(
        self,
        key: str,
        give_up: Callable[[], bool] = lambda: False,
        scratch: Path | None = None,
    ) -> Iterator[Path]:
        """Give an empty folder to build `key` in; what is in it when the block ends is kept.

        The block runs in one process at a time: whoever comes second should look with `find`
        first. If it raises, or leaves no description, nothing of it is kept.

        Parameters
        ----------
        give_up
            Asked while another process builds the same: whether to wait no longer.
        scratch
            Where that folder is to be until then, on the same file system.

        Raises
        ------
        UserError
            If the store cannot be written to.
        InterruptedError
            If it was given up.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.locks.mkdir(exist_ok=True)
            self._check_place(key)
            lock = _locked(self.locks / key, give_up)
        except InterruptedError:
            raise
        except OSError as error:
            raise UserError(
                f"The artifact store {str(self.root)!r} cannot be written to: {error.strerror}.",
                "Give another folder with --store, or in $LITESWEEP_STORE.",
            ) from error
        scratch = scratch or self.root / f"{HALF_BUILT}{key}"
        try:
            shutil.rmtree(scratch, ignore_errors=True)  # of a builder that was killed
            scratch.mkdir()
            yield scratch
            self._keep(key, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(lock)

    def _check_place(self, key: str) -> None:
        """Refuse, before an hour goes into it, what another user's folder would not take."""
        parent = self.folder(key).parent
        parent.mkdir(exist_ok=True)
        if not os.access(parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))

    def _keep(self, key: str, scratch: Path) -> None:
        if not (scratch / DESCRIPTION).exists():
            return
        for path in scratch.iterdir():
            sync(path)
        folder = self.folder(key)
        if self.find(key):
            return
        shutil.rmtree(folder, ignore_errors=True)  # what is left of it is not whole
        scratch.rename(folder)
        sync(folder.parent)

    @property
    def locks(self) -> Path:
        """The folder with a file for each key that was ever built, to lock."""
        return self.root / ".locks"

    def folder(self, key: str) -> Path:
        """Return where `key` is kept, whether it is there or not."""
        return self.root / key[:2] / key


def _cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise UserError(
            "This user has no home folder for artifacts to be kept in.",
            "Give another folder with --store, or in $LITESWEEP_STORE.",
        ) from None


def describe(path: Path, row: ArtifactRow, rough_latency_ns: int) -> None:
    """Write an artifact's description beside its file: the last thing that a builder does."""
    said = {"row": asdict(row), "rough_latency_ns": rough_latency_ns, "file": path.name}
    (path.parent / DESCRIPTION).write_text(json.dumps(said, indent=1) + "\n")


def _locked(path: Path, give_up: Callable[[], bool]) -> int:
    """Return the descriptor of the file `path`, locked."""
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            _wait_for(lock, give_up)
            if path.exists() and path.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # it was cleaned away while we waited: the next one holds another file


def _wait_for(lock: int, give_up: Callable[[], bool]) -> None:
    # Not a blocking call: a thread in one cannot be interrupted.
    while True:
        if give_up():
            raise InterruptedError("stopped")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_EVERY_S)
        except OSError:
            return  # a file system without locks: two may build the same, and one is kept
        else:
            return
