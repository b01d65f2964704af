"""Loading a model with TensorFlow; imported by the process that builds an artifact and no other."""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from suite.artifacts.check import UnfitError
from suite.errors import UserError
from suite.models import mnist_cnn
from suite.models.applications import INPUT_SIDE
from suite.models.examples import Example, InputSpec
from suite.models.seeded import spread_norms
from suite.models.source import APPLICATION, Source
from suite.models.spec import SEED, ModelSpec

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SILENCE_S = 60.0
"""A download that says nothing for so long has failed."""

Outputs = list[npt.NDArray[np.generic]]


@dataclass(frozen=True)
class LoadedModel:
    """A model as one function of its inputs, whatever it came as."""

    inputs: tuple[InputSpec, ...]
    function: Any
    """A concrete function with the batch dimension open, where the model leaves it open."""
    owner: Any
    """Keeps the variables alive, and tells the converter of them."""
    with_batch_of_one: "Callable[[], LoadedModel] | None" = None
    """The same with the batch closed, where it is open."""

    def run(self, example: Example) -> Outputs:
        """Return the model's own outputs, flattened."""
        outputs = self.function(*[tf.constant(value) for value in example])
        return [outputs[name].numpy() for name in sorted(outputs)]


def load_keras(name: str, spec: ModelSpec, source: Source) -> Any:
    """Load a Keras model; an example is not trained yet.

    Raises
    ------
    UserError
        If it cannot be loaded.
    """
    try:
        if source.kind == "example":
            return _seeded(mnist_cnn.make(_seed(spec)), spec)
        return _application(spec, source) if source.kind == "keras-application" else _file(source)
    except Exception as error:
        weights = f", weights {spec.weights}" if spec.weights else ""
        raise UserError(
            f"The model {name!r} ({spec.source}{weights}) cannot be loaded: {first_line(error)}.",
            _APPLICATION_HINT if source.kind == "keras-application" else _FILE_HINT,
        ) from error


def _check_numbers(name: str, inputs: Sequence[InputSpec]) -> None:
    if texts := [repr(value.name) for value in inputs if value.dtype == "string"]:
        raise UserError(
            f"The model {name!r} takes text, in {', '.join(texts)}, and only numbers can be made "
            "up for it.",
            "Save the part of it that takes numbers.",
        )


def _seed(spec: ModelSpec) -> int:
    weights = str(spec.weights)
    return int(weights.removeprefix(SEED)) if weights.startswith(SEED) else 0


