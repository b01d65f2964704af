"""What the process that is timed needs of a runtime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """An input, as the loaded model takes it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Executable(Protocol):
    """A model that a runtime has loaded, ready to run on the threads that were asked for."""

    invoke: Callable[[], object]
    """Runs the model on the inputs that are set. It is called in the loop that is timed: the
    runtime's own entry, with as little of ours around it as can be."""

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in the runtime's order."""

    def set_inputs(self, values: Sequence[Values]) -> None:
        """Set the inputs, in that order, for all invocations that follow."""

    def outputs(self) -> Sequence[Values]:
        """Return what the last invocation has left."""

    def delegation(self) -> tuple[int, int]:
        """Return the operators of the graph, and how many of them a delegate took."""

    def computes_in(self) -> str:
        """Return the precision that the runtime says it computes in."""

    def tensors(self) -> Sequence[range] | None:
        """Return the addresses of all tensors; None where the runtime does not tell all."""


class Runtime(Protocol):
    """A module of this package."""

    def load(self, path: str, threads: int, delegate: str) -> Executable:
        """Load the artifact `path`, to run on exactly so many threads."""


def import_runtime(name: str) -> Runtime:
    """Import the adapter of a runtime, and with it the runtime itself.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    return cast(Runtime, import_module(f"suite.runtimes.{name}"))
