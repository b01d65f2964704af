"""The files of other runtimes than LiteRT: how a model becomes what they read.

Imported by the process that builds an artifact and no other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

OPSET = 17


def freeze(model: Any, path: Path) -> None:
    """Write a loaded model as a graph of TensorFlow's, its variables turned into constants.

    One file, as the others have: a MetaGraphDef, whose signature tells the inputs and outputs. Its
    weights are known not to change, as a .tflite's and an .onnx's are; a graph with variables
    repacks them in every invocation.

    Parameters
    ----------
    model
        A `suite.models.load.LoadedModel`.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    closed = model.with_batch_of_one() if model.with_batch_of_one else model
    function = convert_variables_to_constants_v2(closed.function, lower_control_flow=False)
    meta = tf.compat.v1.MetaGraphDef(graph_def=function.graph.as_graph_def())
    signature = meta.signature_def["serving_default"]
    for ends, tensors in (
        (signature.inputs, function.inputs),
        (signature.outputs, function.outputs),
    ):
        for number, tensor in enumerate(tensors):
            end = ends[f"{number:03}"]
            end.name, end.dtype = tensor.name, tensor.dtype.as_datatype_enum
            end.tensor_shape.CopyFrom(tensor.shape.as_proto())
    path.write_bytes(meta.SerializeToString())


def to_onnx(
    tflite: Path, path: Path, quantization: str, examples: Sequence[Mapping[str, Any]]
) -> None:
    """Convert a float .tflite by tf2onnx; what is to be quantized, by onnxruntime's own quantizer.

    Parameters
    ----------
    examples
        Representative data by the names of the file's inputs, for int8.
    """
    import onnx
    from tf2onnx.convert import from_tflite

    model, _ = from_tflite(str(tflite), opset=OPSET)
    _close_batch(model)
    onnx.save(model, path)
    if quantization == "float32":
        return
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Mapping[str, Any]] = iter(examples)

        def get_next(self) -> Mapping[str, Any] | None:
            return next(self._left, None)

    if quantization == "dynamic":
        # The one type of weights that its dynamically quantized convolutions are quick with.
        quantize_dynamic(path, path, weight_type=QuantType.QUInt8)
    else:
        quantize_static(
            path,
            path,
            Reader(),
            # Unsigned activations: with signed ones, it leaves operators in float32.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def _close_batch(model: Any) -> None:
    """Give the inputs a batch of one where it is open: no other is ever left so."""
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim[:1]:
            if not size.dim_value:
                size.dim_value = 1


def operators(path: Path) -> dict[str, int]:
    """Return how often each operator occurs in an .onnx file or a graph, by its name."""
    if path.suffix == ".onnx":
        import onnx

        names = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    else:
        import tensorflow as tf

        meta = tf.compat.v1.MetaGraphDef.FromString(path.read_bytes())
        names = [node.op for node in meta.graph_def.node]
    return dict(sorted(Counter(names).items()))
