"""The seal: a line behind the HDF5 file with the SHA-256 of all that is in front of it.

HDF5 follows pointers that no checksum covers, and one flipped bit there can end the process with a
segmentation fault. So a file's bytes are checked before the library sees them. HDF5 itself does not
look behind the end that the superblock states; a tool that rewrites the file drops the seal.
"""

import hashlib

MARK = b"\nlitesweep sha256 "
SIZE = len(MARK) + 64 + 1


def seal_of(image: bytes | memoryview) -> bytes:
    """Return the line to put behind `image`."""
    return MARK + hashlib.sha256(image).hexdigest().encode() + b"\n"


def is_broken(content: bytes) -> bool:
    """Say whether `content` has a seal, and not that of the bytes in front of it."""
    seal = content[-SIZE:]
    return seal.startswith(MARK) and seal != seal_of(memoryview(content)[:-SIZE])
