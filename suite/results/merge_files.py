"""Merge files of one run into one, in memory that does not grow with their samples."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryFile

from suite.results.columns import Columns, Spool, columns_of, with_figures
from suite.results.merge import united
from suite.results.read import read_columns
from suite.results.readers import readers
from suite.results.rows import Results
from suite.results.write import told, write_columns

SMALL_BYTES = 1 << 20
TOGETHER = 64
"""Small files that a process reads at a time."""
PROCESSES = 4
"""At most, one for each CPU: each takes some 100 MB."""


def merge_files(path: Path, parts: Iterable[Path | Results]) -> None:
    """Write the union of `parts` to `path`, whole or not at all: see `suite.results.merge.merge`.

    The samples, 8 bytes each, wait in a file without a name in the folder of `path`. In memory are
    a few parts at a time, and all rows without their samples.

    Raises
    ------
    UserError
        If a part cannot be read, they contradict each other, or the file cannot be written.
    ValueError
        If there are no parts at all, or they do not fit together.
    """
    with told(path), TemporaryFile(dir=path.parent) as spool:
        write_columns(path, united(_columns(parts), Spool(spool)))


def _columns(parts: Iterable[Path | Results]) -> Iterator[Columns]:
    small: list[Path] = []
    waiting: deque[Future[Columns]] = deque()
    processes = min(PROCESSES, len(os.sched_getaffinity(0)))
    with readers(processes) as read:
        for part in parts:
            if isinstance(part, Results):
                yield with_figures(columns_of(part))
            elif part.exists() and part.stat().st_size <= SMALL_BYTES:
                small.append(part)
            else:
                yield with_figures(read_columns(part))
            if len(small) == TOGETHER:
                waiting.append(read(small))
                small = []
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    yield from map(with_figures, map(read_columns, small))
