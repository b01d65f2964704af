"""Trained ternary quantization: every weight of a kernel is one of -n, 0 and p, which are trained.

Source: Zhu, Han, Mao and Dally (arXiv 1612.01064): the gradients of its equations 7 and 8, and the
first and the last layer left as they are. The threshold, and where p and n start, are those of
ternary weight networks (Li and Liu, arXiv 1605.04711), which are good without training too.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from suite.optimizations.protocol import Kernel, Optimization

THRESHOLD = 0.7
"""Times the mean magnitude: what is below becomes zero."""


class Ternary(Optimization):
    """Three values in every kernel but the first and the last."""

    def held(self, kernels: Sequence[Kernel]) -> "list[Ternarised | None]":
        """Quantize all but the ends."""
        inner = [Ternarised(kernel) for kernel in kernels[1:-1]]
        return [None, *inner, None][: len(kernels)]


class Ternarised:
    """Weights that are trained in full precision and used as three values."""

    def __init__(self, kernel: Kernel) -> None:
        self.mask = tf.constant(np.float32(kernel != 0))
        self.weights = keras.Variable(kernel)
        threshold = THRESHOLD * np.abs(kernel).mean()
        scales = [_mean(kernel[kernel > threshold]), _mean(-kernel[kernel < -threshold])]
        self.positive, self.negative = (keras.Variable(scale) for scale in scales)
        self.variables = [self.weights, self.positive, self.negative]

    def advance(self, progress: float) -> None:
        """Change nothing: the threshold follows the weights in every step."""

    def kernel(self) -> Any:
        """Return each weight's value; the gradients are the paper's, not the derivative's."""

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def quantized(weights: Any, positive: Any, negative: Any) -> Any:
            threshold = THRESHOLD * tf.reduce_mean(tf.abs(weights))
            above = tf.cast(weights > threshold, tf.float32) * self.mask
            below = tf.cast(weights < -threshold, tf.float32) * self.mask

            def gradients(upstream: Any) -> Any:
                scale = positive * above + negative * below + (1 - above - below) * self.mask
                up, down = tf.reduce_sum(upstream * above), -tf.reduce_sum(upstream * below)
                return upstream * scale, up, down

            return positive * above - negative * below, gradients

        return quantized(*(variable.value for variable in self.variables))


def _mean(values: Kernel) -> np.float32:
    return np.float32(values.mean() if values.size else 0)


def make(parameter: float | None) -> tuple[Optimization, ...]:
    """Return the step of `ternary`."""
    return (Ternary(),)
