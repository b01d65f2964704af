"""What HDF5 lets a file do, and a file of results has no use for.

Its digest and its seal can be taken by anybody: they do not tell whether it leads to other files of
the disk, or claims to hold more than there is memory.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py

MOST_UNPACKED = 1100
"""Bytes that a byte of a file may unpack to: zlib has a limit of 1032."""
FILTERS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32}
CLASSES = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING}


def is_survived(path: Path) -> bool:
    """Say whether a process that reads the file `path` as we would comes to its own end.

    What has lost its seal may be damaged in a way that crashes the HDF5 library.
    """
    command = [sys.executable, "-m", "suite.results.stored", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode >= 0


def names_in(group: Any) -> frozenset[bytes]:
    """Return the names in a group that do not lead elsewhere, in this file or another."""
    found: list[bytes] = []

    def take(name: bytes, info: Any) -> None:
        if info.type == h5py.h5l.TYPE_HARD:
            found.append(name)

    group.links.iterate(take, info=True)
    return frozenset(found)


def check_storage(dataset: Any) -> None:
    """Refuse a dataset that is in another file, or packed in another way than results are.

    Raises
    ------
    ValueError
        If it is.
    """
    if dataset.get_offset() is not None:
        return  # it lies in one piece at one place of this file: the rest takes time to ask
    made = dataset.get_create_plist()
    filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    if made.get_layout() == h5py.h5d.VIRTUAL or made.get_external_count():
        raise ValueError("some of it is in another file")
    if {*filters} - FILTERS or len({*filters}) < len(filters):
        raise ValueError("some of it is packed in another way than results are")


def check_kind(kind: Any) -> None:
    """Refuse what is neither numbers nor text of a fixed length.

    Raises
    ------
    ValueError
        If it is something else.
    """
    text = isinstance(kind, h5py.h5t.TypeStringID)
    if kind.get_class() not in CLASSES or (text and kind.is_variable_str()):
        raise ValueError("some of it is neither numbers nor text of a fixed length")
