"""TensorFlow itself, on a graph with its weights in it."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from suite.runtimes.protocol import Tensor, Values, most_of

os.environ |= {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "-1",
    # float32 is to be computed as such: oneDNN may be told to take bfloat16 for it.
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
    "TF_SET_ONEDNN_FPMATH_MODE": "STRICT",
}

import tensorflow as tf  # reads the environment

SIGNATURE = "serving_default"
NO_WORK = ("Const", "Identity", "NoOp", "Placeholder")
"""Operators that compute nothing."""


class TensorFlow:
    """A graph as a concrete function."""

    def __init__(self, path: str) -> None:
        tf.config.optimizer.set_experimental_options(
            {"auto_mixed_precision_onednn_bfloat16": False}
        )
        meta = tf.compat.v1.MetaGraphDef.FromString(Path(path).read_bytes())
        signature = meta.signature_def[SIGNATURE]
        # The keys are numbers, in the order of the inputs and of the outputs.
        inputs = [tensor for _, tensor in sorted(signature.inputs.items())]
        names = [tensor.name for tensor in inputs]
        results = [tensor.name for _, tensor in sorted(signature.outputs.items())]

        def call(*values: Any) -> Any:
            return tf.graph_util.import_graph_def(
                meta.graph_def, dict(zip(names, values, strict=True)), results, name=""
            )

        self._specs = [
            tf.TensorSpec(tensor.tensor_shape, tensor.dtype, tensor.name.partition(":")[0])
            for tensor in inputs
        ]
        self._function = tf.function(call).get_concrete_function(*self._specs)
        self.invoke: Callable[[], Any] = self._function

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in the model's order."""
        return [
            Tensor(spec.name, np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape))
            for spec in self._specs
        ]

    def set_inputs(self, values: Sequence[Values]) -> None:
        """Make tensors of the inputs, which every invocation is given."""
        self.invoke = partial(self._function, *map(tf.constant, values))

    def outputs(self) -> Sequence[Values]:
        """Return what an invocation returns."""
        return [value.numpy() for value in tf.nest.flatten(self.invoke())]

    def delegation(self) -> tuple[int, int]:
        """Return the operators of the graph; no delegate took any."""
        return len(self._operators()), 0

    def computes_in(self) -> str:
        """Return the types that its operators write."""
        return most_of(operator.outputs[0].dtype.name for operator in self._operators())

    def tensors(self) -> None:
        """Return nothing: it does not tell where its tensors are."""

    def _operators(self) -> list[Any]:
        operators = self._function.graph.get_operations()
        return [op for op in operators if op.type not in NO_WORK and op.outputs]


def load(path: str, threads: int, delegate: str) -> TensorFlow:
    """Import a graph; there is no delegate to choose."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return TensorFlow(path)