_APPLICATION_HINT = (
    "weights = 'seed:0' needs no download; a weights file must fit the application, and "
    "input_shape what it takes."
)
_FILE_HINT = (
    "If it has layers or functions of your own, give it as a SavedModel: model.export(folder). "
    "Else save it again with Keras 3."
)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that says something, at a bearable length."""
    plain = COLOUR.sub("", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    # Keras names the layer, and below it what is wrong.
    causes = [line for line in lines if not line.startswith("Exception encountered when calling")]
    text = (causes or [type(error).__name__])[0]
    return text.rstrip(".:")[:300]


def _application(spec: ModelSpec, source: Source) -> Any:
    application = spec.source.removeprefix(APPLICATION)
    side = INPUT_SIDE[application]
    weights: str | None = None
    if source.weights_path:
        weights = str(source.weights_path)
    elif spec.weights == "imagenet":
        weights = "imagenet"
        socket.setdefaulttimeout(SILENCE_S)  # Keras itself would wait for an answer for ever
    else:
        tf.keras.utils.set_random_seed(_seed(spec))
    make = getattr(tf.keras.applications, application)
    # Given even where it is the default: without it MobileNetV3 leaves the image's size open.
    return _seeded(make(weights=weights, input_shape=spec.input_shape or (side, side, 3)), spec)


def _seeded(model: Any, spec: ModelSpec) -> Any:
    if str(spec.weights).startswith(SEED):
        spread_norms(model, _seed(spec))
    return model


def _file(source: Source) -> Any:
    return tf.keras.models.load_model(str(source.path), compile=False)


def from_keras(
    name: str, spec: ModelSpec, model: Any, side: int = 0, batch: int = 1
) -> LoadedModel:
    """Return a Keras model as one function of its inputs.

    Parameters
    ----------
    side
        Of its images in pixels; 0 for what it was made for.
    batch
        Rows of its inputs.

    Raises
    ------
    UserError
        If it leaves open what shape its inputs have, or has another than the one that is asked for.
    UnfitError
        If it cannot take images of that side, or that batch.
    """
    if side:
        model = _resized(model, side)
        spec = spec.model_copy(update={"input_shape": None})
    tensors = getattr(model, "inputs", None)
    if not tensors:
        if spec.input_shape is None:
            raise UserError(
                f"The model {name!r} does not say what shape its input has.",
                f"Set input_shape under [models.{name}].",
            )
        model(tf.zeros((1, *spec.input_shape)))
        inputs = [InputSpec("input", (batch, *spec.input_shape), "float32")]
        return _traced(
            lambda value: model(value, training=False), inputs, model, _batch(None, batch)
        )
    rows = _batch(tensors[0].shape[0], batch)
    inputs = [
        InputSpec(
            tensor.name,
            (rows or 1, *_closed(name, spec, tensor.shape[1:], len(tensors))),
            tf.as_dtype(tensor.dtype).name,
        )
        for tensor in tensors
    ]
    _check_numbers(name, inputs)

    # A single tensor, a list or a dictionary, as the model was made. A Sequential takes one tensor,
    # and has no `input` before it was called.
    structure = tensors[0] if isinstance(model, tf.keras.Sequential) else model.input

    def call(*values: Any) -> Any:
        return model(tf.nest.pack_sequence_as(structure, values), training=False)

    # Random layers keep a seed, which the graph refers to though inference does not draw.
    seeds = [variable.value for variable in model.variables]
    return _traced(call, inputs, [model, *seeds], rows)


def _batch(own: int | None, wanted: int) -> int | None:
    """Return the batch to trace a model with; None leaves it open, as the model does."""
    if wanted == 1:
        return own
    if own not in (None, wanted):
        raise UnfitError(f"its batch is fixed at {own}")
    return wanted


def _resized(model: Any, side: int) -> Any:
    """Return a model with the same weights for other images."""
    tensors = getattr(model, "inputs", None) or []
    if len(tensors) != 1 or len(tensors[0].shape) != 4:
        raise UnfitError(f"it takes no images, so none of {side} × {side} pixels")
    try:
        image = tf.keras.Input((side, side, tensors[0].shape[-1]), dtype=tensors[0].dtype)
        resized = tf.keras.models.clone_model(
            model, input_tensors=image, clone_function=_of_no_shape
        )
        resized.set_weights(model.get_weights())
    except Exception as error:
        raise UnfitError(
            f"its layers cannot take images of {side} × {side} pixels: {first_line(error)}"
        ) from error
    return resized


def _of_no_shape(layer: Any) -> Any:
    """Return a layer anew; a model as a layer would keep its shape otherwise.

    A Sequential, as low-rank makes them; or the base of a model that was trained on from another.
    """
    if isinstance(layer, tf.keras.Sequential):
        return tf.keras.Sequential([*map(_of_no_shape, layer.layers)], name=layer.name)
    inputs = getattr(layer, "inputs", None) or []
    if [len(tensor.shape) for tensor in inputs] == [4]:
        image = tf.keras.Input((None, None, inputs[0].shape[-1]), dtype=inputs[0].dtype)
        return tf.keras.models.clone_model(layer, input_tensors=image, clone_function=_of_no_shape)
    return layer.__class__.from_config(layer.get_config())


def _traced(
    call: Callable[..., Any], inputs: Sequence[InputSpec], kept: Any, batch: int | None
) -> LoadedModel:
    """Trace `call`, with the batch left open if it is None."""
    specs = [
        tf.TensorSpec(
            (batch, *spec.shape[1:]), spec.dtype, name=_argument(spec.name, number, inputs)
        )
        for number, spec in enumerate(inputs)
    ]

    def named(*values: Any) -> dict[str, Any]:
        outputs = tf.nest.flatten(call(*values))
        return {f"output_{number:03}": value for number, value in enumerate(outputs)}

    function = tf.function(named).get_concrete_function(*specs)
    # The converter finds variables by following attributes from an owner. A Keras 3 model hides its
    # own from it, and they would be left as operators that yield NaN: so they are laid open.
    owner = tf.Module()
    owner.captured = [kept, *function.graph.variables]
    closed = partial(_traced, call, inputs, kept, 1) if batch is None else None
    return LoadedModel(tuple(inputs), function, owner, closed)


def _argument(name: str, number: int, inputs: Sequence[InputSpec]) -> str:
    """Name an argument so that the order of the names is the order of the inputs."""
    plain = "".join(c if c.isalnum() else "_" for c in name.partition(":")[0]) or "input"
    return plain if len(inputs) == 1 else f"input_{number:03}_{plain}"


def _closed(
    name: str, spec: ModelSpec, shape: Sequence[int | None], inputs: int
) -> tuple[int, ...]:
    """Return an input's shape with the dimensions that the model leaves open filled in."""
    shape = tuple(shape)
    given = spec.input_shape
    if given is not None and inputs > 1:
        raise UserError(
            f"The model {name!r} has {inputs} inputs, and input_shape is for one.",
            f"Leave it away under [models.{name}].",
        )
    if given is not None:
        fits = len(given) == len(shape) and all(
            open_ is None or open_ == size for open_, size in zip(shape, given, strict=True)
        )
        if not fits:
            raise UserError(
                f"The model {name!r} takes inputs of shape {_written(shape)}, not {list(given)}.",
                f"Change input_shape under [models.{name}], or leave it away.",
            )
        return given
    if None in shape:
        hint = "Set input_shape" if inputs == 1 else "Save it with fixed shapes: it has several"
        raise UserError(
            f"The model {name!r} leaves dimensions of its input open: {_written(shape)}.",
            f"{hint} under [models.{name}]." if inputs == 1 else f"{hint} inputs.",
        )
    return tuple(int(size) for size in shape if size is not None)


