"""From an example as it lies in its file to what a model takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from suite.data.labelled import Array, Raw
from suite.errors import UserError
from suite.models.spec import Preprocess

WIDE = ("I", "F")
"""What the modes of images with more than 8 bits begin with, as Pillow calls them."""


class MisfitError(UserError):
    """Data do not fit an input of a model.

    Parameters
    ----------
    axis
        What the input would have to be on another place of: `resolution` or `batch`.
    """

    def __init__(self, what: str, mend: str, axis: Literal["resolution", "batch"]) -> None:
        super().__init__(what, mend)
        self.axis = axis


def prepare(raw: Raw, shape: Sequence[int], how: Preprocess | None) -> Array:
    """Return an example as an array of `shape`, which is the model's without its batch.

    Images are resized, their channels put in order, then `(value × scale - mean) / std`, in
    float32. Without `how`, the example is taken as it is; a channel dimension that only is not
    written down is added.

    Raises
    ------
    MisfitError
        If it is of another shape and `how` does not resize.
    UserError
        If it is no image that can be read.
    """
    if isinstance(raw, Path) and len(shape) == 2:  # grey, and no dimension for that
        grey: Array = prepare(raw, (*shape, 1), how)[..., 0]
        return grey
    value = _pixels(raw, shape) if isinstance(raw, Path) else np.asarray(raw)
    if len(shape) == 3 and shape[-1] == 1 and value.ndim == 2:
        value = value[..., np.newaxis]
    if how and how.resize and len(shape) == value.ndim == 3 and value.shape[:2] != shape[:2]:
        value = _resized(value, (shape[0], shape[1]), crop=how.resize == "crop")
    if value.shape != tuple(shape):
        where = f" in {str(raw)!r}" if isinstance(raw, Path) else ""
        raise MisfitError(
            f"The data{where} are of shape {value.shape}; the model's input is {tuple(shape)}.",
            'Save them so, set input_shape, or resize images: preprocess = { resize = "crop" }.',
            "resolution",
        )
    if how is None:
        return value
    if how.channels == "bgr":
        value = value[..., ::-1]
    mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
    channels = shape[-1] if shape else 1
    if not {len(mean), len(std)} <= {1, channels}:
        raise UserError(
            f"preprocess has {len(mean)} values in mean and {len(std)} in std; the images have "
            f"{channels} channel{'s' * (channels > 1)}.",
            "Give one value, or one for each channel.",
        )
    return np.asarray((value.astype(np.float32) * np.float32(how.scale) - mean) / std)


def _pixels(path: Path, shape: Sequence[int]) -> Array:
    from PIL import Image, ImageOps

    mode = "L" if len(shape) == 3 and shape[-1] == 1 else "RGB"
    try:
        if not path.is_file():  # what is neither might never answer
            raise UserError(f"{str(path)!r} is called an image, and is no file.", "Take it out.")
        with Image.open(path) as image:
            if image.mode.startswith(WIDE):  # would be cut off at 255
                raise UserError(
                    f"The image {str(path)!r} has more than 8 bits a pixel (mode {image.mode}).",
                    "Convert it to 8 bits, or save the numbers in an .npz.",
                )
            return np.asarray(ImageOps.exif_transpose(image).convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"The image {str(path)!r} cannot be read: {str(error).rstrip('.')}.",
            "Save it again, or take it out.",
        ) from error


def _resized(value: Array, size: tuple[int, int], *, crop: bool) -> Array:
    """Resize bilinearly, after cutting to the new proportions around the middle if `crop`."""
    from PIL import Image

    height, width = value.shape[:2]
    box = (0.0, 0.0, float(width), float(height))
    if crop:
        ratio = min(height / size[0], width / size[1])
        top, left = (height - ratio * size[0]) / 2, (width - ratio * size[1]) / 2
        box = (left, top, width - left, height - top)
    planes = [
        # Plane by plane in float: any number of channels, of any type.
        Image.fromarray(value[..., channel].astype(np.float32)).resize(
            size[::-1], Image.Resampling.BILINEAR, box
        )
        for channel in range(value.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)
