"""Quantization recipes: how a float model becomes the bytes of a .tflite file.

Imported by the process that builds an artifact and no other.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from suite.models.examples import Example

IntegerType = Literal["float", "integer"]


def convert(
    quantization: str,
    model: Any,
    examples: Sequence[Example],
    io: IntegerType,
) -> bytes:
    """Convert a loaded model with TensorFlow's converter.

    Parameters
    ----------
    model
        A `suite.models.load.LoadedModel`.
    examples
        Representative data, for the recipes that are calibrated.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.function], model.owner)
    _SETTINGS[quantization](tf, converter)
    if quantization in _INTEGER:
        # By name: the converter lists a graph's inputs in an order of its own.
        names = [spec.name for spec in model.function.structured_input_signature[0]]
        data = [dict(zip(names, example, strict=True)) for example in examples]
        converter.representative_dataset = lambda: iter(data)
        if io == "integer":
            integer = getattr(tf, _INTEGER[quantization])
            converter.inference_input_type = converter.inference_output_type = integer
    return bytes(converter.convert())


def _float32(tf: Any, converter: Any) -> None:
    pass


def _dynamic(tf: Any, converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _float16(tf: Any, converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _int8(tf: Any, converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _int16x8(tf: Any, converter: Any) -> None:
    ops = tf.lite.OpsSet
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Float kernels beside: some operators (HARD_SWISH) have no 16-bit one.
    converter.target_spec.supported_ops = [
        ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        ops.TFLITE_BUILTINS,
    ]


_SETTINGS: dict[str, Callable[[Any, Any], None]] = {
    "float32": _float32,
    "dynamic": _dynamic,
    "float16": _float16,
    "int8": _int8,
    "int16x8": _int16x8,
}
_INTEGER = {"int8": "int8", "int16x8": "int16"}


def requantize(
    quantization: str,
    float_tflite: Path,
    examples: Sequence[Example],
    io: IntegerType,
) -> bytes:
    """Quantize a float .tflite file with litert-quantizer.

    Parameters
    ----------
    examples
        Representative data, for the recipes that are calibrated.
    """
    from litert_quantizer import Quantizer

    recipes = _requantization(quantization, io)
    quantizer = Quantizer(str(float_tflite), recipes.get_quantization_recipe())
    ranges = None
    if quantizer.need_calibration:
        from ai_edge_litert.interpreter import Interpreter
        from litert_quantizer.calibrator import Calibrator
        from litert_quantizer.utils.qsv_utils import min_max_update

        signatures = Interpreter(model_path=str(float_tflite)).get_signature_list()
        if not signatures:
            raise ValueError("it has no signature, which litert-quantizer needs to calibrate it")
        key, signature = next(iter(signatures.items()))
        names = sorted(signature["inputs"])
        data = [dict(zip(names, example, strict=True)) for example in examples]
        # All of their range, as TensorFlow takes it. By itself it moves by a twentieth with each
        # example: what the first few of them have would be cut off from the others.
        calibrator = Calibrator(str(float_tflite), qsv_update_func=min_max_update)
        calibrator.calibrate({key: data}, recipes)
        ranges = calibrator.get_model_qsvs()
    quantized = quantizer.quantize(ranges, enable_progress_report=False).quantized_model
    return bytes(quantized)


def _requantization(quantization: str, io: IntegerType) -> Any:
    """Return litert-quantizer's recipe, in its manager of recipes."""
    from litert_quantizer import qtyping, recipe
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.recipe_manager import RecipeManager

    ready: dict[str, Callable[[], Any]] = {
        "dynamic": recipe.dynamic_wi8_afp32,
        "weight-only-int8": recipe.weight_only_wi8_afp32,
        "weight-only-int4": recipe.weight_only_wi4_afp32,
        "int8": recipe.static_wi8_ai8,
        "int16x8": recipe.static_wi8_ai16,
    }
    manager = RecipeManager()
    if quantization != "float16":
        manager.load_quantization_recipe(ready[quantization]())
        if quantization in _INTEGER and io == "float":
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                manager.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
        return manager
    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    manager.add_quantization_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=half,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        AlgorithmName.FLOAT_CASTING,
    )
    return manager
