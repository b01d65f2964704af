"""What is wrong with an artifact, and how far its outputs are from the float reference."""

import math
import re
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
from suite.runtimes.names import ABOUT, LITERT, XNNPACK
from suite.runtimes.protocol import Executable, import_runtime

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


@dataclass(frozen=True)
class Port:
    """An input or an output of a model, and what its integers stand for."""

    place: int
    """Among those of the runtime."""
    spec: InputSpec
    scale: float = 0.0
    """Of a step; 0 where its values are what they are."""
    zero: int = 0

    def stored(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a float value as an integer input holds it; another as it is."""
        dtype = np.dtype(self.spec.dtype)
        if value.dtype.kind != "f" or dtype.kind == "f" or not self.scale:
            return value.astype(dtype)
        limits = np.iinfo(dtype)
        steps = np.clip(np.round(value / self.scale) + self.zero, limits.min, limits.max)
        return steps.astype(dtype)

    def number(self, value: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return what an integer output stands for; another as it is."""
        number: npt.NDArray[np.float64] = value.astype(np.float64)
        if value.dtype.kind in "iu" and self.scale:
            return (number - self.zero) * self.scale
        return number


class Runner:
    """An artifact on one thread, with float values at either end.

    Parameters
    ----------
    inputs, outputs
        In the order in which examples and references have them; None for the runtime's own.
    """

    def __init__(
        self,
        model: Executable,
        title: str,
        inputs: Sequence[Port],
        outputs: Sequence[Port] | None = None,
    ) -> None:
        self._model = model
        self._title = title
        self._inputs = inputs
        self._outputs = outputs

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The inputs, as their file has them."""
        return tuple(port.spec for port in self._inputs)

    def run(self, example: Example) -> Outputs:
        """Return the outputs, quantized ones as the numbers that they stand for."""
        for port, value in zip(self._inputs, example, strict=True):
            if port.spec.shape != value.shape:
                raise UnfitError(
                    f"its input {port.spec.name!r} is of shape {list(port.spec.shape)}, "
                    f"not {list(value.shape)}"
                )
        placed = sorted(zip(self._inputs, example, strict=True), key=lambda pair: pair[0].place)
        try:
            self._model.set_inputs([port.stored(value) for port, value in placed])
            self._model.invoke()
            values = self._model.outputs()
        except Exception as error:
            raise _cannot_run(self._title, error) from error
        if self._outputs is None:
            return [value.astype(np.float64) for value in values]
        return [port.number(values[port.place]) for port in self._outputs]

    def latency_ns(self) -> int:
        """Return the time of one invocation, as it comes."""
        begin = time.perf_counter_ns()
        self._model.invoke()
        return time.perf_counter_ns() - begin


def tflite_runner(path: Path, runtime: str = LITERT, artifact: Path | None = None) -> Runner:
    """Return the runner of a .tflite file, or of what was made of it for another runtime.

    Parameters
    ----------
    artifact
        What was made of it, with the same inputs and outputs in the same order; by default itself.

    Raises
    ------
    UnfitError
        If the runtime cannot load it.
    """
    from ai_edge_litert.interpreter import Interpreter

    # The shapes first: tensors of one that is open cannot be allocated.
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        check_shapes(interpreter.get_input_details())
        inputs, outputs = _ends(interpreter)
    except (RuntimeError, ValueError) as error:
        raise _cannot_run(ABOUT[LITERT].title, error) from error
    title, module = ABOUT[runtime].title, import_runtime(runtime)
    try:
        model = module.load(str(artifact or path), 1, XNNPACK)
    except Exception as error:
        raise _cannot_run(title, error) from error
    return Runner(model, title, inputs, outputs)


def _cannot_run(title: str, error: Exception) -> UnfitError:
    return UnfitError(f"{title} cannot run it: {_one_line(error)}")


def _ends(interpreter: Any) -> tuple[list[Port], list[Port]]:
    """Return the inputs and the outputs, in the order of their names.

    The converter lists a graph's inputs in an order of its own; the signature tells which is which.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    places = [{t["index"]: place for place, t in enumerate(ends)} for ends in (inputs, outputs)]
    signatures = interpreter.get_signature_list()
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(*signatures)
        named = runner.get_input_details(), runner.get_output_details()
        inputs, outputs = ([ends[name] for name in sorted(ends)] for ends in named)
    return (
        [_port(tensor, places[0][tensor["index"]]) for tensor in inputs],
        [_port(tensor, places[1][tensor["index"]]) for tensor in outputs],
    )


def _port(tensor: dict[str, Any], place: int) -> Port:
    scale, zero = tensor["quantization"]
    shape, dtype = tuple(tensor["shape"].tolist()), np.dtype(tensor["dtype"]).name
    return Port(place, InputSpec(tensor["name"], shape, dtype, bool(scale)), scale, zero)


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
    place: NaN where each row is one number.
    """
    a, r = (np.concatenate([v.ravel() for e in group for v in e]) for group in (outputs, reference))
    if a.shape != r.shape:
        raise UnfitError(f"it has {a.size} outputs where the model itself has {r.size}")
    difference = float(np.linalg.norm(a - r))
    norms = float(np.linalg.norm(a)), float(np.linalg.norm(r))
    same = classes(outputs) == classes(reference)
    return Agreement(
        rel_l2=difference / norms[1] if norms[1] else (0.0 if difference == 0 else math.inf),
        max_abs=float(np.abs(a - r).max(initial=0.0)),
        cosine=float(a @ r) / (norms[0] * norms[1]) if all(norms) else math.nan,
        top1=float(np.mean(same)) if _rows(reference[0]).shape[1] > 1 else math.nan,
    )


def classes(outputs: Sequence[Outputs]) -> npt.NDArray[np.intp]:
    """Return for each row of each batch the place of the largest number in the first output."""
    return np.concatenate([_rows(example).argmax(1) for example in outputs])


def _rows(example: Outputs) -> npt.NDArray[np.float64]:
    """Return the first output as rows; a number alone is one."""
    first = np.atleast_1d(example[0])
    return first.reshape(len(first), -1)


def top1(outputs: Sequence[Outputs], labels: npt.NDArray[np.int64], names: int = 0) -> float:
    """Return the share of rows whose class is its label; raise as `check_labels` does."""
    check_labels(labels, names, [value.shape for value in outputs[0]])
    return float(np.mean(classes(outputs) == labels))


def check_labels(
    labels: npt.NDArray[np.int64], names: int, shapes: Sequence[Sequence[int]]
) -> None:
    """Refuse labels that the outputs of a model do not stand for.

    Parameters
    ----------
    names
        How many classes have a name; 0 where labels are given as numbers.
    shapes
        Of the outputs, with the batch.

    Raises
    ------
    UserError
        If there are several outputs, or one without a number for each class; if no number stands
        for a label, or they are not as many as the names.
    """
    if len(shapes) > 1:
        raise UserError(
            f"Labelled data are for models of one output; this one has {len(shapes)}.",
            "Save the part of it that classifies, or give its inputs without labels.",
        )
    _, *sizes = shapes[0] or (1,)
    count = max(sizes, default=1)
    if count == 1 or math.prod(sizes) > count:
        raise UserError(
            "Labelled data are for models whose output is a number for each class; this one's is "
            f"of shape {[*shapes[0]]}.",
            "Save the part of it that classifies, or give its inputs without labels.",
        )
    if names not in (0, count):
        raise UserError(
            f"The data have folders for {names} class{'es' * (names > 1)}; the model has {count} "
            "outputs, one for each class.",
            "Classes are numbered in the order of their names: give each class of the model a "
            "folder in train/, an empty one where there are no images.",
        )
    if labels.max() >= count:
        raise UserError(
            f"The labels go up to {labels.max()}; the model has {count} outputs, which stand for "
            f"the labels 0 to {count - 1}.",
            "Give the labels that the model was trained with.",
        )


def _one_line(error: Exception) -> str:
    """Return what an error says, without the places in its own source that OpenVINO puts before."""
    text = " ".join(str(error).split())
    return re.sub(r"(Exception from|Check '.*?' failed at) \S+: ", "", text)[:300].rstrip(".")
