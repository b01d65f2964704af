"""Labelled examples: what calibrates and fine-tunes a model, and apart from it what scores it."""

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from suite.errors import UserError

Array = npt.NDArray[Any]
Raw = Array | Path
"""An example as it lies in its file, or the image that it is in."""

PARTS = ("train", "test")
NPY, ZIP = b"\x93NUMPY", b"PK"
"""What the files of numpy begin with."""
MOST_CLASSES = 2**31 - 1
NO_DATA = (
    *(OSError, EOFError, ValueError, LookupError, ArithmeticError, SyntaxError, TypeError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    tokenize.TokenError,
)
"""What numpy and zipfile raise over files that are damaged, encrypted, or made to confuse them."""
DATA_HINT = (
    "Save numeric arrays with numpy.save or numpy.savez, or give a folder of images, "
    "train/CLASS/ and test/CLASS/."
)
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
    names: tuple[str, ...] = ()
    """Of the classes, where these have folders."""


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
    train, test = (_part(path, arrays, part) for part in PARTS)
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
            if not file.read(len(NPY)).startswith((NPY, ZIP)):
                raise UserError(f"{str(path)!r} is no .npz or .npy file.", DATA_HINT)
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            _check_room(path, loaded.zip)
            arrays = {name: loaded[name] for name in loaded.files}
    except NO_DATA as error:
        raise UserError(
            f"The data in {str(path)!r} cannot be read: {str(error).rstrip('.')}.",
            "Save numeric arrays with numpy.save or numpy.savez.",
        ) from error
    except MemoryError as error:
        raise UserError(f"There is no memory for the data in {str(path)!r}: {error}.") from error
    if texts := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise UserError(f"{texts[0]!r} in {str(path)!r} is no array.", DATA_HINT)
    return arrays


def _check_room(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse what would not fit into memory: a small file may unpack to any size."""
    size = sum(member.file_size for member in archive.infolist()) / 2**30
    free = psutil.virtual_memory().available / 2**30
    if size > free:
        raise UserError(
            f"The data in {str(path)!r} are {size:.1f} GiB when unpacked; {free:.1f} GiB of memory "
            "are free.",
            "Take fewer examples, or give images in a folder: those are read one by one.",
        )


def check_numbers(path: Path, name: str, array: Array) -> None:
    """Refuse an array of examples that are no real numbers.

    Raises
    ------
    UserError
        Which names the array.
    """
    if array.dtype.kind not in "fiub" or array.ndim < 1 or not array.size:
        raise UserError(
            f"{str(path)!r}: {name} is {array.dtype} of shape {array.shape}, and no numbers for "
            "each example.",
            "Save real numbers; the first dimension is the example.",
        )


def _part(path: Path, arrays: dict[str, Array], part: str) -> Part:
    examples = arrays[f"x_{part}"]
    check_numbers(path, f"x_{part}", examples)
    return Part(examples, _labels(path, arrays, part) if f"y_{part}" in arrays else None)


def _labels(path: Path, arrays: dict[str, Array], part: str) -> npt.NDArray[np.int64]:
    labels, examples = arrays[f"y_{part}"], arrays[f"x_{part}"]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    if not whole or not 0 <= labels.min(initial=0) <= labels.max(initial=0) <= MOST_CLASSES:
        raise UserError(
            f"y_{part} in {str(path)!r} is {labels.dtype} of shape {labels.shape}"
            f"{f', from {labels.min()} to {labels.max()}' if whole else ''}, and no labels.",
            "A label is the number of the class, from 0: one whole number for each example.",
        )
    if len(labels) != len(examples):
        raise UserError(
            f"{str(path)!r} has {len(examples)} examples in x_{part}, and {len(labels)} labels in "
            f"y_{part}.",
            "Save one label for each example.",
        )
    return labels.astype(np.int64)


def _folder(path: Path) -> LabelledData:
    classes = {
        part: sorted(folder.name for folder in _seen(path / part) if folder.is_dir())
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
    return LabelledData(train, test, tuple(names))


def _seen(folder: Path) -> list[Path]:
    """Return what is in a folder, without what is hidden, as the marks of some systems are."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _images(folder: Path, names: Sequence[str]) -> Part:
    found = [
        (image, label)
        for label, name in enumerate(names)
        for image in _seen(folder / name)
        if image.suffix.lower() in IMAGES
    ]
    if not found:
        raise UserError(f"The folder {str(folder)!r} has no images.", f"Known: {', '.join(IMAGES)}")
    # In an order of no meaning: the first few calibrate, and are not to be of one class.
    order = np.random.default_rng(0).permutation(len(found))
    images, labels = zip(*(found[place] for place in order), strict=True)
    return Part(images, np.array(labels, np.int64))
