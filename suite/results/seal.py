"""The seal: a line behind the HDF5 file with the SHA-256 of all that is in front of it.

HDF5 follows pointers that no checksum covers, and one flipped bit there can end the process with a
segmentation fault. So a file's bytes are checked before the library sees them. HDF5 itself does not
look behind the end that the superblock states; a tool that rewrites the file drops the seal.
"""

import hashlib
import os
from pathlib import Path
from typing import IO

MARK = b"\nlitesweep sha256 "
SIZE = len(MARK) + 64 + 1


def seal(file: IO[bytes]) -> None:
    """Put the line behind what is in `file`."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    file.write(MARK + digest.hexdigest().encode() + b"\n")


def is_sealed(content: bytes) -> bool:
    """Say whether `content` has a seal, whatever it says."""
    return content[-SIZE:].startswith(MARK)


def is_broken(content: bytes) -> bool:
    """Say whether `content` has a seal, and not that of the bytes in front of it."""
    if not is_sealed(content):
        return False
    digest = hashlib.sha256(memoryview(content)[:-SIZE]).hexdigest().encode()
    return content[-SIZE:] != MARK + digest + b"\n"


def seal_in(path: Path) -> str:
    """Return the seal of the file `path`, not checked; empty where it has none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SIZE))
        last = file.read()
    return last.decode(errors="replace").strip() if is_sealed(last) else ""
