"""Magnitude pruning on a schedule: in each kernel, the smallest weights become zero.

Source: Zhu and Gupta, To prune, or not to prune (arXiv 1710.01878), whose cubic schedule it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from suite.optimizations.protocol import Kernel, Optimization

RAMP = 0.3
"""Share of the training after which the last weight is pruned."""


@dataclass(frozen=True)
class Prune(Optimization):
    """Zeros in every kernel."""

    sparsity: float

    def held(self, kernels: Sequence[Kernel]) -> "list[Pruned]":
        """Mask every kernel."""
        return [Pruned(kernel, self.sparsity) for kernel in kernels]


class Pruned:
    """A kernel times a mask; what is pruned once stays so."""

    def __init__(self, kernel: Kernel, sparsity: float) -> None:
        self.sparsity = sparsity
        self.weights = keras.Variable(kernel)
        self.mask = keras.Variable(np.float32(kernel != 0), trainable=False)
        self.variables = [self.weights]

    def advance(self, progress: float) -> None:
        """Prune to what the schedule has reached."""
        share = self.sparsity * (1 - (1 - min(1.0, progress / RAMP)) ** 3)
        size = np.abs(ops.convert_to_numpy(self.kernel())).ravel()
        mask = np.ones_like(size)
        mask[np.argsort(size, kind="stable")[: round(share * len(size))]] = 0
        mask[size == 0] = 0
        self.mask.assign(mask.reshape(self.mask.shape))

    def kernel(self) -> object:
        """Return the weights that are left."""
        return self.weights * self.mask


def make(parameter: float | None) -> tuple[Optimization, ...]:
    """Return the steps of `prune@PARAMETER`."""
    return (Prune(float(parameter or 0)),)
