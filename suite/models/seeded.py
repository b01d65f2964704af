"""Weights from a seed, with which a model has as much to do as with trained ones.

Imported by the process that builds an artifact and no other.
"""

from typing import Any

import numpy as np
from keras import activations, layers

SPREAD = 0.01
NORMS = (layers.BatchNormalization, layers.LayerNormalization)
KERNELS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)


def spread_norms(model: Any, seed: int) -> None:
    """Draw the parameters of a fresh model's normalizations anew, each near what it is.

    A fresh normalization multiplies all channels by one factor and adds nothing; the converter
    leaves out what that makes superfluous, and the model would be faster than a trained one.
    Where a convolution right before it takes it in whatever it does, it stays as it is.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, NORMS) and not _is_folded(layer):
            weights = layer.get_weights()
            layer.set_weights([each + rng.normal(0, SPREAD, each.shape) for each in weights])


def _is_folded(layer: Any) -> bool:
    before = layer.input._keras_history.operation
    is_linear = isinstance(before, KERNELS) and before.activation is activations.linear
    return is_linear and isinstance(layer, layers.BatchNormalization)
