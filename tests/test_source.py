"""Finding a model: every kind of source, and what is wrong with it otherwise."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from suite import ModelSpec, UserError
from suite.models.applications import INPUT_SIDE
from suite.models.source import Source, resolve_source


def resolve(folder: Path, source: str, **spec: object) -> Source:
    return resolve_source("m", ModelSpec(source=source, **spec), folder)  # type: ignore[arg-type]


def test_every_kind(models: Path) -> None:
    assert resolve(models, "keras:ResNet50").kind == "keras-application"
    assert resolve(models, "tiny.keras").kind == "keras-file"
    assert resolve(models, "exported").kind == "saved-model"
    assert resolve(models, "exported/").kind == "saved-model"
    ready = resolve(models, "tiny.tflite")
    assert (ready.kind, ready.own_quantization) == ("tflite", "float32")
    assert resolve(Path("/"), str(models / "tiny.keras")).path == models / "tiny.keras"


def test_the_applications_that_users_ask_for() -> None:
    assert {"ResNet50", "MobileNetV2", "EfficientNetB0", "MobileNetV3Small"} <= INPUT_SIDE.keys()


def test_the_digest_is_of_the_content(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "exported", tmp_path / "copy")
    shutil.copy(models / "tiny.keras", tmp_path / "my model.keras")
    assert resolve(tmp_path, "copy").digest == resolve(models, "exported").digest
    assert resolve(tmp_path, "my model.keras").digest == resolve(models, "tiny.keras").digest
    (tmp_path / "copy" / "assets").mkdir(exist_ok=True)
    (tmp_path / "copy" / "assets" / "new").write_text("")
    assert resolve(tmp_path, "copy").digest != resolve(models, "exported").digest


def test_weights_and_data_are_part_of_the_identity(models: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 4)))
    with_data = resolve(models, "tiny.keras", data=str(tmp_path / "x.npy"))
    assert with_data.data_path == tmp_path / "x.npy"
    assert len(with_data.data_digest) == 64
    weights = resolve(models, "keras:ResNet50", weights="tiny.keras")
    assert weights.weights_path == models / "tiny.keras"
    assert resolve(models, "keras:ResNet50", weights="imagenet").weights_path is None


@pytest.mark.parametrize(
    ("source", "spec", "words"),
    [
        ("keras:resnet50", {}, ["'resnet50'", "'ResNet50'"]),
        ("keras:", {}, ["no application ''"]),
        ("example:mnist", {}, ["no example 'mnist'", "'mnist-cnn'"]),
        ("keras:ResNet50", {"data": "example:digits"}, ["no example data 'digits'", "mnist"]),
        ("absent.keras", {}, ["absent.keras"]),
        (".", {}, ["no SavedModel", "saved_model.pb"]),
        ("note.txt", {}, ["note.txt", "no model that is known"]),
        ("half.keras", {}, ["half.keras", "truncated"]),
        ("x" * 5000 + "/m.keras", {}, []),
        ("a\0b.keras", {}, ["[models.m] source"]),
        ("keras:ResNet50", {"weights": "absent.h5"}, ["[models.m] weights", "absent.h5"]),
        ("keras:ResNet50", {"data": "absent.npy"}, ["[models.m] data", "absent.npy"]),
        ("keras:ResNet50", {"data": "."}, ["[models.m] data", "is a folder"]),
    ],
)
def test_what_is_not_there_is_named(
    models: Path, tmp_path: Path, source: str, spec: dict[str, str], words: list[str]
) -> None:
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "half.keras").write_bytes((models / "tiny.keras").read_bytes()[:999])
    try:
        with pytest.raises(UserError) as caught:
            resolve(tmp_path, source, **spec)
    except ValueError as error:
        assert "at most 4096" in str(error)  # the sweep's own limit
        return
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 600
