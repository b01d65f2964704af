"""The names on the quantization axis."""

RECIPES = (
    "float32",  # no optimisation
    "dynamic",  # the converter's DEFAULT: 8-bit weights, activations quantized as they come
    "float16",  # half-precision weights
    "int8",  # weights and activations, calibrated on representative data
    "int16x8",  # 16-bit activations, 8-bit weights, calibrated likewise
    "weight-only-int8",  # 8-bit weights, computed in float
    "weight-only-int4",
)
"""What can be built from a float model."""

FILE_ONLY = ("uint8", "mixed")
"""What only a ready .tflite can bring along."""

QUANTIZATIONS = RECIPES + FILE_ONLY

CALIBRATED = ("int8", "int16x8")
"""Recipes that need representative data."""

REQUANTIZED = ("weight-only-int8", "weight-only-int4")
"""Recipes that are applied to the float32 .tflite, by litert-quantizer."""
