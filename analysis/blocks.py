"""A file's samples, some cells at a time, within a bound of memory."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.segments import Array, Floats, Ints, Segments
from suite.errors import UserError
from suite.results.stored import Stored

VARIABLE = "LITESWEEP_MEMORY"
MEBI = 2**20
UNITS = {"MiB": MEBI, "GiB": 2**30}
USUAL_BYTES = 512 * MEBI
LEAST_BYTES = 32 * MEBI
SHARE = 0.5
"""Of the memory that samples may take; tables of cells and trials take the rest."""
BYTES_A_SAMPLE = 48
"""That a block takes at most: as it was read, sorted by trial and by node, and what numpy works
in."""
MOST_WORKERS = 4
NARROW = np.dtype("u4")
"""Below 4 s the half of each number is enough, and is sorted in less than half the time."""


def memory_bytes(asked: int | None = None) -> int:
    """Return what may be held at once: as asked for, or as the environment says, or 512 MiB.

    Raises
    ------
    UserError
        If it is no amount, or too little.
    """
    said = os.environ.get(VARIABLE, "")
    if asked is None and said:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MiB|GiB)", said.strip())
        if not match:
            raise UserError(f"{VARIABLE} is {said!r}.", "Give an amount, as 512 MiB or 2 GiB.")
        asked = int(float(match[1]) * UNITS[match[2]])
    if asked is None:
        return USUAL_BYTES
    if asked < LEAST_BYTES:
        raise UserError(
            f"{asked / MEBI:.3g} MiB of memory are too little.",
            f"{LEAST_BYTES // MEBI} MiB will do.",
        )
    return asked


@dataclass(frozen=True, eq=False)
class Trials:
    """What is known of trials before their samples are read; arrays along trial, by cell."""

    cell: Ints
    node: Ints
    round: Ints
    loops: Ints
    """Invocations in each sample."""
    rate_ns: Floats
    """The time for each invocation where the rate counts; NaN where the latency does."""
    kept: Segments
    """Where in the file the samples after the warm-up are."""
    ran: npt.NDArray[np.bool_]
    """Whether it ran to its end."""

    @classmethod
    def of(cls, stored: Stored) -> "Trials":
        """Read them."""
        rows = Segments.end_to_end(stored["row_size"])
        cut = np.clip(stored["warmup_count"], 0, rows.sizes)
        counted_ns = stored["counted_ns"]
        cell = stored["cell_index"]
        built = np.array(stored["build_error"] == b"")
        return cls(
            cell.astype(np.int64),
            stored["node_index"].astype(np.int64),
            stored["round"].astype(np.int64),
            stored["inner_loops"].astype(np.int64),
            np.where((counted_ns > 0) & (counted_ns < np.inf), counted_ns, np.nan),
            Segments(rows.starts + cut, rows.sizes - cut),
            (stored["status"] == b"ok") & (cell >= 0) & built[cell],
        )


Work = Callable[[Array, int, Ints], None]
"""What is done with the samples of a block: they, where in the file they begin, and the trials that
ran of its cells."""


def for_each_block(
    stored: Stored, trials: Trials, cells: npt.NDArray[np.bool_], memory: int, work: Work
) -> None:
    """Read the samples of some cells a block at a time, and work on several blocks at once.

    A block is of whole cells, one at least. What is at hand at any time takes `memory` bytes at
    most, unless a single cell takes more.
    """
    workers = min(MOST_WORKERS, processors())
    most = max(1, int(memory * SHARE / workers / BYTES_A_SAMPLE))
    one_at_a_time = threading.Lock()
    with stored.opened() as read, ThreadPoolExecutor(workers) as pool:

        def do(block: Ints) -> None:
            first = int(trials.kept.starts[block].min())
            last = int((trials.kept.starts[block] + trials.kept.sizes[block]).max())
            with one_at_a_time:
                samples = read("latency_ns", first, last, NARROW)
                if samples.max(initial=0) == np.iinfo(NARROW).max:  # that, or more
                    samples = read("latency_ns", first, last)
            work(samples, first, block)

        for _ in pool.map(do, _blocks(trials, cells, most)):
            pass


def _blocks(trials: Trials, cells: npt.NDArray[np.bool_], most: int) -> Iterator[Ints]:
    """Yield the trials that ran of so many of `cells` as have no more than `most` samples."""
    chosen = np.flatnonzero(trials.ran & cells[trials.cell])
    if not len(chosen):
        return
    # From the first of a cell's trials to the last; what lies between two cells is read too.
    firsts = np.flatnonzero(np.diff(trials.cell[chosen], prepend=-1))
    lasts = np.append(firsts[1:], len(chosen)) - 1
    begins = trials.kept.starts[chosen[firsts]]
    ends = trials.kept.starts[chosen[lasts]] + trials.kept.sizes[chosen[lasts]]
    place = 0
    while place < len(firsts):
        after = max(place + 1, int(np.searchsorted(ends, begins[place] + most, side="right")))
        yield chosen[firsts[place] : lasts[after - 1] + 1]
        place = after


def processors() -> int:
    """Return how many processors are granted to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
