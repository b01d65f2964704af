"""Files that others have named or made: in no other folder, never a pipe or a device.

A pipe that has no writer would not let itself be opened, and devices have no end. What is written
goes by no link: one that has come with a stranger's folder leads to a file that is none of it.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from suite.errors import UserError

MOST_READ = 1 << 18
"""Bytes of a log: what has ended a job stands at its end."""
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ELOOP)


def file_name(name: str, whose: str) -> str:
    """Return a name that something calls itself by, as that of a file.

    Parameters
    ----------
    whose
        What it is, as "A node".

    Raises
    ------
    UserError
        If it leads elsewhere.
    """
    if "/" in name or "\0" in name:
        raise UserError(f"{whose} calls itself {name!r}, which cannot be the name of a file.")
    return name


def descriptor_of(path: Path) -> int:
    """Open a file to be read.

    Raises
    ------
    OSError
        If it cannot be, or is no file.
    """
    return _checked(os.open(path, os.O_RDONLY | os.O_NONBLOCK), path)


def _checked(descriptor: int, path: Path) -> int:
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.ENXIO, "it is a pipe or a device, and no file", str(path))


def open_file(path: Path) -> BufferedReader:
    """Open a file as bytes; raise what `descriptor_of` does."""
    return os.fdopen(descriptor_of(path), "rb")


def read_file(path: Path) -> bytes:
    """Return what is in a file; raise what `descriptor_of` does, also if it exceeds the memory."""
    with open_file(path) as file:
        try:
            return file.read()
        except MemoryError:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path)) from None


def read_end(path: Path) -> str:
    """Return the text at the end of a log, `MOST_READ` bytes at most; none where it is no file.

    Raises
    ------
    OSError
        If it is one, and cannot be read.
    """
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_READ))
            return file.read(MOST_READ).decode(errors="replace")
    except OSError as error:
        if error.errno in NO_FILE:
            return ""
        raise


def refuse_link(path: Path, mend: str = "Nothing of a run goes by a link: take it away.") -> None:
    """Raise a UserError if `path` is a link."""
    if path.is_symlink():
        raise UserError(f"{path} is a link to another place.", mend)


def writable(path: Path, flags: int) -> int:
    """Open a file to be written, `flags` among how, and make it if there is none.

    Raises
    ------
    UserError
        If it is a link.
    OSError
        If it cannot be opened, or is no file.
    """
    refuse_link(path)
    how = flags | os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return _checked(os.open(path, how, 0o666), path)


def write_file(path: Path, text: str) -> None:
    """Write a file, not flushed to the disk; raise what `writable` does."""
    with os.fdopen(writable(path, os.O_TRUNC), "w") as file:
        file.write(text)
