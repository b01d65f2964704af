"""Processes that read small files together: each is a hundred arrays, and HDF5 takes its time.

Not those of multiprocessing: they begin with the user's script once more, which may be submitting.
"""

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.results.columns import Columns, Spool, with_figures
from suite.results.merge import piled
from suite.results.read import read_columns

COMMAND = (sys.executable, "-m", "suite.results.readers")


@contextmanager
def readers(count: int) -> Iterator[Callable[[Sequence[Path]], "Future[Columns]"]]:
    """Give what has files read by one of `count` processes, which are started when they are needed.

    What comes of it are the files' columns, one under the other, or the error of reading them.
    """
    idle: list[subprocess.Popen[bytes]] = []

    def ask(paths: Sequence[Path]) -> Columns:
        reader = idle.pop() if idle else None
        try:
            reader = reader or subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            answer = _exchange(reader, paths)
        except (OSError, EOFError, pickle.UnpicklingError):  # no room for it, or it was killed
            if reader:
                _end(reader)
            return read_together(paths)
        idle.append(reader)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pool = ThreadPoolExecutor(count)
    try:
        yield lambda paths: pool.submit(ask, paths)
    finally:
        pool.shutdown(cancel_futures=True)
        for reader in idle:
            _end(reader)


def read_together(paths: Sequence[Path]) -> Columns:
    """Return the columns of files, one under the other.

    Raises
    ------
    UserError
        If one cannot be read.
    """
    return piled(map(with_figures, map(read_columns, paths)), Spool(io.BytesIO()))


def _exchange(reader: "subprocess.Popen[bytes]", paths: Sequence[Path]) -> Columns | Exception:
    assert reader.stdin and reader.stdout
    pickle.dump(paths, reader.stdin)
    reader.stdin.flush()
    answer: Columns | Exception = pickle.load(reader.stdout)
    return answer


def _end(reader: "subprocess.Popen[bytes]") -> None:
    reader.kill()
    reader.communicate()


def main() -> None:
    """Answer until there are no more questions; print nothing else to where the answers go."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            paths = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: Any = read_together(paths)
        except Exception as error:
            answer = error
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
