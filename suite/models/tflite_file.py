"""What a .tflite file holds, read without running it and without TensorFlow.

A stranger's file is refused here rather than by the runtime, which does not check what it is given
and may crash on it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from suite.errors import UserError
from suite.files import open_file
from suite.models.operators import Operator, Tensor, Work, work_of

IDENTIFIER = b"TFL3"
COMPUTE = {
    "CONV_2D",
    "CONV_3D",
    "DEPTHWISE_CONV_2D",
    "TRANSPOSE_CONV",
    "FULLY_CONNECTED",
    "BATCH_MATMUL",
    "EMBEDDING_LOOKUP",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
}
"""Operators with weights: how these are held is the model's quantization."""
VARIABLE_OPERATORS = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
LEAST_ENTRY_BYTES = 4
"""No entry of a table of the file is smaller: more entries than that fits are made up."""
MOST_ENTRIES = 2_000_000
"""Far more than the largest models have: entries may all point to one place, and take time each."""
TEXT_BYTES = 64
"""Of a name, which are read as soon as a number."""
MOST_DIMENSIONS = 64


@dataclass(frozen=True)
class TfliteFile:
    """A description of a .tflite file."""

    operators: dict[str, int]
    """How often each operator occurs, by its name."""
    quantization: str
    """A name of the quantization axis."""
    work: Work
    """What an invocation has to do."""

    @property
    def has_weights(self) -> bool:
        """Whether any operator is of a kind that can be quantized."""
        return not COMPUTE.isdisjoint(self.operators)

    @property
    def variable_operators(self) -> tuple[str, ...]:
        """Operators that keep state outside the graph, where the converter has left weights."""
        return tuple(sorted(VARIABLE_OPERATORS & self.operators.keys()))


def read_tflite(path: Path) -> TfliteFile:
    """Describe the file `path`.

    Raises
    ------
    UserError
        If it cannot be read, is no .tflite, or is truncated or damaged.
    """
    try:
        with open_file(path) as file:
            data = file.read(8)
            if data[4:] == IDENTIFIER:  # else it may have any size
                data += file.read()
    except OSError as error:
        raise UserError(f"The model {str(path)!r} cannot be read: {error.strerror}.") from error
    try:
        return describe(data)
    except UserError:
        raise
    except Exception as error:  # whatever the generated reader meets in a damaged file
        raise UserError(
            f"The model {str(path)!r} is truncated or damaged, or no .tflite file.",
            "Copy it again, or convert it anew.",
        ) from error


def describe(data: bytes) -> TfliteFile:
    """Describe the content of a .tflite file.

    Raises
    ------
    Exception
        Of any type, if `data` is not the whole of a .tflite file.
    """
    if data[4:8] != IDENTIFIER:
        raise ValueError("no TFL3 identifier")
    reader = _Reader(data)
    graphs = [reader.graph(graph) for graph in reader.graphs()]
    reader.check_rest()
    operators = Counter(operator.name for graph in graphs for operator in graph)
    return TfliteFile(dict(sorted(operators.items())), _quantization(graphs), work_of(graphs))


