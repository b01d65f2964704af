"""Labelled data: files and folders, what is wrong with them, and what becomes of an example."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.data import with_data
from suite import Sweep, UserError
from suite.data.labelled import LabelledData, read_labelled
from suite.data.prepare import prepare
from suite.models.examples import InputSpec, examples_for
from suite.models.source import EXAMPLE_DATA
from suite.models.spec import Preprocess
from suite.results.read import read_results
from tests.conftest import Litesweep

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
        ({"x_test": np.zeros((0, 4, 4, 3)), "y_test": np.zeros(0, int)}, "0 examples"),
    ],
)
def test_parts_that_do_not_fit_together(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        read_labelled(saved(tmp_path, **changed))


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


def test_preprocessing_is_arithmetic_in_a_stated_order() -> None:
    raw = np.array([[[1, 2, 3]]], np.uint8)
    how = Preprocess(scale=2.0, mean=(1.0, 0.0, 0.0), std=(1.0, 2.0, 4.0), channels="bgr")
    np.testing.assert_array_equal(prepare(raw, (1, 1, 3), how), [[[5.0, 2.0, 0.5]]])
    assert prepare(raw, (1, 1, 3), None).dtype == np.uint8
    with pytest.raises(UserError, match="2 values in mean"):
        prepare(raw, (1, 1, 3), Preprocess(mean=(1.0, 2.0)))


def test_resizing_crops_the_middle_or_stretches() -> None:
    raw = np.zeros((4, 8), np.uint8)
    raw[:, 2:6] = 100
    stretched = prepare(raw, (2, 2, 1), Preprocess(resize="stretch"))
    cropped = prepare(raw, (2, 2, 1), Preprocess(resize="crop"))
    assert 0 < stretched.max() < cropped.min() <= 100


# On the command line

TWO = """
name = "s"
axes.model = ["m", "n"]
[models.m]
source = "m.tflite"
[models.n]
source = "m.tflite"
data = "own.npz"
"""


@pytest.fixture
def two(tmp_path: Path, tiny_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of two models, its folder the current one, and data in another."""
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "s.toml").write_text(TWO)
    shutil.copy(tiny_tflite, tmp_path / "sweeps" / "m.tflite")
    np.savez(tmp_path / "sweeps" / "own.npz", x=np.zeros((4, 16, 16, 3), "f4"))
    np.save(tmp_path / "other.npy", np.ones((5, 16, 16, 3), "f4"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sweeps" / "s.toml"


@pytest.mark.parametrize(
    ("given", "m", "n"),
    [
        ([], None, "own.npz"),
        (["other.npy"], "/other.npy", "/other.npy"),
        (["m=other.npy"], "/other.npy", "own.npz"),
        (["n=other.npy", "sweeps/m.tflite"], "m.tflite", "/other.npy"),
        (["m=example:mnist"], "example:mnist", "own.npz"),
    ],
)
def test_data_on_the_command_line(two: Path, given: list[str], m: str | None, n: str) -> None:
    plain = Sweep.load(two)
    sweep = with_data(plain, given)
    for name, wanted in (("m", m), ("n", n)):
        data = sweep.models[name].data
        assert data == (str(two.parent.parent) + wanted if wanted and wanted[0] == "/" else wanted)
    assert (sweep.sweep_hash == plain.sweep_hash) == (not given)
    # What a run says of itself is what was measured: its file is the same sweep.
    (two.parent / "again.toml").write_text(sweep.text)
    assert Sweep.load(two.parent / "again.toml").sweep_hash == sweep.sweep_hash
    assert (sweep.text == plain.text) == (not given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["absent"], "no file or folder 'absent'"),
        ([""], "no file or folder ''"),
        (["m="], "no file or folder ''"),
        (["o=other.npy"], "no table \\[models.o\\]"),
        (["m=other.npy", "m=other.npy"], "'m' has data already"),
        (["other.npy", "other.npy"], "every model has data already"),
        (["x" * 300], "will not do as a path"),
        (["a\0b"], "will not do as a path"),
    ],
)
def test_data_that_are_not_there(two: Path, given: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        with_data(Sweep.load(two), given)


def test_a_run_of_other_data_says_so(litesweep: Litesweep, two: Path) -> None:
    (two.parent / "s.toml").write_text(TWO + "[measure]\nmin_trials = 1\nmax_trials = 1\n")
    seen = [litesweep("plan", two, *more, "--json") for more in ([], ["--data", "n=other.npy"])]
    plain, other = (json.loads(done.stdout)["sweep_hash"] for done in seen)
    assert plain != other
    done = litesweep("run", two, "--data", "other.npy", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert 'data = "' + str(two.parent.parent / "other.npy") in Path("out/sweep.toml").read_text()
    results = read_results(Path("out/results.h5"))
    assert "other.npy" in results.provenance["sweep"]
    again = litesweep("run", two, "--data", "m=other.npy", "--out", "out")
    assert again.returncode == 2
    assert "another sweep" in again.stderr
