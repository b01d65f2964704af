"""The ranks of a job: one on each node, alone or in one MPI world."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn, Protocol, TypeVar

from suite.errors import UserError
from suite.results.merge import merge
from suite.results.rows import Results, TrialRow

T = TypeVar("T")
LOOK_EVERY_S = 0.2
START_S = 120
"""For MPI to bring the ranks together, which may start one after the other. It takes a second."""
MESSAGE_BYTES = 64_000_000
"""Of samples, in a message: far below the 2 GiB at which an MPI count overflows."""


class World(Protocol):
    """What a rank needs of the others."""

    rank: int
    size: int

    def share(self, value: T) -> list[T]:
        """Give `value` to all ranks and return those of all, in their order."""

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on rank 0."""

    def wait(self) -> None:
        """Wait until all ranks are here, and leave the node's CPUs alone meanwhile."""

    def gather(self, results: Results) -> Results | None:
        """Return the union of all ranks' results on rank 0, and nothing on the others."""

    def abort(self) -> NoReturn:
        """End all ranks."""


class Alone:
    """A job of one rank, without MPI."""

    rank = 0
    size = 1

    def share(self, value: T) -> list[T]:
        return [value]

    def from_first(self, make: Callable[[], T]) -> T:
        return make()

    def wait(self) -> None:
        pass

    def gather(self, results: Results) -> Results:
        return results

    def abort(self) -> NoReturn:
        # Not sys.exit(): submitit, which called us, would say "success" of it.
        os._exit(1)


class MpiWorld:
    """The ranks that MPI has brought together.

    Where MPI does not return from its start within `START_S`, SIGALRM ends the process: a rank that
    Slurm's PMI has lost would wait for ever, in C code that lets no handler of Python's run.

    Raises
    ------
    UserError
        If they are not as many as the job has tasks: each would measure alone and take itself for
        the first.
    """

    def __init__(self, tasks: int) -> None:
        signal.alarm(START_S)
        from mpi4py import MPI

        signal.alarm(0)
        self._mpi: Any = MPI
        self._comm: Any = MPI.COMM_WORLD
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        if self.size != tasks:
            raise UserError(
                f"MPI formed a world of {self.size} where the job has {tasks} tasks.",
                "srun and the image's MPI library do not fit: set [mpi] type in the site "
                "file ('pmi2' for MPICH, 'pmix' for Open MPI; `srun --mpi=list` tells what there "
                "is).",
            )

    def share(self, value: T) -> list[T]:
        shared: list[T] = self._comm.allgather(value)
        return shared

    def from_first(self, make: Callable[[], T]) -> T:
        value: T = self._comm.bcast(make() if self.rank == 0 else None)
        return value

    def wait(self) -> None:
        # A blocking call would spin on a core, beside a neighbour's trial where a node has two.
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(LOOK_EVERY_S)

    def gather(self, results: Results) -> Results | None:
        pieces = list(_pieces(results))
        counts = self._comm.gather(len(pieces))
        if self.rank != 0:
            for piece in pieces:
                self._comm.send(piece, dest=0)
            return None
        for rank, count in enumerate(counts[1:], start=1):
            pieces += [self._comm.recv(source=rank) for _ in range(count)]
        return merge(pieces)

    def abort(self) -> NoReturn:
        self._comm.Abort(1)
        os._exit(1)


def _pieces(results: Results) -> Iterator[Results]:
    """Cut results into parts that a message can hold."""
    trials: list[TrialRow] = []
    size = 0
    for trial in results.trials:
        trials.append(trial)
        size += trial.latency_ns.nbytes
        if size > MESSAGE_BYTES:
            yield replace(results, trials=tuple(trials))
            trials, size = [], 0
    yield replace(results, trials=tuple(trials))
