"""How far a rank has come, told in a file: for eyes, and for the other ranks of its job."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from suite.atomic import write_whole
from suite.files import write_file
from suite.rounds import Progress

TELL_EVERY_S = 10.0
"""On a cluster: a file for each trial of a thousand nodes is much for what serves them."""
THE_END = "the shard"
"""What a node is at that has nothing left to measure."""


class Teller:
    """Tells of progress at once, then not again before `every_s` are over; of the end in any case.

    Parameters
    ----------
    file
        Where to.
    cells
        The `cell_id`s of the slice.
    mine
        Those of them that this node measures, or has finished before.
    every_s
        How often, at most, in s.
    clock
        In s, for tests.
    """

    def __init__(
        self,
        file: Path,
        cells: Sequence[str],
        mine: Collection[str],
        every_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._cells = cells
        self._mine = mine
        self._every_s = every_s
        self._clock = clock
        self._next_s = float("-inf")

    def tell(self, progress: Progress) -> None:
        """Tell of `progress`, if it is time to."""
        now_s = self._clock()
        if now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            self._write(progress)

    def tell_the_end(self, cells: int) -> None:
        """Tell that nothing is left to measure of so many cells."""
        self._write(Progress(cells, (), 0, 0, THE_END, 0.0))

    def _write(self, progress: Progress) -> None:
        # Without fsync: the disk's work would fall into the next trial.
        temporary = self._file.with_suffix(".tmp")
        finished = {*self._mine} - {*progress.left}
        write_file(temporary, _spelled(progress, self._cells, finished))
        temporary.replace(self._file)


def tell_of_the_dead(file: Path, cells: Sequence[str], finished: Collection[str]) -> None:
    """Tell what a node has finished that measures no more, and may not have told of its last."""
    write_whole(file, _spelled(Progress(0, (), 0, 0, THE_END, 0.0), cells, finished))


def _spelled(progress: Progress, cells: Sequence[str], finished: Collection[str]) -> str:
    return json.dumps(
        {
            **{name: value for name, value in vars(progress).items() if name != "left"},
            "cells_done": progress.cells - len(progress.left),
            # Of the slice, and in jobs before too: this one may have a part of it.
            "finished": "".join("01"[cell_id in finished] for cell_id in cells),
        }
    )
