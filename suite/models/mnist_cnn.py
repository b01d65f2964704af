"""A small CNN for handwritten digits, trained where it is built.

Made so that what a quantization costs is seen. BatchNormalization lies behind the activation, as in
many a network: there the converter cannot fold it into a convolution, and int8 has one scale for
the factors of all its channels, which the largest sets. And the separable convolutions are narrow:
few weights, each of which counts when 4 bits are left of it. Imported by the process that builds an
artifact and no other.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from suite.data.labelled import Array

WIDTH = 16
DEPTHS = (3, 5)
"""Convolutions at 14 × 14 pixels; and at 7 × 7, where they are separable."""
EPOCHS = 4
BATCH_SIZE = 64
LEARNING_RATE = 2e-3


def make(seed: int) -> Any:
    """Return the model with seeded weights: 28 × 28 × 1 within [0, 1] to ten probabilities."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((28, 28, 1), name="image")], name="mnist_cnn")
    for depth, convolution in zip(DEPTHS, (layers.Conv2D, layers.SeparableConv2D), strict=True):
        for number in range(depth):
            strides = 1 if number else 2
            model.add(convolution(WIDTH, 3, strides, padding="same", activation="relu"))
            # A few hundred steps are too few for the moving averages at the default, 0.99.
            model.add(layers.BatchNormalization(momentum=0.9))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def train(model: Any, images: Array, labels: Array) -> None:
    """Train `model`; the same machine and packages give the same weights."""
    tf.config.experimental.enable_op_determinism()
    steps = EPOCHS * -(-len(labels) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(np.float32(images), labels, BATCH_SIZE, EPOCHS, verbose=0)
