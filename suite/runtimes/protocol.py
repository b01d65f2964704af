"""What the process that is timed needs of a runtime."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from suite.errors import UserError
from suite.runtimes.names import ABOUT

Values = npt.NDArray[Any]

LEAST_SHARE = 0.1
"""A type in which fewer of the operators compute is not worth a word."""


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
        """Return the outputs for the inputs that are set; it may take an invocation."""

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


class MissingRuntimeError(UserError):
    """A runtime that cannot be imported; the message says how it is installed."""


def import_runtime(name: str) -> Runtime:
    """Import the adapter of a runtime, and with it the runtime itself.

    Raises
    ------
    MissingRuntimeError
        If it is not installed, or cannot be loaded.
    """
    try:
        return cast(Runtime, import_module(f"suite.runtimes.{name}"))
    except ImportError as error:
        about = ABOUT[name]
        raise MissingRuntimeError(
            f"{about.title} cannot be imported here ({error}): "
            f"pip install 'litesweep[{about.extra}]'; an image gets it by "
            f"`litesweep image build --build-arg EXTRAS={about.extra}`."
        ) from error


def most_of(types: Iterable[str]) -> str:
    """Return the types that the operators compute in: the most frequent first, a few left out."""
    found = Counter(types)
    return " + ".join(
        name for name, count in found.most_common() if count >= LEAST_SHARE * found.total()
    )
