"""What an optimisation is.

Imported, like the optimisations themselves, by the process that builds an artifact and no other.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.float32]
"""The weights of a layer that are multiplied with its inputs."""


class Held(Protocol):
    """A kernel in the form in which an optimisation holds it while the model is trained on."""

    @property
    def variables(self) -> Sequence[Any]:
        """What is trained in the kernel's place: `keras.Variable`s."""

    def advance(self, progress: float) -> None:
        """Go on to the share `progress` of a schedule: 0 at its start, 1 at its end."""

    def kernel(self) -> Any:
        """Return the kernel as a tensor, a differentiable function of `variables`."""


class Optimization:
    """One step: a model rebuilt, or its kernels held in another form, or both.

    What is exactly zero in a kernel when a step begins stays zero, so that pruning outlives it.
    """

    only_trains = False
    """Whether nothing is left of the step where there is nothing to train on."""

    def rebuilt(self, model: Any) -> Any:
        """Return the Keras model with other layers.

        Raises
        ------
        UnfitError
            If it cannot be done to this model.
        """
        return model

    def held(self, kernels: Sequence[Kernel]) -> Sequence[Held | None]:
        """Return the form for each kernel of the model, from its input on; None leaves it."""
        return [None] * len(kernels)
