"""The names on the runtime axis and on the delegate axis, and what is known without an import."""

from collections.abc import Mapping
from dataclasses import dataclass

from suite.quantizations import QUANTIZATIONS

LITERT = "litert"
TENSORFLOW = "tensorflow"
ONNXRUNTIME = "onnxruntime"
OPENVINO = "openvino"
RUNTIMES = (LITERT, TENSORFLOW, ONNXRUNTIME, OPENVINO)

XNNPACK = "xnnpack"
DELEGATES = (XNNPACK, "none")
"""What LiteRT may hand a model's operators to: XNNPACK, or nothing, for its own kernels."""


@dataclass(frozen=True)
class About:
    """A runtime, as far as it is known without being there."""

    title: str
    package: str
    modules: tuple[str, ...]
    """What is imported to run it, and to make its files."""
    extra: str
    """Of litesweep: what installs it."""
    file: str
    """What an artifact for it is called."""
    takes: tuple[str, ...]
    """The quantizations that it runs as what they are."""
    others: str = ""
    """What becomes of other ones."""
    start_s: float = 0.0
    """What importing it takes longer than importing LiteRT."""


ABOUT: Mapping[str, About] = {
    LITERT: About(
        "LiteRT", "ai-edge-litert", ("ai_edge_litert",), "measure", "model.tflite", QUANTIZATIONS
    ),
    TENSORFLOW: About(
        "TensorFlow",
        *("tensorflow", ("tensorflow",), "build", "model.pb"),
        ("float32",),
        "it runs the model as it was before conversion",
        start_s=4.0,
    ),
    ONNXRUNTIME: About(
        "onnxruntime",
        *("onnxruntime", ("onnxruntime", "tf2onnx"), "onnxruntime", "model.onnx"),
        ("float32", "dynamic", "int8"),
        "it would compute it in float32",
    ),
    OPENVINO: About(
        "OpenVINO",
        *("openvino", ("openvino",), "openvino", "model.tflite"),
        ("float32", "float16", "int8"),
        "it cannot read it, or would compute it in float32",
        start_s=0.3,
    ),
}
