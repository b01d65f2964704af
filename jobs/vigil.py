"""Whether the other ranks of a job are alive, by the files that each of them touches."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from suite.errors import UserError

BEAT_S = 20.0
PATIENCE_S = 300.0
"""Beyond two trials: for a file server to show what another node has written, or a slow disk."""


class Vigil:
    """Kept by a rank that waits for others: it shows that it is alive, and looks whether they are.

    A rank that measures tells of its progress before trials, every some seconds; one that waits
    touches the same file. Times on the file are held against nothing but what they were: nodes'
    clocks differ.

    Parameters
    ----------
    mine
        The file of this rank.
    others
        The files of those that are watched, by host.
    patience_s
        How long one may be still.
    clock
        In s, for tests.
    """

    def __init__(
        self,
        mine: Path,
        others: Mapping[str, Path],
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mine = mine
        self._others = others
        self._patience_s = patience_s
        self._clock = clock
        self._beat_s = min(BEAT_S, patience_s / 4)
        self._next_s = clock()
        self._moved = {host: (_touched(path), clock()) for host, path in others.items()}

    def look(self) -> None:
        """Do so, if it is time to.

        Raises
        ------
        UserError
            If another rank has been still for too long.
        """
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._beat_s
        with suppress(OSError):  # what is measured is safe, and the others wait as long as they can
            self._mine.touch()
        for host, path in self._others.items():
            touched, since_s = self._moved[host]
            if (found := _touched(path)) != touched:
                self._moved[host] = found, now_s
            elif now_s - since_s > self._patience_s:
                raise UserError(
                    f"{host} has given no sign of life for {now_s - since_s:.0f} s: its rank has "
                    "stopped without ending.",
                    "What was measured is in the journals; `litesweep resume` measures the rest.",
                )


def _touched(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
