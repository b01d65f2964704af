"""Data for artifacts: what calibrates and scores them, labels, and data that do not fit."""

import math
from pathlib import Path

import numpy as np
import pytest

from suite import UserError
from suite.artifacts.build import BuildFailure
from suite.artifacts.store import Artifact
from suite.models.examples import InputSpec, given_examples
from tests.workshop import Workshop, request

pytestmark = pytest.mark.tensorflow


def test_a_batch_is_scored_row_by_row(workshop: Workshop, models: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((7, 16, 16, 3), np.float32)
    np.savez(tmp_path / "d.npz", x_train=images, x_test=images, y_test=np.arange(7))
    singly, in_twos = (
        workshop.artifact(
            request(models, "tiny.keras", "float32", batch=b, data=str(tmp_path / "d.npz"))
        ).row
        for b in (1, 2)
    )
    assert (singly.labelled_examples, in_twos.labelled_examples) == (7, 6)
    assert round(6 * in_twos.labelled_top1) in (
        round(7 * singly.labelled_top1),
        round(7 * singly.labelled_top1) - 1,
    )


def test_data_that_a_cell_alone_cannot_take_cost_it_alone(
    workshop: Workshop, models: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((7, 16, 16, 3), np.float32)
    data = str(tmp_path / "d.npz")
    np.savez(data, x_train=images[:3], x_test=images, y_test=np.arange(7))
    fits, too_few, none, resized = workshop.build(
        request(models, "tiny.keras", "float32", batch=4, data=data),  # only int8 is calibrated
        request(models, "tiny.keras", "int8", batch=4, data=data),
        request(models, "tiny.keras", "float32", batch=9, data=data),
        request(models, "tiny.keras", "float32", resolution=20, data=data),
    )
    assert isinstance(fits, Artifact)
    for built, words in (
        (too_few, "m batch 4 int8: The data have 3 examples in a part; a batch is 4."),
        (none, "m batch 9 float32: The data have 7 examples in a part; a batch is 9."),
        (resized, "(16, 16, 3); the model's input is (20, 20, 3). Save them so, set"),
    ):
        assert isinstance(built, BuildFailure)
        assert words in built.reason


def test_integer_tokens_are_inputs_too(workshop: Workshop, shapes: Path) -> None:
    assert workshop.artifact(request(shapes, "tokens.keras", "dynamic")).row.error_rel_l2 < 0.1


def test_integer_inputs_and_outputs(workshop: Workshop, models: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for quantization, dtype in (("int8", np.int8), ("int16x8", np.int16)):
        artifact = workshop.artifact(request(models, "tiny.keras", quantization, io="integer"))
        interpreter = Interpreter(model_path=str(artifact.path))
        for tensor in (*interpreter.get_input_details(), *interpreter.get_output_details()):
            assert tensor["dtype"] == dtype
        assert artifact.row.error_rel_l2 < 0.2


def test_data_that_do_not_fit(apart: Workshop, models: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((3, 5, 5, 3), "f4"))
    with pytest.raises(UserError, match=r"\(3, 5, 5, 3\).*\(examples, 16, 16, 3\)"):
        apart.build(request(models, "tiny.keras", "int8", data=str(tmp_path / "wrong.npy")))
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(UserError, match=r"no \.npz or \.npy file"):
        apart.build(request(models, "tiny.keras", "int8", data=str(tmp_path / "text.npy")))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ([np.full((5, 2), np.nan)], "NaN or infinity"),
        ([np.full((5, 2), 1e300)], "NaN or infinity, or what is that as float32"),
        ([np.full((5, 2), "a")], "<U1 of shape .* no numbers"),
        ([np.ones((5, 2), complex)], "complex128 of shape .* no numbers"),
        ([np.ones((5, 2), "M8[s]")], "datetime64.* no numbers"),
        ([np.float32(1)], r"of shape \(\)"),
        ([np.ones((5, 2)), np.ones((3, 2))], "different numbers of examples: 5, 3"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_data_that_a_model_cannot_take(
    tmp_path: Path, arrays: list[np.ndarray], words: str
) -> None:
    inputs = [InputSpec(f"input_{n}", (1, 2), "float32") for n in range(len(arrays))]
    np.savez(tmp_path / "x.npz", *arrays)
    with pytest.raises(UserError, match=words):
        given_examples(tmp_path / "x.npz", inputs, 4)


def test_arrays_have_the_names_that_inputs_had_before_conversion(tmp_path: Path) -> None:
    inputs = [InputSpec(f"serving_default_{name}:0", (1, 2), "float32") for name in "ab"]
    np.savez(tmp_path / "x.npz", b=np.full((3, 2), 2), a=np.full((3, 2), 1))
    first, *_ = given_examples(tmp_path / "x.npz", inputs, 4)
    assert [value[0, 0] for value in first] == [1, 2]


def test_truncated_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", np.ones((500, 2)))
    (tmp_path / "x.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:3000])
    with pytest.raises(UserError, match="cannot be read"):
        given_examples(tmp_path / "x.npz", [InputSpec("input", (1, 2), "float32")], 4)


def test_labels_score_the_artifact_and_its_reference(
    workshop: Workshop, models: Path, tmp_path: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    float32 = workshop.artifact(request(models, "tiny.keras", "float32"))
    interpreter = Interpreter(model_path=str(float32.path))
    [given], [taken] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], np.float32(images / 64))
    interpreter.invoke()
    labels = interpreter.get_tensor(taken["index"]).argmax(1)
    labels[:5] = (labels[:5] + 1) % 10  # five labels that the model is wrong about
    np.savez(
        tmp_path / "d.npz", x_train=images[:8], x_test=images, y_test=labels, y_train=labels[:8]
    )
    spec = {"data": str(tmp_path / "d.npz"), "preprocess": {"scale": 1 / 64}}
    float32, int8 = (
        workshop.artifact(request(models, "tiny.keras", recipe, **spec))
        for recipe in ("float32", "int8")
    )
    assert (float32.row.labelled_top1, float32.row.reference_top1) == (0.75, 0.75)
    assert int8.row.reference_top1 == 0.75
    assert int8.row.labelled_examples == 20
    assert (20 * int8.row.labelled_top1).is_integer()
    ready = workshop.artifact(request(models, "tiny.tflite", "float32", **spec))
    assert ready.row.labelled_top1 == 0.75
    assert math.isnan(ready.row.reference_top1)


def test_labels_that_no_output_stands_for(apart: Workshop, models: Path, tmp_path: Path) -> None:
    x, y = np.zeros((3, 16, 16, 3), "f4"), np.array([0, 1, 10])
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(UserError, match="labels go up to 10; the model has 10 outputs"):
        apart.build(request(models, "tiny.keras", "float32", data=str(tmp_path / "d.npz")))