def _written(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def load_saved_model(name: str, spec: ModelSpec, source: Source, wanted: int = 1) -> LoadedModel:
    """Load a SavedModel, with `wanted` rows in its inputs.

    Raises
    ------
    UserError
        If it cannot be used, whatever is to be made of it.
    UnfitError
        If it cannot take that batch.
    """
    try:
        loaded = tf.saved_model.load(str(source.path))
    except Exception as error:
        raise UserError(
            f"The SavedModel {str(source.path)!r} cannot be loaded: {first_line(error)}.",
            "Save it again with TensorFlow 2.",
        ) from error
    function = _signature(name, spec, loaded) or _restored_function(name, loaded)
    # A restored function is called as it was traced: tensors where it had tensors, and otherwise
    # the same constants (training=False, None) again.
    structure = function.structured_input_signature
    leaves = tf.nest.flatten(structure)
    tensors = [leaf for leaf in leaves if isinstance(leaf, tf.TypeSpec)]
    if not tensors or any(leaf.shape.rank in (None, 0) for leaf in tensors):
        raise UserError(
            f"The SavedModel of {name!r} does not say what shape its inputs have.",
            "Save it with a signature that does.",
        )
    batches = {leaf.shape[0] for leaf in tensors}
    batch = _batch(batches.pop() if len(batches) == 1 else 1, wanted)
    inputs = [
        InputSpec(
            leaf.name or f"input_{number}",
            (batch or 1, *_closed(name, spec, leaf.shape[1:], len(tensors))),
            leaf.dtype.name,
        )
        for number, leaf in enumerate(tensors)
    ]
    _check_numbers(name, inputs)

    def call(*values: Any) -> Any:
        waiting = iter(values)
        filled = [next(waiting) if isinstance(x, tf.TypeSpec) else x for x in leaves]
        args, kwargs = tf.nest.pack_sequence_as(structure, filled)
        return function(*args, **kwargs)

    return _traced(call, inputs, loaded, batch)


def _signature(name: str, spec: ModelSpec, loaded: Any) -> Any:
    """Return the signature to use; none where the SavedModel has none."""
    signatures = dict(loaded.signatures)
    if spec.signature is not None:
        if spec.signature not in signatures:
            raise UserError(
                f"The SavedModel of {name!r} has no signature {spec.signature!r}.",
                f"It has: {', '.join(signatures) or 'none; leave the key away'}.",
            )
        return signatures[spec.signature]
    if len(signatures) > 1 and "serving_default" not in signatures:
        raise UserError(
            f"The SavedModel of {name!r} has several signatures: {', '.join(signatures)}.",
            f"Choose one with signature under [models.{name}].",
        )
    return signatures.get("serving_default") or next(iter(signatures.values()), None)


def _restored_function(name: str, loaded: Any) -> Any:
    """Return a traced function of a SavedModel without signatures.

    This is what the converter itself refuses ("Only support at least one signature key."): the
    functions are there, only their entry in the signature map is not.
    """
    candidates = {
        attribute: getattr(loaded, attribute)
        for attribute in ("__call__", "serve", "call", "predict", *sorted(vars(loaded)))
        if getattr(getattr(loaded, attribute, None), "concrete_functions", None)
    }
    if not candidates:
        raise UserError(
            f"The SavedModel of {name!r} has no signature and no traced function: nothing in it "
            "can be run, and it cannot be recovered.",
            "Save it again with tf.saved_model.save(model, folder, signatures=...).",
        )
    functions = next(iter(candidates.values())).concrete_functions
    # A Keras model is traced with and without training; inference is what has no training=True.
    return min(functions, key=lambda f: True in tf.nest.flatten(f.structured_input_signature))
