"""Operators of a graph, and the work that one invocation asks of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONTROL_FLOW = {"WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE"}
"""Operators that run another graph, nobody knows how often."""
ELEMENT_BITS = {
    **dict.fromkeys(("FLOAT64", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT32", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL"), 8),
    **{"COMPLEX128": 128, "INT4": 4, "INT2": 2},
}
"""By type; of others, as text, the size does not follow from the shape."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as the file declares it."""

    type: str
    constant: bool
    shape: tuple[int, ...] = ()
    buffer: int = 0
    """Number of the buffer that holds a constant; tensors may share one."""
    buffer_bytes: int = 0

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What its elements take."""
        return -(-self.size * ELEMENT_BITS.get(self.type, 0) // 8)


@dataclass(frozen=True)
class Operator:
    """An operator; inputs that it may go without, and does, are left out."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Work:
    """What an invocation has to do; NaN where the graph does not tell."""

    multiply_adds: float = math.nan
    """Of the operators in `MULTIPLY_ADDS`: the others' are few, and are not counted."""
    weight_bytes: float = math.nan
    """Constants that are read, each once, as the file holds them."""
    activation_bytes: float = math.nan
    """What operators read of one another and write, if nothing is fused or done in place."""


def work_of(graphs: Sequence[Sequence[Operator]]) -> Work:
    """Count what an invocation of the first graph has to do, from the shapes in the file."""
    main = graphs[0]
    if any(operator.name in CONTROL_FLOW for operator in main):
        return Work()
    tensors = [t for operator in main for t in (*operator.inputs, *operator.outputs)]
    if any(length < 0 for t in tensors for length in t.shape):
        return Work()
    weights = {t.buffer: t.buffer_bytes for t in tensors if t.constant}
    # Runtimes unpack weights of float16 once, when they load the model.
    unpacked = {id(o.outputs[0]) for o in main if o.name == "DEQUANTIZE" and o.inputs[0].constant}
    return Work(
        float(sum(MULTIPLY_ADDS[o.name](o) for o in main if o.name in MULTIPLY_ADDS)),
        float(sum(weights.values())),
        float(sum(t.bytes for t in tensors if not t.constant and id(t) not in unpacked)),
    )


def _per_output(operator: Operator, channels: int) -> int:
    """Each element of the output takes the whole filter of its channel."""
    weights = operator.inputs[1]
    return operator.outputs[0].size * weights.size // max(1, weights.shape[channels])


def _fully_connected(operator: Operator) -> int:
    return operator.outputs[0].size * operator.inputs[1].shape[-1]


def _transposed(operator: Operator) -> int:
    """Each element of the input goes through the filters of all channels."""
    _, weights, values = operator.inputs[:3]
    return values.size * weights.size // max(1, weights.shape[-1])


def _batch_matmul(operator: Operator) -> int:
    """Each element of the output takes a row of the left, whichever way that lies."""
    left, (*_, rows, _columns) = operator.inputs[0].shape, operator.outputs[0].shape
    return operator.outputs[0].size * (left[-2] * left[-1] // max(1, rows))


def _recurrent(operator: Operator) -> int:
    """Each step of each sequence goes through all matrices."""
    values = operator.inputs[0]
    steps = values.size // max(1, values.shape[-1])
    return steps * sum(t.size for t in operator.inputs[1:] if t.constant and len(t.shape) == 2)


MULTIPLY_ADDS: dict[str, Callable[[Operator], int]] = {
    "CONV_2D": lambda operator: _per_output(operator, 0),
    "CONV_3D": lambda operator: _per_output(operator, -1),
    "DEPTHWISE_CONV_2D": lambda operator: _per_output(operator, -1),
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
}
"""Multiplications, each with its addition, by the operator's name."""
