"""The ranks of a job: one on each node, alone or in one MPI world."""

import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Protocol, TypeVar

from suite.errors import UserError
from suite.results.merge import merge
from suite.results.rows import Results, TrialRow

T = TypeVar("T")
LOOK_EVERY_S = 0.2
START_S = 120
"""For MPI to bring the ranks together, which may start one after the other. It takes a second."""
GATHER_S = 600
"""For a rank to read its own journal, and to send or take a message."""
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

    def wait(self, look: Callable[[], None]) -> None:
        """Wait until all ranks are here, and leave the node's CPUs alone meanwhile.

        `look` is called now and then, and ends the wait if it raises.
        """

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

    def wait(self, look: Callable[[], None]) -> None:
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
        If there is no MPI, or they are not as many as the job has tasks: each would measure alone
        and take itself for the first.
    """

    def __init__(self, tasks: int) -> None:
        signal.alarm(START_S)
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            why = "; ".join(str(error).splitlines())
            raise UserError(
                f"MPI cannot be loaded on {platform.node()}: {why}.",
                "Install litesweep[cluster] and an MPI library, such as the wheel mpich, where the "
                "ranks run.",
            ) from error

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
        # As at the start: one that is lost so soon is told of in the same words.
        signal.alarm(START_S)
        shared: list[T] = self._comm.allgather(value)
        signal.alarm(0)
        return shared

    def from_first(self, make: Callable[[], T]) -> T:
        value: T = self._comm.bcast(make() if self.rank == 0 else None)
        return value

    def wait(self, look: Callable[[], None]) -> None:
        # A blocking call would spin on a core, beside a neighbour's trial where a node has two.
        request = self._comm.Ibarrier()
        while not request.Test():
            look()
            time.sleep(LOOK_EVERY_S)

    def gather(self, results: Results) -> Results | None:
        if self.rank > 0:
            for piece in (*_pieces(results), None):
                self._until(self._comm.isend(piece, dest=0).test, 0)
            return None
        pieces = [*_pieces(results)]
        for rank in range(1, self.size):
            while (piece := self._received(rank)) is not None:
                pieces.append(piece)
        return merge(pieces)

    def _received(self, rank: int) -> Results | None:
        (message,) = self._until(lambda: [self._comm.improbe(source=rank)], rank)
        _, piece = self._until(message.irecv().test, rank)
        received: Results | None = piece
        return received

    def _until(self, test: Callable[[], Sequence[Any]], rank: int) -> Sequence[Any]:
        """Return what `test` returns, once its first is true.

        Raises
        ------
        UserError
            If the other rank does not do its part.
        """
        # The first rank takes them in turn: the last one waits for all.
        patience_s = GATHER_S * max(1, self.rank)
        deadline_s = time.monotonic() + patience_s
        while not (said := test())[0]:
            if time.monotonic() > deadline_s:
                raise UserError(
                    f"Rank {rank} has been still for {patience_s:g} s while results were "
                    "gathered: it has stopped without ending.",
                    "What was measured is in the journals; `litesweep resume` writes the shard.",
                )
        return said

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
