"""Examples to put through a model: given in a file, or seeded noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from suite.data.labelled import (
    Array,
    LabelledData,
    Part,
    check_numbers,
    read_arrays,
    read_labelled,
)
from suite.data.prepare import MisfitError, prepare
from suite.errors import UserError
from suite.models.spec import Preprocess

SEED = 0
CHECK_EXAMPLES = 4
"""What an artifact is checked on where there is no test part."""

Example = list[npt.NDArray[np.generic]]
"""One value of each input, in the model's order."""


@dataclass(frozen=True)
class InputSpec:
    """An input of a model; where the batch is left open, its first dimension is 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantized: bool = False
    """Whether its integers stand for real numbers."""


@dataclass(frozen=True)
class Examples:
    """What goes through a model while its artifact is made."""

    calibration: Sequence[Example]
    check: Sequence[Example]
    """What the artifact and its reference are compared on."""
    labels: npt.NDArray[np.int64] | None = None
    """Of `check`, end to end: the class of each row of each batch."""
    names: int = 0
    """How many classes have a name; 0 where labels are given as numbers."""


def examples_for(
    inputs: Sequence[InputSpec], path: Path | None, how: Preprocess | None, calibration: int
) -> Examples:
    """Return the examples for a model.

    Parameters
    ----------
    path
        Data as `suite.data.labelled.read_labelled` takes them, or an .npy or .npz of inputs; None
        for seeded noise.
    calibration
        Examples to calibrate on; fewer where the data have fewer.

    Raises
    ------
    MisfitError
        If the data do not fit the model's inputs.
    UserError
        If they cannot be read.
    """
    if path is None:
        examples = seeded_examples(inputs, max(calibration, CHECK_EXAMPLES))
    elif (data := read_labelled(path)) is None:
        examples = given_examples(path, inputs, max(calibration, CHECK_EXAMPLES), how)
    else:
        return _labelled(data, inputs, how, calibration)
    return Examples(examples[:calibration] or examples, examples[:CHECK_EXAMPLES])


def _labelled(
    data: LabelledData, inputs: Sequence[InputSpec], how: Preprocess | None, calibration: int
) -> Examples:
    train = Prepared(data.train, sole(inputs), how)[:calibration] if calibration else []
    test = Prepared(data.test, sole(inputs), how)
    labels = data.test.labels
    rows = len(test) * test.batch
    return Examples(train, test, None if labels is None else labels[:rows], len(data.names))


def sole(inputs: Sequence[InputSpec]) -> InputSpec:
    """Return a model's only input.

    Raises
    ------
    UserError
        If it has several: labelled data are for one.
    """
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        raise UserError(
            f"Labelled data are for models of one input; this one has {len(inputs)} ({names}).",
            "Give its inputs without labels: an .npz with an array for each.",
        )
    return inputs[0]


class Prepared(Sequence[Example]):
    """Part of labelled data, prepared batch by batch when it is asked for: it may be large."""

    def __init__(self, part: Part, spec: InputSpec, how: Preprocess | None) -> None:
        self.part, self.spec, self.how = part, spec, how
        self.batch, *self._shape = spec.shape or (1,)
        if len(self) == 0:
            raise MisfitError(
                f"The data have {len(part.examples)} examples in a part; a batch is {self.batch}.",
                "Give more of them, or take a smaller batch.",
                "batch",
            )

    def __len__(self) -> int:
        return len(self.part.examples) // self.batch

    @overload
    def __getitem__(self, place: int) -> Example: ...

    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...

    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        rows = range(place * self.batch, (place + 1) * self.batch)
        values = [prepare(self.part.examples[n], self._shape, self.how) for n in rows]
        return [_typed(np.stack(values), self.spec, self.how)]


def _typed(values: Array, spec: InputSpec, how: Preprocess | None) -> Array:
    """Return `values` in the type of the input; real numbers for a quantized one stay as they are.

    What is not finite is refused: the converter crashes on infinite ranges. So are numbers that an
    integer input has not.
    """
    real = values.dtype.kind == "f"
    dtype = "float32" if spec.quantized and real else spec.dtype
    whole = "int" in dtype or dtype == "bool"
    if how and real and whole:
        values = np.rint(values)
    with np.errstate(all="ignore"):
        cast: Array = values.astype(dtype)
    if not (np.isfinite(values).all() and np.isfinite(cast).all()):
        raise UserError(
            f"The data for the model's input {spec.name!r} have NaN or infinity, or what is that "
            f"as {dtype}.",
            "Leave those examples out.",
        )
    if whole and (cast != values).any():
        raise UserError(
            f"The data for the model's input {spec.name!r} have {values[cast != values][0]:g} in "
            f"them, and it takes {dtype}.",
            "It is quantized: if they are real numbers, say so, by preprocess = { scale = 1 }."
            if spec.quantized
            else "Save numbers of that type.",
        )
    return cast


def seeded_examples(inputs: Sequence[InputSpec], count: int) -> list[Example]:
    """Return `count` examples of seeded noise: floats within [0, 1), integers 0 or 1.

    Whole numbers are indices more often than not, and 0 and 1 are within any table.
    """
    generator = np.random.default_rng(SEED)

    def draw(spec: InputSpec) -> npt.NDArray[np.generic]:
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            return np.asarray(generator.random(spec.shape, dtype=np.float32)).astype(dtype)
        return np.asarray(generator.integers(0, 2, spec.shape)).astype(dtype)

    return [[draw(spec) for spec in inputs] for _ in range(count)]


def given_examples(
    path: Path, inputs: Sequence[InputSpec], count: int, how: Preprocess | None = None
) -> list[Example]:
    """Return up to `count` examples from an .npy or .npz file.

    An .npz has an array for each input, by its name or, if no name fits, in order; the first
    dimension is the example.

    Raises
    ------
    MisfitError
        If its arrays do not fit the model's inputs.
    UserError
        If the file cannot be read, or has too few arrays.
    """
    arrays = _arrays(path, inputs)
    parts = []
    for spec, array in zip(inputs, arrays, strict=True):
        check_numbers(path, f"what is for the input {spec.name!r}", array)
        _, *shape = spec.shape or (1,)
        if how is None and list(array.shape[1:]) != shape:
            raise MisfitError(
                f"The data in {str(path)!r} are of shape {array.shape}; the model's input "
                f"{spec.name!r} needs (examples, {', '.join(map(str, shape))}).",
                "Save them so, or set input_shape.",
                "resolution",
            )
        parts.append(Prepared(Part(array, None), spec, how))
    if len({len(part) for part in parts}) > 1:
        raise UserError(
            f"The arrays in {str(path)!r} have different numbers of examples: "
            f"{', '.join(str(len(part)) for part in parts)}.",
            "The first dimension of each is the example.",
        )
    taken = zip(*(part[:count] for part in parts), strict=True)
    return [[value for example in row for value in example] for row in taken]


def _arrays(path: Path, inputs: Sequence[InputSpec]) -> list[Array]:
    found = read_arrays(path)
    names = [spec.name for spec in inputs]
    # A converter has put its own around the name of an input.
    plain = [name.removeprefix("serving_default_").partition(":")[0] for name in names]
    for known in (names, plain):
        if set(known) <= found.keys():
            return [found[name] for name in known]
    if len(found) < len(inputs):
        raise UserError(
            f"The data in {str(path)!r} have {len(found)} arrays for {len(inputs)} inputs "
            f"({', '.join(names)}).",
            "Save one array for each input with numpy.savez.",
        )
    return list(found.values())[: len(inputs)]
