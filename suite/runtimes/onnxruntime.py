"""onnxruntime, on its own CPU kernels."""

import json
import tempfile
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from suite.runtimes.protocol import Tensor, Values, most_of

NUMPY_NAMES = {"float": "float32", "double": "float64"}
ERRORS_ONLY = 3
EXACT: dict[str, str] = {
    # On Arm, matrices may be multiplied in bfloat16. Off is the default; said, it stays so.
    "mlas.enable_gemm_fastmath_arm64_bfloat16": "0",
}


class OnnxRuntime:
    """A session whose inputs and outputs are bound to memory beforehand."""

    def __init__(self, path: str, threads: int) -> None:
        self._path = path
        self._session = onnxruntime.InferenceSession(
            path, _options(threads), providers=["CPUExecutionProvider"]
        )
        self._binding = self._session.io_binding()
        for output in self._session.get_outputs():
            self._binding.bind_output(output.name)
        self._values: Sequence[Values] = ()
        self.invoke = partial(self._session.run_with_iobinding, self._binding)

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in the order of the file."""
        return [
            Tensor(node.name, _dtype(node.type), tuple(node.shape))
            for node in self._session.get_inputs()
        ]

    def set_inputs(self, values: Sequence[Values]) -> None:
        """Bind the inputs: onnxruntime reads them where they are."""
        self._values = [np.ascontiguousarray(value) for value in values]
        for tensor, value in zip(self.inputs, self._values, strict=True):
            self._binding.bind_cpu_input(tensor.name, value)

    def outputs(self) -> Sequence[Values]:
        """Return copies of what the last invocation has left."""
        return [value.numpy() for value in self._binding.get_outputs()]

    def delegation(self) -> tuple[int, int]:
        """Return the operators that are left when it has fused them; no delegate took any."""
        return len(self._operators), 0

    def computes_in(self) -> str:
        """Return the types that its operators write."""
        written = [operator["output_type_shape"] for operator in self._operators]
        return most_of(
            NUMPY_NAMES.get(name, name) for outputs in written for name, *_ in outputs[:1]
        )

    def tensors(self) -> None:
        """Return nothing: it does not tell where its tensors are."""

    @cached_property
    def _operators(self) -> list[dict[str, Any]]:
        """What is said of each operator by another session, which is profiled for one run."""
        with tempfile.TemporaryDirectory() as folder:
            options = _options(1)
            options.enable_profiling = True
            options.profile_file_prefix = f"{folder}/profile"
            session = onnxruntime.InferenceSession(
                self._path, options, providers=["CPUExecutionProvider"]
            )
            names = [tensor.name for tensor in self.inputs]
            session.run(None, dict(zip(names, self._values, strict=True)))
            events = json.loads(Path(session.end_profiling()).read_text())
        return [
            event["args"]
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        ]


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    for key, value in EXACT.items():
        options.add_session_config_entry(key, value)
    return options


def _dtype(written: str) -> np.dtype[Any]:
    """Return the type that is written as `tensor(float)`."""
    name = written.removeprefix("tensor(").removesuffix(")")
    return np.dtype(NUMPY_NAMES.get(name, name))


def load(path: str, threads: int, delegate: str) -> OnnxRuntime:
    """Open an .onnx file; there is no delegate to choose."""
    return OnnxRuntime(path, threads)
