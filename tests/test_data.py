"""Labelled data: files and folders, what is wrong with them, and what becomes of an example."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from suite import UserError
from suite.artifacts.check import check_labels
from suite.data.labelled import LabelledData, read_labelled
from suite.data.prepare import prepare
from suite.models.examples import InputSpec, examples_for
from suite.models.source import EXAMPLE_DATA, Source, resolve_source
from suite.models.spec import ModelSpec, Preprocess

SPEC = InputSpec("image", (1, 4, 4, 3), "float32")


def parts(**changed: Any) -> dict[str, Any]:
    """Return the arrays of a labelled .npz; None takes one away."""
    rng = np.random.default_rng(0)
    plain: dict[str, Any] = {
        "x_train": rng.integers(0, 256, (7, 4, 4, 3), np.uint8),
        "y_train": np.arange(7) % 3,
        "x_test": rng.integers(0, 256, (5, 4, 4, 3), np.uint8),
        "y_test": np.arange(5, dtype=np.uint8) % 3,
    }
    return {name: value for name, value in (plain | changed).items() if value is not None}


def saved(tmp_path: Path, **changed: Any) -> Path:
    np.savez(tmp_path / "d.npz", **parts(**changed))
    return tmp_path / "d.npz"


def read(path: Path) -> LabelledData:
    data = read_labelled(path)
    assert data is not None
    return data


def test_the_digits_that_ship_are_whole() -> None:
    data = read(EXAMPLE_DATA["mnist"])
    assert (len(data.train.examples), len(data.test.examples)) == (7500, 2500)
    for part in (data.train, data.test):
        assert part.labels is not None
        assert np.bincount(part.labels).min() > len(part.labels) / 15
        assert np.asarray(part.examples).shape[1:] == (28, 28)
    train = {np.asarray(example).tobytes() for example in data.train.examples}
    assert not train & {np.asarray(example).tobytes() for example in data.test.examples}


def test_what_scores_is_not_what_calibrates(tmp_path: Path) -> None:
    arrays = parts()
    examples = examples_for([SPEC], saved(tmp_path), None, calibration=3)
    np.testing.assert_array_equal([e[0][0] for e in examples.calibration], arrays["x_train"][:3])
    np.testing.assert_array_equal([e[0][0] for e in examples.check], arrays["x_test"])
    assert examples.labels is not None
    np.testing.assert_array_equal(examples.labels, arrays["y_test"])
    assert examples.check[0][0].dtype == np.float32


def test_a_batch_takes_its_labels_along(tmp_path: Path) -> None:
    spec = InputSpec("image", (2, 4, 4, 3), "float32")
    examples = examples_for([spec], saved(tmp_path), None, calibration=0)
    assert [e[0].shape for e in examples.check] == [(2, 4, 4, 3)] * 2  # the fifth is left over
    assert examples.labels is not None
    assert examples.labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_test": None}, "lack y_test"),
        ({"x_train": None, "y_train": None}, "lack x_train"),
        ({"y_test": np.arange(4)}, "5 examples in x_test, and 4 labels"),
        ({"y_train": np.zeros(7)}, "y_train .* is float64 of shape .* no labels"),
        ({"y_train": np.eye(7, dtype=int)}, "of shape \\(7, 7\\), and no labels"),
        ({"y_test": np.arange(5) - 1}, "no labels"),
        ({"y_test": np.eye(5)}, "of shape \\(5, 5\\), and no labels"),
        ({"y_test": np.arange(5) > 2}, "is bool .* no labels"),
        ({"y_test": np.array(3)}, "of shape \\(\\), and no labels"),
        ({"y_test": np.array([2**64 - 1, 0, 0, 0, 0], np.uint64)}, "to 18446744073709551615, and"),
        ({"x_test": np.zeros((0, 4, 4, 3)), "y_test": np.zeros(0, int)}, "no numbers"),
        ({"x_test": np.zeros((5, 0, 4, 3))}, "no numbers"),
        ({"x_test": np.array(3.0)}, "x_test is float64 of shape \\(\\), and no numbers"),
        ({"x_test": np.full((5, 4, 4, 3), "a")}, "x_test is <U1"),
        ({"x_test": np.ones((5, 4, 4, 3), complex)}, "x_test is complex128"),
        ({"x_train": np.ones((7, 4, 4, 3), "f4,f4")}, "and no numbers"),
        ({"x_train": np.array([{}] * 7)}, "Object arrays cannot be loaded"),
    ],
)
def test_parts_that_do_not_fit_together(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        read_labelled(saved(tmp_path, **changed))


def npy(shape: tuple[int, ...]) -> bytes:
    """Return the head of an .npy file of float32, with nothing behind it."""
    head = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    return head.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no .npz or .npy file"),
        (b"1,2\n3,4\n", "is no .npz or .npy file"),
        (pickle.dumps(os.getcwd), "is no .npz or .npy file"),
        (b"PK\x03\x04", "cannot be read"),
        (npy((10**13,)), "no memory|cannot be read"),
        (npy((10**18, 10**3)), "cannot be read"),
        (npy((-5, 4)), "cannot be read"),
        ({"a.txt": b"text"}, "'a.txt' .* is no array"),
        ({"x_train.npy": b"text"}, "'x_train' .* is no array"),
        ({"x.npy": npy((10**12, 3))}, "no memory|cannot be read"),
    ],
)
def test_files_that_are_no_data(
    tmp_path: Path, content: bytes | dict[str, bytes], words: str
) -> None:
    path = tmp_path / "d.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    with pytest.raises(UserError, match=words):
        read_labelled(path)


def test_a_small_file_that_unpacks_to_more_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "d.npz", **parts(x_train=np.zeros((7, 400, 400, 3))))
    memory = psutil.virtual_memory()._replace(available=2**23)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(UserError, match="GiB when unpacked"):
        read_labelled(tmp_path / "d.npz")


def test_inputs_without_labels_are_no_labelled_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.zeros((3, 4, 4, 3), "f4"))
    assert read_labelled(tmp_path / "x.npz") is None
    assert examples_for([SPEC], tmp_path / "x.npz", None, 2).labels is None


def test_labels_are_for_one_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 2 \(image, image\)"):
        examples_for([SPEC, SPEC], saved(tmp_path), None, 2)


def folder_of_images(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(["ape", "bee"]):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(count):
                colour = (10 * label + number, 200, 7)
                path = tmp_path / "data" / part / name / f"{number}.png"
                Image.new("RGB", (8, 6), colour).save(path)
    return tmp_path / "data"


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    (folder / "test" / "ape" / "notes.txt").write_text("no image")
    how = Preprocess(resize="stretch")
    examples = examples_for([SPEC], folder, how, calibration=9)
    assert (len(examples.calibration), len(examples.check)) == (6, 4)
    assert examples.labels is not None
    for example, label in zip(examples.check, examples.labels, strict=True):
        red, green, blue = example[0][0, 1, 2]
        assert (red // 10, green, blue) == (label, 200, 7)
    grey = InputSpec("image", (1, 4, 4, 1), "float32")
    assert examples_for([grey], folder, how, 1).check[0][0].shape == (1, 4, 4, 1)
    flat = InputSpec("image", (1, 4, 4), "float32")
    assert examples_for([flat], folder, how, 1).check[0][0].shape == (1, 4, 4)


def test_a_folder_that_is_laid_out_otherwise(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train/CLASS/ and test/CLASS/"):
        read_labelled(tmp_path)
    folder = folder_of_images(tmp_path)
    (folder / "test" / "cat").mkdir()
    with pytest.raises(UserError, match="the same classes in both"):
        read_labelled(folder)
    (folder / "test" / "cat").rmdir()
    with pytest.raises(UserError, match=r"\(6, 8, 3\); the model's input is \(4, 4, 3\)"):
        list(examples_for([SPEC], folder, None, 1).check)
    (folder / "test" / "bee" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"0\.png' cannot be read"):
        list(examples_for([SPEC], folder, Preprocess(resize="crop"), 1).check)


def image(folder: Path, name: str, mode: str, size: tuple[int, int] = (4, 4)) -> Path:
    Image.new(mode, size, 1).save(folder / name)
    return folder / name


def test_images_that_cannot_be_taken(tmp_path: Path) -> None:
    wide = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    wide.save(tmp_path / "wide.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    whole = image(tmp_path, "whole.png", "RGB", (64, 64)).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    image(tmp_path, "bomb.png", "1", (20_000, 10_000))
    for name, words in (
        ("wide.png", "more than 8 bits"),
        ("folder.png", "no file"),
        ("pipe.png", "no file"),
        ("absent.png", "no file"),
        ("half.png", "cannot be read: .*\nSave it again"),
        ("bomb.png", "cannot be read: Image size"),
    ):
        with pytest.raises(UserError, match=words):
            prepare(tmp_path / name, (4, 4, 1), None)
    for mode in ("L", "RGBA", "P", "1", "LA"):
        assert prepare(image(tmp_path, "any.png", mode), (4, 4, 3), None).shape == (4, 4, 3)


def test_classes_that_are_not_the_model_s(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    shapes = [(1, 3)]
    found = examples_for([SPEC], folder, Preprocess(resize="crop"), 0)
    assert found.labels is not None
    with pytest.raises(UserError, match="folders for 2 classes; the model has 3 outputs"):
        check_labels(found.labels, found.names, shapes)
    identity = resolve(folder).data_digest
    (folder / "train" / "bat").mkdir()  # of which there are no images
    found = examples_for([SPEC], folder, Preprocess(resize="crop"), 0)
    assert found.labels is not None
    check_labels(found.labels, found.names, shapes)
    assert {*found.labels.tolist()} == {0, 2}
    numbered_otherwise = resolve(folder).data_digest
    (folder / "train" / "bat").rename(folder / "train" / "cat")
    assert len({identity, numbered_otherwise, resolve(folder).data_digest}) == 3


def resolve(data: Path) -> Source:
    return resolve_source("m", ModelSpec(source="keras:ResNet50", data=str(data)), data.parent)


@pytest.mark.parametrize(
    ("labels", "shapes", "words"),
    [
        ([0, 1], [(1, 4), (1, 3)], "models of one output; this one has 2"),
        ([0, 1], [(1, 1)], r"a number for each class; this one.s is of shape \[1, 1\]"),
        ([0, 1], [()], r"of shape \[\]"),
        ([0, 1], [(8, 8, 3)], r"of shape \[8, 8, 3\]"),
        ([0, 3], [(1, 3)], "labels go up to 3; the model has 3 outputs"),
    ],
)
def test_labels_that_the_outputs_do_not_stand_for(
    labels: list[int], shapes: list[tuple[int, ...]], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        check_labels(np.array(labels), 0, shapes)
    check_labels(np.array([0, 2]), 0, [(1, 1, 1, 3)])


def test_numbers_that_an_integer_input_has_not(tmp_path: Path) -> None:
    byte = InputSpec("image", (1, 2), "int8", quantized=True)
    index = InputSpec("token", (1, 2), "int32")

    def first(spec: InputSpec, numbers: list[float], how: Preprocess | None = None) -> Any:
        np.save(tmp_path / "x.npy", np.array([numbers]))
        [[value]] = examples_for([spec], tmp_path / "x.npy", how, 0).check
        return value.tolist()[0], value.dtype

    assert first(byte, [3, -128]) == ([3, -128], np.int8)
    assert first(byte, [0.5, 300.0]) == ([0.5, 300.0], np.float32)  # to be quantized
    assert first(byte, [200, 3], Preprocess()) == ([200, 3], np.float32)
    assert first(index, [3.0, 4.0]) == ([3, 4], np.int32)
    assert first(index, [3, 4], Preprocess(scale=0.4)) == ([1, 2], np.int32)
    for spec, numbers, words in (
        (byte, [200, 3], "have 200 in them, and it takes int8.\nIt is quantized"),
        (index, [3, 0.5], "have 0.5 in them, and it takes int32.\nSave numbers"),
    ):
        with pytest.raises(UserError, match=words):
            first(spec, numbers)


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    (folder / "train" / "ape" / "._0.png").write_bytes(b"of another system")
    (folder / "train" / ".cache").mkdir()
    image(folder / "train" / ".cache", "0.png", "RGB")
    data = read(folder)
    assert len(data.train.examples) == 6
    assert data.train.labels is not None
    assert set(data.train.labels) == {0, 1}


def test_data_are_known_by_their_content_behind_links_too(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    (folder / "train" / "bee").rename(tmp_path / "elsewhere")
    (folder / "train" / "bee").symlink_to(tmp_path / "elsewhere")
    (folder / "test" / "bee" / "up").symlink_to(folder)  # a circle
    spec = ModelSpec(source="keras:ResNet50", data=str(folder))
    before = resolve_source("m", spec, tmp_path).data_digest
    image(tmp_path / "elsewhere", "0.png", "RGB")
    assert resolve_source("m", spec, tmp_path).data_digest != before
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no file or folder"):
        resolve_source("m", spec.model_copy(update={"data": "pipe"}), tmp_path)


def test_preprocessing_is_arithmetic_in_a_stated_order() -> None:
    raw = np.array([[[1, 2, 3]]], np.uint8)
    how = Preprocess(scale=2.0, mean=(1.0, 0.0, 0.0), std=(1.0, 2.0, 4.0), channels="bgr")
    np.testing.assert_array_equal(prepare(raw, (1, 1, 3), how), [[[5.0, 2.0, 0.5]]])
    assert prepare(raw, (1, 1, 3), None).dtype == np.uint8
    with pytest.raises(UserError, match="2 values in mean"):
        prepare(raw, (1, 1, 3), Preprocess(mean=(1.0, 2.0)))
    with pytest.raises(UserError, match="the images have 1 channel"):
        prepare(raw[..., :1], (1, 1, 1), Preprocess(mean=(1.0, 2.0, 3.0)))


def test_resizing_crops_the_middle_or_stretches() -> None:
    raw = np.zeros((4, 8), np.uint8)
    raw[:, 2:6] = 100
    stretched = prepare(raw, (2, 2, 1), Preprocess(resize="stretch"))
    cropped = prepare(raw, (2, 2, 1), Preprocess(resize="crop"))
    assert 0 < stretched.max() < cropped.min() <= 100
