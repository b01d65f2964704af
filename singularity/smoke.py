"""Run one inference of a model of one operator: what an image must be able to do at the least."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import Builder


def doubling_model() -> bytes:
    """Return a .tflite file that adds its input, four floats, to itself."""
    tensors = []
    for name in (b"x", b"twice"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, [1, 4], 0
        tensor.type = schema.TensorType.FLOAT32
        tensors.append(tensor)
    add = schema.OperatorT()
    add.inputs, add.outputs = [0, 0], [1]
    add.builtinOptionsType, add.builtinOptions = (
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [1], [add]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Invoke it and compare."""
    interpreter = Interpreter(model_content=doubling_model(), num_threads=1)
    interpreter.allocate_tensors()
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    twice = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(twice, 2 * x)
    print("LiteRT adds up:", twice.ravel())


if __name__ == "__main__":
    main()
