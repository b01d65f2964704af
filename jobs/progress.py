"""How far a rank has come, told in a file: for eyes, and for the other ranks of its job."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from suite.files import write_file
from suite.rounds import Progress

TELL_EVERY_S = 10.0
"""On a cluster: a file for each trial of a thousand nodes is much for what serves them."""


class Teller:
    """Tells of progress at once, then not again before `every_s` are over; of the end in any case.

    Parameters
    ----------
    file
        Where to.
    every_s
        How often, at most, in s.
    clock
        In s, for tests.
    """

    def __init__(
        self, file: Path, every_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = file
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
        self._write(Progress(cells, cells, 0, 0, "the shard", 0.0))

    def _write(self, progress: Progress) -> None:
        # Without fsync: the disk's work would fall into the next trial.
        temporary = self._file.with_suffix(".tmp")
        write_file(temporary, json.dumps(asdict(progress)))
        temporary.replace(self._file)
