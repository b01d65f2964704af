"""A model as a sweep declares it: where it comes from, its data, and how it is converted."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from suite.frozen import Frozen

TRAINED = "trained"
SEED = "seed:"
"""In front of the number that weights are drawn from."""
EXAMPLE_DEFAULTS = {"weights": TRAINED, "data": "example:mnist", "preprocess": {"scale": 1 / 255}}


def _weights(value: str) -> str:
    if value.startswith(SEED) and not re.fullmatch(r"seed:[0-9]{1,9}", value):
        raise ValueError(f"{value!r} is no seed: write 'seed:' and a whole number, as in 'seed:0'")
    return value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Number = Annotated[float, Field(ge=-1e6, le=1e6)]
OneOrEach = Annotated[tuple[Number, ...], BeforeValidator(_as_list), Field(min_length=1)]
"""One value, or one for each channel."""


class Preprocess(Frozen):
    """How examples become inputs: resized, channels in order, `(x × scale - mean) / std`."""

    scale: Number = 1.0
    """Factor, in front of all else."""
    mean: OneOrEach = (0.0,)
    """Subtracted: one value, or one for each channel."""
    std: OneOrEach = (1.0,)
    """Divided by, likewise."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """The order that the model takes; images are read as RGB."""
    resize: Literal["crop", "stretch"] | None = None
    """Absent: examples of another size are refused."""

    @model_validator(mode="after")
    def _can_be_divided_by(self) -> Self:
        if not all(self.std):
            raise ValueError("std must not be 0")
        return self


class FineTune(Frozen):
    """How an optimised model is trained on: see `suite.optimizations`."""

    epochs: Annotated[int, Field(strict=True, ge=0, le=1000)] = 4
    """After each step; 0 for none."""
    batch_size: Annotated[int, Field(strict=True, ge=1, le=65536)] = 64
    """Examples of a step of the optimiser."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    """At the beginning; it decays."""


class ModelSpec(Frozen):
    """Where a model comes from and how it is converted."""

    source: Annotated[str, Field(strict=True, min_length=1, max_length=4096)]
    """`keras:` and the name of a Keras application, `example:` and the name of a model that ships
    with us, or a path relative to the sweep's file."""
    weights: Annotated[str, Field(strict=True), AfterValidator(_weights)] | None = None
    """`seed:N`, `imagenet` or a file for a Keras application (default `seed:0`); `seed:N` or
    `trained` for an example (default `trained`)."""
    input_shape: tuple[Annotated[int, Field(strict=True, ge=1)], ...] | None = None
    """Without the batch dimension. Absent: what the model itself says."""
    signature: Annotated[str, Field(strict=True, min_length=1)] | None = None
    """Of a SavedModel. Absent: its only one, or `serving_default`."""
    data: Annotated[str, Field(strict=True, min_length=1)] | None = None
    """A .npy or .npz of inputs, first dimension the example, or labelled data: see
    `suite.data.labelled`. Absent: seeded noise."""
    preprocess: Preprocess | None = None
    """What the examples become before the model takes them."""
    fine_tune: FineTune = FineTune()
    """How an optimised model is trained on."""
    calibration_samples: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 16
    """Examples that int8 and int16x8 take their ranges from."""
    io: Literal["float", "integer"] = "float"
    """The type of the inputs and outputs of int8 and int16x8 artifacts."""

    @model_validator(mode="before")
    @classmethod
    def _weights_fit_the_source(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(table.get("source"), str):
            return table
        if table["source"].startswith("keras:"):
            # Spelled out, so that the default and the same value written down are one cell.
            return {"weights": "seed:0", **table}
        if table["source"].startswith("example:"):
            weights = table.get("weights", TRAINED)
            if weights != TRAINED and not str(weights).startswith(SEED):
                raise ValueError(f"weights of an 'example:' are {TRAINED!r} or 'seed:N'")
            return {**EXAMPLE_DEFAULTS, **table}
        if table.get("weights") is not None:
            raise ValueError("'weights' is for 'keras:' sources: a file brings its own")
        return table