class _Reader:
    """Walks a model; raises on any reference to outside the data."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self.model: Any = schema.Model.GetRootAs(data, 0)
        self.entries_left = min(self.size // LEAST_ENTRY_BYTES, MOST_ENTRIES)
        self.buffer_bytes = [
            self._buffer(self.model.Buffers(i)) for i in self._range(self.model.BuffersLength())
        ]
        self.names = [
            self._code(self.model.OperatorCodes(i))
            for i in self._range(self.model.OperatorCodesLength())
        ]

    def graphs(self) -> Iterator[Any]:
        count = self.model.SubgraphsLength()
        if not count:
            raise ValueError("no graph")
        return (self.model.Subgraphs(i) for i in self._range(count))

    def graph(self, graph: Any) -> list[Operator]:
        tensors = [self._tensor(graph.Tensors(i)) for i in self._range(graph.TensorsLength())]

        def at(vector: Any, length: int) -> tuple[Tensor, ...]:
            indices = [vector(i) for i in self._range(length)]
            if any(not -1 <= index < len(tensors) for index in indices):  # -1: left out
                raise IndexError("no such tensor")
            return tuple(tensors[index] for index in indices if index >= 0)

        at(graph.Inputs, graph.InputsLength())
        at(graph.Outputs, graph.OutputsLength())
        self._text(graph.Name())
        operators = []
        for i in self._range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            operators.append(
                Operator(
                    self.names[operator.OpcodeIndex()],
                    at(operator.Inputs, operator.InputsLength()),
                    at(operator.Outputs, operator.OutputsLength()),
                )
            )
            operator.BuiltinOptionsType()
            self._vector(operator, operator.CustomOptions, operator.CustomOptionsLength())
        return operators

    def check_rest(self) -> None:
        """Visit what no graph refers to."""
        self._text(self.model.Description())
        for i in self._range(self.model.MetadataLength()):
            self._text(self.model.Metadata(i).Name())
        for i in self._range(self.model.SignatureDefsLength()):
            self._text(self.model.SignatureDefs(i).SignatureKey())

    def _buffer(self, buffer: Any) -> int:
        """Return how many bytes it holds; 0 for a tensor that is no constant."""
        self._vector(buffer, buffer.Data, buffer.DataLength())
        # Files above 2 GB keep the data of a buffer behind the model.
        if buffer.Offset() > 1 and buffer.Offset() + buffer.Size() > self.size:
            raise IndexError("a buffer ends behind the file")
        return int(buffer.Size() if buffer.Offset() > 1 else buffer.DataLength())

    def _code(self, code: Any) -> str:
        if custom := self._text(code.CustomCode()):
            return f"CUSTOM:{custom.decode()}"
        # Older files use a byte, newer ones an integer; the larger is the one that is meant.
        return _BUILTIN[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    def _tensor(self, tensor: Any) -> Tensor:
        self._text(tensor.Name())
        if tensor.ShapeLength() > MOST_DIMENSIONS:
            raise IndexError("more dimensions than a tensor has")
        self._vector(tensor, tensor.Shape, tensor.ShapeLength())
        self._vector(tensor, tensor.ShapeSignature, tensor.ShapeSignatureLength())
        if quantization := tensor.Quantization():
            for name in ("Scale", "ZeroPoint", "Min", "Max"):
                length = getattr(quantization, f"{name}Length")()
                self._vector(quantization, getattr(quantization, name), length)
        held = self.buffer_bytes[tensor.Buffer()]
        shape = tuple(tensor.Shape(i) for i in self._range(tensor.ShapeLength()))
        return Tensor(_TYPE[tensor.Type()], held > 0, shape, tensor.Buffer(), held)

    def _vector(self, table: Any, element: Any, length: int) -> None:
        """Reach for the last element: it raises where the data end before it."""
        if not 0 <= length <= self.size:
            raise IndexError("a vector is longer than the file")
        if length:
            element(length - 1)

    def _text(self, text: bytes | None) -> bytes:
        """Return a name; many may be one and the same text, which is copied for each."""
        self._range(len(text or b"") // TEXT_BYTES)
        return text or b""

    def _range(self, count: int) -> range:
        self.entries_left -= count
        if self.entries_left < 0:
            raise IndexError("more entries than the file has room for")
        return range(count)


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


_BUILTIN = _names(schema.BuiltinOperator)
_TYPE = _names(schema.TensorType)


def _quantization(graphs: list[list[Operator]]) -> str:
    """Name how the weights are held and used, all over the model.

    An operator that was left in float32 does not count beside one that was not: every recipe
    leaves small ones alone.
    """
    found = {name for graph in graphs for name in _held(graph)}
    if len(found) > 1:
        found.discard("float32")
    if len(found) > 1:
        return "mixed"
    return found.pop() if found else "float32"


def _held(graph: list[Operator]) -> Iterator[str]:
    """Yield how each operator with weights holds them."""
    unpacked = {
        id(operator.outputs[0]): operator.inputs[0].type
        for operator in graph
        if operator.name == "DEQUANTIZE" and operator.inputs[0].constant
    }
    for operator in graph:
        if operator.name not in COMPUTE or not operator.outputs:
            continue
        activation = operator.outputs[0].type
        stored = next((unpacked[id(t)] for t in operator.inputs if id(t) in unpacked), None)
        weights = next((t.type for t in operator.inputs[1:] if t.constant), activation)
        if activation != "FLOAT32":
            yield {"INT8": "int8", "INT16": "int16x8", "UINT8": "uint8"}.get(activation, "mixed")
        elif stored:
            yield _UNPACKED.get(stored, "mixed")
        else:
            yield {"FLOAT32": "float32", "INT8": "dynamic"}.get(weights, "mixed")


_UNPACKED = {"FLOAT16": "float16", "INT8": "weight-only-int8", "INT4": "weight-only-int4"}
