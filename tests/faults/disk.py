"""A disk that goes wrong: a layer between Python and the files below a folder.

Python's own `_pyio` stands in for the files that are written in C, so that every call that reads or
changes one goes through `os`, where it is counted and may be made to fail.
"""

import _pyio
import builtins
import errno
import io
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

CALLS = (
    *("open", "read", "write", "ftruncate", "fsync", "utime"),
    *("mkdir", "rmdir", "rename", "replace", "unlink"),
)

Act = Callable[[int, str], int | None]
"""Called with the number of a call and its name before it is done; what it raises is the fault. It
may return how many bytes a write is to take."""


def well(number: int, name: str) -> None:
    """Do nothing."""


def failing(code: int, at: int, *, for_good: bool) -> Act:
    """Let the call number `at` fail, and those after it."""

    def act(number: int, name: str) -> None:
        if number == at or (for_good and number > at):
            raise OSError(code, os.strerror(code))

    return act


def full(at: int) -> Act:
    """Have no room from the call number `at` on: what is half written then is cut off."""

    def act(number: int, name: str) -> int | None:
        if number < at or name in ("read", "unlink", "rmdir", "ftruncate", "fsync"):
            return None
        if number == at and name == "write":
            return 7
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return act


def deadly(at: int) -> Act:
    """Kill this process in front of the call number `at`."""

    def act(number: int, name: str) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def slow(seconds: float) -> Act:
    """Let each call take so long."""
    return lambda number, name: time.sleep(seconds)


def moments(names: Sequence[str], short: bool) -> list[int]:
    """Choose calls to go wrong at, by the names of all that were made.

    HDF5 writes a file in hundreds of small pieces: of a row of writes the first, and then each
    sixteenth. In short, a few of all.
    """
    chosen = [
        number
        for number, name in enumerate(names, 1)
        if name != "write" or number % 16 == 0 or names[number - 2] != "write"
    ]
    return chosen[:: len(chosen) // 8] if short else chosen


class Disk:
    """What was done on the disk, and what of it a power cut could undo."""

    def __init__(self, below: Path, act: Act) -> None:
        self.names: list[str] = []
        """Of the calls so far."""
        self.new_files = 0
        self.unflushed: set[str] = set()
        """Files and folders whose content is not on the disk yet."""
        self.early: list[str] = []
        """Files that have taken their name before their content was flushed."""
        self._below = f"{below.resolve()}/"
        self._act = act

    def around(self, name: str, real: Any) -> Any:
        """Return the function of `os` with the layer around it."""

        def call(target: Any, *arguments: Any, **options: Any) -> Any:
            path = _path(target, options.get("dir_fd") or options.get("src_dir_fd"))
            if not f"{path}/".startswith(self._below):
                return real(target, *arguments, **options)
            self.names.append(name)
            taken = self._act(len(self.names), name)
            if taken is not None and name == "write":
                arguments = (bytes(arguments[0])[:taken],)
            is_new = not os.path.lexists(path)
            result = real(target, *arguments, **options)
            self._note(name, path, is_new, *arguments)
            return result

        return call

    def _note(self, name: str, path: str, is_new: bool, *arguments: Any) -> None:
        if path.endswith(" (deleted)"):  # it has no name, and is nobody's once it is closed
            return
        if name in ("write", "ftruncate"):
            self.unflushed.add(path)
        elif name == "fsync":
            self.unflushed.discard(path)
        elif name == "mkdir" or (name == "open" and is_new):
            self.unflushed.add(os.path.dirname(path))  # noqa: PTH120
            self.new_files += name == "open"
        elif name == "unlink":
            self.unflushed.discard(path)
        elif name in ("rename", "replace"):
            if path in self.unflushed:
                self.unflushed.discard(path)
                self.early.append(path)
            self.unflushed.add(os.path.dirname(os.path.abspath(arguments[0])))  # noqa: PTH100, PTH120


def _path(target: Any, folder: int | None) -> str:
    if isinstance(target, int):
        return os.readlink(f"/proc/self/fd/{target}")  # noqa: PTH115
    if folder is not None:
        return os.path.join(_path(folder, None), os.fsdecode(target))  # noqa: PTH118
    return os.path.abspath(os.fsdecode(target))  # noqa: PTH100


@contextmanager
def disk(below: Path, act: Act = well) -> Iterator[Disk]:
    """Put the layer between this process and the files below a folder."""
    layer = Disk(below, act)
    with patch.multiple(os, **{name: layer.around(name, getattr(os, name)) for name in CALLS}):  # noqa: SIM117
        with patch.object(io, "open", _pyio.open), patch.object(builtins, "open", _pyio.open):
            yield layer
