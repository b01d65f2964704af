"""OpenVINO, on the CPU, in the precision of the file."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import openvino

from suite.runtimes.protocol import Tensor, Values, most_of

NUMPY_NAMES = {
    **{"f32": "float32", "f16": "float16", "bf16": "bfloat16"},
    **{"i8": "int8", "u8": "uint8", "i32": "int32", "i64": "int64"},
}
NO_WORK = ("Const", "Convert", "Input", "Output", "Reorder", "Reshape")
"""Layers that compute nothing."""


class OpenVino:
    """A compiled model and a request to run it."""

    def __init__(self, path: str, threads: int) -> None:
        core = openvino.Core()
        model = core.read_model(path)
        # Only a batch of one is left open in an artifact; closed, it is what others run as well.
        shapes = {
            port: [size.get_length() if size.is_static else 1 for size in port.partial_shape]
            for port in model.inputs
            if port.partial_shape.is_dynamic
        }
        if shapes:
            model.reshape(shapes)
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                # By default it computes in bfloat16 where the CPU can, and quantizes activations.
                "INFERENCE_PRECISION_HINT": "f32",
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
                "NUM_STREAMS": "1",
                "INFERENCE_NUM_THREADS": str(threads),
                # The process is pinned already, to the CPUs that are meant.
                "ENABLE_CPU_PINNING": "NO",
                "ENABLE_HYPER_THREADING": "YES",
            },
        )
        self._request = self._compiled.create_infer_request()
        # Without copies of the outputs, which LiteRT does not make either.
        self.invoke = partial(self._request.infer, share_outputs=True)

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in the order of the file."""
        return [
            Tensor(port.get_any_name(), np.dtype(port.element_type.to_dtype()), tuple(port.shape))
            for port in self._compiled.inputs
        ]

    def set_inputs(self, values: Sequence[Values]) -> None:
        """Copy the inputs into tensors of the request."""
        for number, value in enumerate(values):
            self._request.set_input_tensor(number, openvino.Tensor(np.ascontiguousarray(value)))

    def outputs(self) -> Sequence[Values]:
        """Return copies of what the last invocation has left."""
        return [
            self._request.get_output_tensor(number).data.copy()
            for number in range(len(self._compiled.outputs))
        ]

    def delegation(self) -> tuple[int, int]:
        """Return the operators that are left when it has fused them; no delegate took any."""
        return len(self._layers()), 0

    def computes_in(self) -> str:
        """Return the types that its layers are run in."""
        return most_of(NUMPY_NAMES.get(precision, precision) for precision in self._layers())

    def tensors(self) -> None:
        """Return nothing: it does not tell where its tensors are."""

    def _layers(self) -> list[str]:
        """Return the precision of each layer that computes."""
        said = [layer.get_rt_info() for layer in self._compiled.get_runtime_model().get_ops()]
        return [
            info["runtimePrecision"].astype(str)
            for info in said
            if info["layerType"].astype(str) not in NO_WORK
        ]


def load(path: str, threads: int, delegate: str) -> OpenVino:
    """Read a .tflite file and compile it; there is no delegate to choose."""
    return OpenVino(path, threads)
