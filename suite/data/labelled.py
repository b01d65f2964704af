"""Labelled examples: what calibrates and fine-tunes a model, and apart from it what scores it."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suite.errors import UserError

Array = npt.NDArray[Any]
Raw = Array | Path
"""An example as it lies in its file, or the image that it is in."""

PARTS = ("train", "test")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Part:
    """Examples, and the number of each one's class."""

    examples: Sequence[Raw] | Array
    labels: npt.NDArray[np.int64] | None
    """Absent only where examples of the training part have none: they calibrate."""


@dataclass(frozen=True)
class LabelledData:
    """Two parts that have no example in common."""

    train: Part
    """Calibrates, and fine-tunes."""
    test: Part
    """Scores, and does nothing else."""


def read_labelled(path: Path) -> LabelledData | None:
    """Read labelled data.

    Parameters
    ----------
    path
        An .npz with `x_train`, `y_train`, `x_test` and `y_test` (`y_train` may be left out), or a
        folder with `train/CLASS/` and `test/CLASS/` full of images; classes are numbered in the
        order of their names.

    Returns
    -------
    LabelledData or None
        None for a file of inputs without labels.

    Raises
    ------
    UserError
        If it cannot be read, or its parts do not fit together.
    """
    if path.is_dir():
        return _folder(path)
    arrays = read_arrays(path)
    if not {"x_train", "y_train", "x_test", "y_test"} & arrays.keys():
        return None
    missing = [name for name in ("x_train", "x_test", "y_test") if name not in arrays]
    if missing:
        raise UserError(
            f"The labelled data in {str(path)!r} lack {', '.join(missing)}.",
            "Save x_train, y_train, x_test and y_test: what calibrates and fine-tunes must not be "
            "what is scored.",
        )
    train, test = (
        Part(arrays[f"x_{part}"], _labels(path, arrays, part) if f"y_{part}" in arrays else None)
        for part in PARTS
    )
    return LabelledData(train, test)


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz by their names, or that of an .npy by the name "".

    Raises
    ------
    UserError
        If it holds none.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The data in {str(path)!r} cannot be read: {error}.",
            "Save numeric arrays with numpy.save or numpy.savez.",
        ) from error


def _labels(path: Path, arrays: dict[str, Array], part: str) -> npt.NDArray[np.int64]:
    labels, examples = arrays[f"y_{part}"], arrays[f"x_{part}"]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise UserError(
            f"y_{part} in {str(path)!r} is {labels.dtype} of shape {labels.shape}, and no labels.",
            "A label is the number of the class, from 0: one whole number for each example.",
        )
    if not 0 < len(labels) == len(examples):
        raise UserError(
            f"{str(path)!r} has {len(examples)} examples in x_{part}, and {len(labels)} labels in "
            f"y_{part}.",
            "Save one label for each example.",
        )
    return labels.astype(np.int64)


def _folder(path: Path) -> LabelledData:
    classes = {
        part: sorted(folder.name for folder in (path / part).glob("*") if folder.is_dir())
        for part in PARTS
    }
    names = classes["train"]
    if not names or set(classes["test"]) - set(names):
        raise UserError(
            f"The data folder {str(path)!r} is not laid out as train/CLASS/ and test/CLASS/, with "
            "the same classes in both.",
            "Put the images of each class into a folder of its own in either part: what "
            "calibrates and fine-tunes must not be what is scored.",
        )
    train, test = (_images(path / part, names) for part in PARTS)
    return LabelledData(train, test)


def _images(folder: Path, names: Sequence[str]) -> Part:
    found = [
        (image, label)
        for label, name in enumerate(names)
        for image in sorted((folder / name).glob("*"))
        if image.suffix.lower() in IMAGES
    ]
    if not found:
        raise UserError(f"The folder {str(folder)!r} has no images.", f"Known: {', '.join(IMAGES)}")
    # In an order of no meaning: the first few calibrate, and are not to be of one class.
    order = np.random.default_rng(0).permutation(len(found))
    images, labels = zip(*(found[place] for place in order), strict=True)
    return Part(images, np.array(labels, np.int64))
