"""Weight clustering: the weights of a kernel share a few values.

Source: Han, Mao and Dally, Deep Compression (arXiv 1510.00149), section 3: k-means from linearly
spaced centroids; in training, a centroid's gradient is the sum of those of its weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from suite.optimizations.protocol import Kernel, Optimization

ITERATIONS = 30


@dataclass(frozen=True)
class Cluster(Optimization):
    """Shared values in every kernel."""

    values: int

    def held(self, kernels: Sequence[Kernel]) -> "list[Clustered]":
        """Cluster every kernel."""
        return [Clustered(kernel, self.values) for kernel in kernels]


class Clustered:
    """Centroids, and which of them each weight is."""

    def __init__(self, kernel: Kernel, values: int) -> None:
        weights = kernel.ravel()
        kept = weights != 0
        found = centroids(weights[kept], values)
        assignment = np.zeros(weights.size, np.int32)
        assignment[kept] = nearest(found, weights[kept])
        self.mask = np.float32(kept).reshape(kernel.shape)
        self.assignment = assignment.reshape(kernel.shape)
        self.centroids = keras.Variable(found)
        self.variables = [self.centroids]

    def advance(self, progress: float) -> None:
        """Change nothing: which weights share a value is settled at the start."""

    def kernel(self) -> object:
        """Return each weight's centroid."""
        return ops.take(self.centroids, self.assignment) * self.mask


def centroids(weights: Kernel, count: int) -> Kernel:
    """Return up to `count` values, ascending, for `weights` to share: k-means in one dimension."""
    if not weights.size:
        return np.zeros(1, np.float32)
    # In order, each cluster is a run of weights, and its sum a difference of two running sums.
    ordered = np.sort(weights.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    found = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(ITERATIONS):
        inner = np.searchsorted(ordered, (found[1:] + found[:-1]) / 2)
        ends = np.concatenate([[0], inner, [len(ordered)]])
        members = np.diff(ends)
        moved = np.where(members > 0, np.diff(sums[ends]) / np.maximum(members, 1), found)
        if np.array_equal(moved, found):
            break
        found = moved
    used = np.unique(nearest(found, weights))
    return found[used].astype(np.float32)


def nearest(
    values: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]
) -> npt.NDArray[np.intp]:
    """Return the place of the value nearest to each weight; `values` are ascending."""
    return np.searchsorted((values[1:] + values[:-1]) / 2, weights)


def make(parameter: float | None) -> tuple[Optimization, ...]:
    """Return the steps of `cluster@PARAMETER`."""
    return (Cluster(int(parameter or 0)),)
