"""The seal: a line behind the HDF5 file with the SHA-256 of all that is in front of it.

HDF5 follows pointers that no checksum covers, and one flipped bit there can end the process with a
segmentation fault. So a file's bytes are checked before the library sees them. HDF5 itself does not
look behind the end that the superblock states; a tool that rewrites the file drops the seal.
"""

import hashlib
import os
from pathlib import Path
from typing import IO

from suite.files import open_file

MARK = b"\nlitesweep sha256 "
SIZE = len(MARK) + 64 + 1
PIECE_BYTES = 1 << 20


def seal(file: IO[bytes]) -> None:
    """Put the line behind what is in `file`."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    file.write(MARK + digest.hexdigest().encode() + b"\n")


def holds(file: IO[bytes]) -> bool | None:
    """Say whether the seal of `file` is that of the bytes in front of it; None without a seal."""
    left = _to_seal(file)
    seal = file.read()
    if not seal.startswith(MARK):
        return None
    sha = hashlib.sha256()
    file.seek(0)
    while left > 0 and (piece := file.read(min(left, PIECE_BYTES))):
        sha.update(piece)
        left -= len(piece)
    return seal == MARK + sha.hexdigest().encode() + b"\n"


def seal_in(path: Path) -> str:
    """Return the seal of the file `path`, not checked; empty where it has none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open_file(path) as file:
        _to_seal(file)
        last = file.read()
    return last.decode(errors="replace").strip() if last.startswith(MARK) else ""


def _to_seal(file: IO[bytes]) -> int:
    """Go to where a seal would begin."""
    return file.seek(max(0, file.seek(0, os.SEEK_END) - SIZE))
