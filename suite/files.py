"""Files that others have named: in no other folder; opened to be read, never a pipe or a device.

A pipe that has no writer would not let itself be opened, and devices have no end.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from suite.errors import UserError


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
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
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
