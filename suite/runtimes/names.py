"""The names on the runtime axis and on the delegate axis."""

LITERT = "litert"
RUNTIMES = (LITERT, "tensorflow", "onnxruntime", "openvino")

XNNPACK = "xnnpack"
DELEGATES = (XNNPACK, "none")
"""What LiteRT may hand a model's operators to: XNNPACK, or nothing, for its own kernels."""
