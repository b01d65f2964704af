"""What is wrong with an artifact, and how far its outputs are from the float reference."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suite.errors import UserError
from suite.models.examples import Example, InputSpec
from suite.models.tflite_file import TfliteFile

Outputs = list[npt.NDArray[np.float64]]


class UnfitError(Exception):
    """The artifact must not be measured; the message says why."""


@dataclass(frozen=True)
class Agreement:
    """How far an artifact's outputs are from its float reference's, over all examples; or NaN."""

    rel_l2: float = math.nan
    max_abs: float = math.nan
    cosine: float = math.nan
    top1: float = math.nan


class Runner:
    """An artifact in an interpreter on one thread, with float values at either end."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._inputs, self._outputs = _ends(self._interpreter)
            check_shapes(self._inputs)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UnfitError(f"LiteRT cannot run it: {_one_line(error)}") from error

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The inputs, as their file has them."""
        return tuple(
            InputSpec(t["name"], tuple(t["shape"].tolist()), np.dtype(t["dtype"]).name)
            for t in self._inputs
        )

    def run(self, example: Example) -> Outputs:
        """Return the outputs, quantized ones as the numbers that they stand for."""
        for tensor, value in zip(self._inputs, example, strict=True):
            if list(tensor["shape"]) != list(value.shape):
                raise UnfitError(
                    f"its input {tensor['name']!r} is of shape {tensor['shape'].tolist()}, "
                    f"not {list(value.shape)}"
                )
            self._interpreter.set_tensor(tensor["index"], _quantized(value, tensor))
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise UnfitError(f"LiteRT cannot run it: {_one_line(error)}") from error
        return [_number(self._interpreter.get_tensor(t["index"]), t) for t in self._outputs]

    def latency_ns(self) -> int:
        """Return the time of one invocation, as it comes."""
        begin = time.perf_counter_ns()
        self._interpreter.invoke()
        return time.perf_counter_ns() - begin


def _ends(interpreter: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the details of the inputs and of the outputs, in the order of their names.

    The converter lists a graph's inputs in an order of its own; the signature tells which is which.
    """
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        return interpreter.get_input_details(), interpreter.get_output_details()
    runner = interpreter.get_signature_runner(*signatures)
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    return [inputs[name] for name in sorted(inputs)], [outputs[name] for name in sorted(outputs)]


def check_shapes(inputs: Sequence[dict[str, Any]]) -> None:
    """Refuse inputs that are open in another dimension than the batch.

    Raises
    ------
    UnfitError
        The runtime would take such a dimension to be 1.
    """
    for tensor in inputs:
        shape = tensor["shape_signature"].tolist()
        if any(size < 0 for size in shape[1:]):
            written = ", ".join("?" if size < 0 else str(size) for size in shape)
            raise UnfitError(
                f"its input {tensor['name']!r} has open dimensions, [{written}]; convert it with "
                "a fixed shape, or give the model as .keras with input_shape"
            )


def _quantized(value: npt.NDArray[Any], tensor: dict[str, Any]) -> npt.NDArray[Any]:
    """Return a float value as an integer input holds it; another as it is."""
    scale, zero = tensor["quantization"]
    dtype = np.dtype(tensor["dtype"])
    if value.dtype.kind != "f" or dtype.kind == "f" or not scale:
        return value.astype(dtype)
    limits = np.iinfo(dtype)
    steps: npt.NDArray[Any] = np.clip(np.round(value / scale) + zero, limits.min, limits.max)
    return steps.astype(dtype)


def _number(value: npt.NDArray[Any], tensor: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Return what an integer output stands for; another as it is."""
    scale, zero = tensor["quantization"]
    number: npt.NDArray[np.float64] = value.astype(np.float64)
    return (number - zero) * scale if value.dtype.kind in "iu" and scale else number


def check_operators(file: TfliteFile) -> None:
    """Refuse a file whose weights are not in it.

    Raises
    ------
    UnfitError
        The converter leaves variables that it cannot follow as operators, without an error; the
        runtime then reads them as nothing, and every output is NaN.
    """
    if file.variable_operators:
        raise UnfitError(
            f"its weights were left in variables ({', '.join(file.variable_operators)}), which "
            "LiteRT does not fill"
        )


def check_outputs(outputs: Sequence[Outputs]) -> None:
    """Refuse outputs that are not finite.

    Raises
    ------
    UnfitError
        If any number in them is NaN or infinite.
    """
    if not all(np.isfinite(value).all() for example in outputs for value in example):
        raise UnfitError("its outputs are not finite")


def agreement(outputs: Sequence[Outputs], reference: Sequence[Outputs]) -> Agreement:
    """Compare outputs with the reference's, example by example.

    `rel_l2` is |a - r| / |r| over all numbers of all outputs, `cosine` the cosine of the angle
    between them, `top1` the share of rows whose first output has its largest number at the same
    place.
    """
    a, r = (np.concatenate([v.ravel() for e in group for v in e]) for group in (outputs, reference))
    if a.shape != r.shape:
        raise UnfitError(f"it has {a.size} outputs where the model itself has {r.size}")
    difference = float(np.linalg.norm(a - r))
    norms = float(np.linalg.norm(a)), float(np.linalg.norm(r))
    return Agreement(
        rel_l2=difference / norms[1] if norms[1] else (0.0 if difference == 0 else math.inf),
        max_abs=float(np.abs(a - r).max(initial=0.0)),
        cosine=float(a @ r) / (norms[0] * norms[1]) if all(norms) else math.nan,
        top1=float(np.mean(classes(outputs) == classes(reference))),
    )


def classes(outputs: Sequence[Outputs]) -> npt.NDArray[np.intp]:
    """Return for each row of each batch the place of the largest number in the first output."""
    return np.concatenate([value.reshape(len(value), -1).argmax(1) for value, *_ in outputs])


def top1(outputs: Sequence[Outputs], labels: npt.NDArray[np.int64]) -> float:
    """Return the share of rows whose class is its label.

    Raises
    ------
    UserError
        If there is a label that no output stands for.
    """
    count = outputs[0][0][0].size
    if labels.max() >= count:
        raise UserError(
            f"The labels go up to {labels.max()}; the model has {count} outputs, which stand for "
            f"the labels 0 to {count - 1}.",
            "Give the labels that the model was trained with.",
        )
    return float(np.mean(classes(outputs) == labels))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
