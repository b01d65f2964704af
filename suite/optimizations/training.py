"""Training a model on while its kernels stay in the form that an optimisation holds them in."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from suite.artifacts.check import UnfitError, check_labels
from suite.data.labelled import Array
from suite.models.spec import FineTune
from suite.optimizations.protocol import Held

SEED = 0
ADVANCES = 20
"""Times in a training that a schedule goes on."""


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained on: as it takes them, and their classes."""

    inputs: Array
    labels: Array
    names: int = 0
    """How many classes have a name; 0 where labels are given as numbers."""


def fine_tune(model: Any, held: Mapping[int, Held], data: TrainingData, how: FineTune) -> None:
    """Train `model` on, with Adam and a cosine decay; the same machine gives the same weights.

    Parameters
    ----------
    held
        By the `id` of its `keras.Variable`, the form of each kernel that is held in one. The
        variables themselves are left as they are.

    Raises
    ------
    UnfitError
        If the model is no classifier.
    UserError
        If it is one of other classes.
    """
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    # A random layer has drawn its seed when it was loaded, another in each process.
    states = [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]
    for number, state in enumerate(states):
        state.assign([SEED + number, 0])
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=_gives_logits(model, data))
    trained = [v for v in model.trainable_variables if id(v) not in held]
    trained += [variable for form in held.values() for variable in form.variables]
    batch = min(how.batch_size, len(data.labels))
    steps = how.epochs * (len(data.labels) // batch)
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(how.learning_rate, steps)
    )
    optimizer.build(trained)
    # A model's own `call` need not know of training; its layers then do not either.
    training = {"training": True} if "training" in signature(model.call).parameters else {}

    @tf.function  # type: ignore[untyped-decorator]
    def step(inputs: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            weights = [
                held[id(v)].kernel() if id(v) in held else v.value
                for v in model.trainable_variables
            ]
            others = model.non_trainable_variables
            outputs, moved = model.stateless_call(weights, others, inputs, **training)
            loss = loss_of(labels, outputs)
        gradients = tape.gradient(loss, [v.value for v in trained])
        optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], trained)
        for variable, value in zip(others, moved, strict=True):
            variable.assign(value)

    random = np.random.default_rng(SEED)
    orders = [random.permutation(len(data.labels)) for _ in range(how.epochs)]
    batches = np.stack([order[: len(order) // batch * batch] for order in orders])
    every = max(1, steps // ADVANCES)
    for number, rows in enumerate(batches.reshape(steps, batch)):
        if number % every == 0:
            _advance(held, number / steps)
        step(tf.constant(data.inputs[rows]), tf.constant(data.labels[rows]))


def _advance(held: Mapping[int, Held], progress: float) -> None:
    for form in held.values():
        form.advance(progress)


def _gives_logits(model: Any, data: TrainingData) -> bool:
    """Say whether the outputs are logits, and not probabilities."""
    outputs = model(data.inputs[:8], training=False)
    if isinstance(outputs, dict | list | tuple) or len(outputs.shape) != 2:
        raise UnfitError("to be trained on, it must have one output with a number for each class")
    check_labels(data.labels, data.names, [outputs.shape])
    values = keras.ops.convert_to_numpy(outputs)
    return not (values.min() >= 0 and np.allclose(values.sum(axis=1), 1, atol=1e-3))
