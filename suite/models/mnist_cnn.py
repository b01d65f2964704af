"""A small CNN for handwritten digits, trained where it is built.

Deep and narrow, so that the rounding errors of its layers add up: 4-bit weights cost it accuracy, 8
bits hardly any. Imported by the process that builds an artifact and no other.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from suite.data.labelled import Array

WIDTH = 16
DEPTHS = (6, 13)
"""Convolutions at 14 × 14 pixels, and at 7 × 7."""
EPOCHS = 4
BATCH_SIZE = 64
LEARNING_RATE = 2e-3


def make(seed: int) -> Any:
    """Return the model with seeded weights: 28 × 28 × 1 within [0, 1] to ten probabilities."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((28, 28, 1), name="image")], name="mnist_cnn")
    for depth in DEPTHS:
        for number in range(depth):
            strides = 1 if number else 2
            model.add(layers.Conv2D(WIDTH, 3, strides, padding="same", use_bias=False))
            # A few hundred steps are too few for the moving averages at the default, 0.99.
            model.add(layers.BatchNormalization(momentum=0.9))
            model.add(layers.ReLU())
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
