"""Finding a model: what its `source` names, and the identity of what is there."""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from suite.canonical import digest
from suite.data.labelled import PARTS
from suite.errors import UserError, nearest
from suite.files import open_file
from suite.models.applications import INPUT_SIDE
from suite.models.spec import TRAINED, ModelSpec
from suite.models.tflite_file import read_tflite

APPLICATION = "keras:"
EXAMPLE = "example:"
EXAMPLE_DATA = {"mnist": Path(__file__).parent.parent / "data" / "mnist.npz"}
MOST_LINKS = 10_000
"""In a folder: forty folders, each with two links to the next, are a million million folders."""
KINDS = "a .keras file, a SavedModel folder or a .tflite file"

EXAMPLE_MODELS = {"mnist-cnn": Path(__file__).parent / "mnist_cnn.py"}

SourceKind = Literal["keras-application", "keras-file", "example", "saved-model", "tflite"]


@dataclass(frozen=True)
class Source:
    """A model that is there."""

    kind: SourceKind
    declared: str
    """As it stands in the sweep."""
    path: Path | None
    """Absolute; none for a Keras application or an example."""
    digest: str
    """Identity: the SHA-256 of the content, or the application's name."""
    own_quantization: str
    """What the model comes with: "float32", or what a ready .tflite holds."""
    weights_path: Path | None = None
    weights_digest: str = ""
    data_path: Path | None = None
    data_digest: str = ""


def resolve_source(name: str, spec: ModelSpec, folder: Path) -> Source:
    """Find the model `name` that `spec` declares; relative paths start from `folder`.

    Raises
    ------
    UserError
        If it is not there, is of no known kind, or cannot be read.
    """
    where = f"[models.{name}]"
    weights_path = None
    known = ("imagenet", TRAINED)
    if spec.weights and spec.weights not in known and not spec.weights.startswith("seed:"):
        weights_path = _file(f"{where} weights", spec.weights, folder)
    data_path = _data(f"{where} data", spec.data, folder) if spec.data else None
    kind, path, digest, quantization = _locate(where, spec.source, folder)
    return Source(
        kind=kind,
        declared=spec.source,
        path=path,
        digest=digest,
        own_quantization=quantization,
        weights_path=weights_path,
        weights_digest=hash_file(weights_path) if weights_path else "",
        data_path=data_path,
        data_digest=_data_sha256(data_path) if data_path else "",
    )


def _locate(where: str, declared: str, folder: Path) -> tuple[SourceKind, Path | None, str, str]:
    if declared.startswith(APPLICATION):
        application = declared.removeprefix(APPLICATION)
        if application not in INPUT_SIDE:
            raise UserError(
                f"{where} source: Keras has no application {application!r}.",
                nearest(application, INPUT_SIDE),
            )
        return "keras-application", None, declared, "float32"
    if declared.startswith(EXAMPLE):
        name = declared.removeprefix(EXAMPLE)
        if name not in EXAMPLE_MODELS:
            raise UserError(
                f"{where} source: there is no example {name!r}.", nearest(name, EXAMPLE_MODELS)
            )
        return "example", None, hash_file(EXAMPLE_MODELS[name]), "float32"
    path = _there(f"{where} source", declared, folder)
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise UserError(
                f"{where} source: the folder {str(path)!r} is no SavedModel: "
                "it has no saved_model.pb.",
                f"Give {KINDS}.",
            )
        return "saved-model", path, _folder_sha256(path), "float32"
    if path.suffix == ".tflite":
        quantization = read_tflite(path).quantization  # first: no matter what its size is
        return "tflite", path, hash_file(path), quantization
    if path.suffix == ".keras":
        if not zipfile.is_zipfile(path):
            raise UserError(
                f"{where} source: {str(path)!r} is truncated or no .keras file.",
                "Save the model again with model.save(...).",
            )
        return "keras-file", path, hash_file(path), "float32"
    raise UserError(f"{where} source: {str(path)!r} is no model that is known.", f"Give {KINDS}.")


def _there(where: str, declared: str, folder: Path) -> Path:
    """Return the absolute path of a file or folder that is there."""
    try:
        path = (folder / declared).resolve()
        if path.is_file() or path.is_dir():  # a pipe might never answer
            return path
    except (OSError, ValueError, RuntimeError) as error:  # no such name, a ring of links
        raise UserError(f"{where}: {declared[:60]!r} will not do as a path: {error}.") from error
    raise UserError(
        f"{where}: there is no file or folder {str(path)!r}.",
        "Paths are relative to the sweep's file; a Keras application is 'keras:ResNet50'.",
    )


def _file(where: str, declared: str, folder: Path) -> Path:
    path = _there(where, declared, folder)
    if not path.is_file():
        raise UserError(f"{where}: {str(path)!r} is a folder, not a file.")
    return path


def _data(where: str, declared: str, folder: Path) -> Path:
    if not declared.startswith(EXAMPLE):
        path = _there(where, declared, folder)
        if path.is_dir() and not all((path / part).is_dir() for part in PARTS):
            raise UserError(
                f"{where}: {str(path)!r} is a folder, but not of labelled images.",
                "Those lie in train/CLASS/ and test/CLASS/.",
            )
        return path
    name = declared.removeprefix(EXAMPLE)
    if name not in EXAMPLE_DATA:
        raise UserError(
            f"{where}: there are no example data {name!r}.", nearest(name, EXAMPLE_DATA)
        )
    return EXAMPLE_DATA[name]


def _data_sha256(path: Path) -> str:
    """Return the identity of data: folders of classes without images number the others too."""
    empty = [folder.name for folder in path.glob("train/*/") if not any(folder.iterdir())]
    content = _content_sha256(path)
    return digest([content, *sorted(empty)], 64) if empty else content


def _content_sha256(path: Path) -> str:
    return _folder_sha256(path) if path.is_dir() else hash_file(path)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


def _files(folder: Path, *above: Path, links: Iterator[int]) -> Iterator[Path]:
    """Yield the files in a folder, also those in folders that are links, but for links upwards.

    `above` is where the folder really is, behind where those really are that it is in.
    """
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.is_dir() and (inner := (above[-1] / path.name).resolve()) not in above:
            if path.is_symlink() and next(links) >= MOST_LINKS:
                raise UserError(
                    f"{str(path)!r} is one of more than {MOST_LINKS} links to folders.",
                    "Give a folder that holds its files itself.",
                )
            yield from _files(path, *above, inner, links=links)
        elif path.exists() and not path.is_dir():
            raise UserError(f"{str(path)!r} is a pipe or a device, and no file.", "Take it out.")


def _folder_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_files(folder, folder.resolve(), links=count())):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{hash_file(path)}\n".encode())
    return digest.hexdigest()
