"""Examples to put through a model: given in a file, or seeded noise."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suite.errors import UserError

SEED = 0

Example = list[npt.NDArray[np.generic]]
"""One value of each input, in the model's order."""


@dataclass(frozen=True)
class InputSpec:
    """An input of a model; where the batch is left open, its first dimension is 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str


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


def given_examples(path: Path, inputs: Sequence[InputSpec], count: int) -> list[Example]:
    """Return up to `count` examples from an .npy or .npz file.

    An .npz has an array for each input, by its name or, if no name fits, in order; the first
    dimension is the example.

    Raises
    ------
    UserError
        If the file cannot be read or its arrays do not fit the model's inputs.
    """
    arrays = _arrays(path, inputs)
    parts: list[npt.NDArray[Any]] = []
    for spec, array in zip(inputs, arrays, strict=True):
        if array.dtype.kind not in "fiub":
            raise UserError(
                f"The data in {str(path)!r} are of type {array.dtype}, and not numbers.",
                "Save numeric arrays with numpy.save or numpy.savez.",
            )
        batch, *shape = spec.shape or (1,)
        if list(array.shape[1:]) != shape or len(array) < batch:
            raise UserError(
                f"The data in {str(path)!r} are of shape {array.shape}; the model's input "
                f"{spec.name!r} needs (examples, {', '.join(map(str, shape))}).",
                "Save them so, or set input_shape.",
            )
        whole = array[: len(array) // batch * batch]
        parts.append(_as_type(path, whole.reshape(-1, *spec.shape), spec))
    if len({len(part) for part in parts}) > 1:
        raise UserError(
            f"The arrays in {str(path)!r} have different numbers of examples: "
            f"{', '.join(str(len(part)) for part in parts)}.",
            "The first dimension of each is the example.",
        )
    return [list(example) for example in islice(zip(*parts, strict=True), count)]


def _as_type(path: Path, array: npt.NDArray[Any], spec: InputSpec) -> npt.NDArray[Any]:
    """Return `array` in the type of the input.

    What is not finite is refused: the converter crashes on infinite ranges.
    """
    with np.errstate(all="ignore"):
        cast: npt.NDArray[Any] = array.astype(spec.dtype)
    if not (np.isfinite(array).all() and np.isfinite(cast).all()):
        raise UserError(
            f"The data in {str(path)!r} have NaN or infinity, or what is that as {spec.dtype}, "
            f"for the model's input {spec.name!r}.",
            "Leave those examples out.",
        )
    return cast


def _arrays(path: Path, inputs: Sequence[InputSpec]) -> list[npt.NDArray[np.generic]]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                found = {"": loaded}
            else:
                found = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The data in {str(path)!r} cannot be read: {error}.",
            "Save numeric arrays with numpy.save or numpy.savez.",
        ) from error
    names = [spec.name for spec in inputs]
    if set(names) <= found.keys():
        return [found[name] for name in names]
    if len(found) < len(inputs):
        raise UserError(
            f"The data in {str(path)!r} have {len(found)} arrays for {len(inputs)} inputs "
            f"({', '.join(names)}).",
            "Save one array for each input with numpy.savez.",
        )
    return list(found.values())[: len(inputs)]
