"""What the memory of the timed process holds, as the kernel tells it.

For the timed process itself: it imports nothing more, and is called outside of all that is timed.
"""

import os
from collections.abc import Iterable, Sequence

NAN = float("nan")


def peak_rss_bytes() -> int:
    """Return the most memory that this program was resident in.

    Not `ru_maxrss`: over fork and exec that one starts at the parent's size.
    """
    return _status_bytes("VmHWM")


def rss_bytes() -> int:
    """Return the memory that this process is resident in now."""
    return _status_bytes("VmRSS")


def mapped_file(path: str) -> tuple[list[range], float]:
    """Return where this process has mapped a file, and how much of that is resident.

    Returns
    -------
    places, resident_bytes
        NaN where the file is not mapped: a runtime may have read it into memory of its own.
    """
    return find_mapped(_read("/proc/self/smaps"), os.path.realpath(path))


def find_mapped(smaps: str, path: str) -> tuple[list[range], float]:
    """Do the same for the text of a /proc/PID/smaps, and a path without links."""
    named = path.replace("\n", "\\012")
    places: list[range] = []
    resident, ours = 0, False
    for line in smaps.splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            # address, permissions, offset, device, inode, and the path, which may have blanks
            fields = rest.split(maxsplit=4)
            ours = fields[4:] == [named]
            if ours:
                begin, end = (int(address, 16) for address in first.split("-"))
                places.append(range(begin, end))
        elif ours and first == "Rss:":
            resident += int(rest.split()[0]) * 1024
    return places, resident if places else NAN


def arena_bytes(tensors: Sequence[range] | None, weights: Iterable[range]) -> float:
    """Return how much memory tensors take that are not in the model's file.

    The runtime lays tensors that are not needed at one time over each other: a byte counts once.

    Parameters
    ----------
    tensors
        The addresses of all tensors; None, for NaN, where not all are known.
    weights
        Where the model's file is mapped.
    """
    if tensors is None:
        return NAN
    files = list(weights)
    total = end = 0
    for tensor in sorted(tensors, key=lambda at: at.start):
        if not any(tensor.start in file for file in files):
            total += max(0, tensor.stop - max(end, tensor.start))
            end = max(end, tensor.stop)
    return float(total)


def _status_bytes(name: str) -> int:
    lines = _read("/proc/self/status").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024


def _read(path: str) -> str:
    with open(path) as file:  # noqa: PTH123  (pathlib would be an import more)
        return file.read()
