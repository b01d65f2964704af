"""Low-rank approximation: a layer becomes two smaller ones, by singular value decomposition.

A convolution of k × k becomes one of k × k with few outputs, then one of 1 × 1 (Zhang et al., arXiv
1505.06798, without the nonlinear fit); a dense layer becomes two. The rank is such that the two
have the given share of the one's weights, and of its multiplications.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from suite.artifacts.check import UnfitError
from suite.optimizations.protocol import Kernel, Optimization

LEAST_SIDE = 16
"""Of the kernel as a matrix: a smaller one has no rank to spare."""


@dataclass(frozen=True)
class LowRank(Optimization):
    """Factors in place of convolutions and dense layers."""

    share: float

    def rebuilt(self, model: Any) -> Any:
        """Return the model with every layer that can be factored in two parts."""
        if not _has_graph(model):
            raise UnfitError(
                "low-rank needs a Sequential or Functional model, whose layers can be exchanged"
            )
        rebuilt = self._rebuilt(model)
        if len(rebuilt.weights) == len(model.weights):
            raise UnfitError(
                f"low-rank@{self.share:g} has nothing to factor: no convolution or dense layer of "
                f"its own has {LEAST_SIDE} inputs and outputs or more, and a rank above 0"
            )
        return rebuilt

    def _rebuilt(self, model: Any) -> Any:
        parts = {layer.name: self._part(layer) for layer in model.layers}
        rebuilt = keras.models.clone_model(model, clone_function=lambda layer: parts[layer.name][0])
        for name, (_, weights) in parts.items():
            if weights:  # a layer without any may have another name now, as inputs have
                rebuilt.get_layer(name).set_weights(weights)
        return rebuilt

    def _part(self, layer: Any) -> tuple[Any, list[Kernel]]:
        """Return what stands in a layer's place, not built yet, and its weights."""
        if isinstance(layer, keras.Model) and _has_graph(layer):
            inner = self._rebuilt(layer)
            return inner, inner.get_weights()
        rank = self.rank(layer)
        if not rank:
            return layer.__class__.from_config(layer.get_config()), layer.get_weights()
        kernel, *bias = layer.get_weights()
        first, second = factors(kernel.reshape(-1, kernel.shape[-1]), rank)
        config = layer.get_config()
        few = {"use_bias": False, "activation": None, "kernel_constraint": None}
        if isinstance(layer, keras.layers.Dense):
            start = layer.__class__.from_config({**config, **few, "units": rank, "name": "few"})
            end = layer.__class__.from_config({**config, "name": "many"})
        else:
            start = layer.__class__.from_config({**config, **few, "filters": rank, "name": "few"})
            pointwise = {"kernel_size": 1, "strides": 1, "dilation_rate": 1, "padding": "valid"}
            end = layer.__class__.from_config({**config, **pointwise, "name": "many"})
            first = first.reshape(*kernel.shape[:-1], rank)
            second = second.reshape(1, 1, rank, -1)
        return keras.Sequential([start, end], name=layer.name), [first, second, *bias]

    def rank(self, layer: Any) -> int:
        """Return the rank of the factors of a layer, 0 for one that is left as it is."""
        if type(layer) not in (keras.layers.Conv2D, keras.layers.Dense):
            return 0
        if getattr(layer, "groups", 1) != 1:
            return 0
        outputs = layer.kernel.shape[-1]
        inputs = int(np.prod(layer.kernel.shape[:-1]))
        if min(inputs, outputs) < LEAST_SIDE:
            return 0
        return int(self.share * inputs * outputs / (inputs + outputs))


def factors(matrix: Kernel, rank: int) -> tuple[Kernel, Kernel]:
    """Return two matrices, of `rank` columns and rows, whose product is nearest to `matrix`.

    They are its largest singular values, shared equally between its singular vectors, from the
    eigenvectors of the smaller Gram matrix: a network's kernels take seconds so, and minutes by a
    full decomposition.
    """
    rows, columns = matrix.shape
    if rows < columns:
        second, first = factors(matrix.T, rank)
        return first.T, second.T
    exact = matrix.astype(np.float64)
    _, vectors = np.linalg.eigh(exact.T @ exact)
    right = vectors[:, : -rank - 1 : -1]
    left = exact @ right
    root = np.sqrt(np.maximum(np.linalg.norm(left, axis=0), np.finfo(np.float32).tiny))
    return (left / root).astype(np.float32), (root * right).T.astype(np.float32)


def _has_graph(model: Any) -> bool:
    """Say whether a model is Sequential or Functional, and no subclass with a `call` of its own."""
    return bool(getattr(model, "inputs", None))


def make(parameter: float | None) -> tuple[Optimization, ...]:
    """Return the step of `low-rank@PARAMETER`."""
    return (LowRank(float(parameter or 0)),)
