"""Artifacts, built by the real TensorFlow and litert-quantizer in processes of their own."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suite import UserError
from suite.artifacts.check import UnfitError, agreement, check_operators, check_outputs
from suite.artifacts.store import Artifact
from suite.models.operators import Work
from suite.models.source import EXAMPLE_DATA
from suite.models.tflite_file import TfliteFile, read_tflite
from suite.quantizations import RECIPES
from suite.runtimes.names import TENSORFLOW
from tests.workshop import Workshop, request

pytestmark = pytest.mark.tensorflow


def test_every_recipe_gives_a_checked_artifact(workshop: Workshop, models: Path) -> None:
    built = workshop.build(*(request(models, "tiny.keras", recipe) for recipe in RECIPES))
    artifacts = {}
    for recipe, artifact in zip(RECIPES, built, strict=True):
        assert isinstance(artifact, Artifact), artifact
        artifacts[recipe] = artifact
        row = artifact.row
        assert artifact.path.stat().st_size == row.artifact_bytes
        assert 0 < row.artifact_compressed_bytes < row.artifact_bytes
        assert row.recipe == recipe
        assert json.loads(row.operators)["CONV_2D"] == 2
        assert row.multiply_adds == 208384  # counted by hand in test_tflite_file.py
        assert "tiny.keras" in row.reference
        assert row.error_rel_l2 < 0.2
        assert row.error_cosine > 0.98
        assert artifact.rough_latency_ns > 0
    # Its tensors are as the recipe says; a model as tiny as this keeps some of them in float.
    for recipe in ("float32", "float16", "int8", "int16x8", "weight-only-int8"):
        assert read_tflite(artifacts[recipe].path).quantization == recipe
    sizes = {recipe: artifact.row.artifact_bytes for recipe, artifact in artifacts.items()}
    assert sizes["float16"] < sizes["float32"]
    assert sizes["weight-only-int4"] < sizes["weight-only-int8"] < sizes["float16"]
    assert artifacts["float32"].row.error_rel_l2 < 1e-5
    assert "litert-quantizer" in artifacts["weight-only-int4"].row.converter


@pytest.mark.parametrize("source", ["exported", "around_keras", "no_signature"])
def test_saved_models_with_and_without_a_signature(
    workshop: Workshop, models: Path, source: str
) -> None:
    row = workshop.artifact(request(models, source, "float32")).row
    assert row.error_rel_l2 < 1e-5
    assert not {"VAR_HANDLE", "READ_VARIABLE"} & json.loads(row.operators).keys()


def test_a_saved_model_of_which_nothing_can_be_run(apart: Workshop, models: Path) -> None:
    with pytest.raises(UserError, match="cannot be recovered"):
        apart.build(
            request(models, "untraced", "float32"), request(models, "tiny.keras", "int16x8")
        )
    assert not apart.litter()


def test_signatures_are_chosen_by_name(workshop: Workshop, apart: Workshop, models: Path) -> None:
    chosen = request(models, "exported", "float32", signature="serving_default")
    assert workshop.artifact(chosen).row.error_rel_l2 < 1e-5
    with pytest.raises(UserError, match=r"no signature 'other'\.\nIt has: serve, serving_default"):
        apart.build(request(models, "exported", "float32", signature="other"))


def test_two_inputs_keep_their_order(workshop: Workshop, shapes: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = {"zebra": rng.random((20, 4)), "ant": rng.random((20, 6, 2))}
    np.savez(tmp_path / "x.npz", **{name: x.astype("f4") for name, x in data.items()})
    for quantization, error in (("float32", 1e-5), ("int8", 0.1)):
        made = request(shapes, "two.keras", quantization, data=str(tmp_path / "x.npz"))
        assert workshop.artifact(made).row.error_rel_l2 < error


def test_one_shape_is_not_for_two_inputs(apart: Workshop, shapes: Path) -> None:
    with pytest.raises(UserError, match="'m' has 2 inputs, and input_shape is for one"):
        apart.build(request(shapes, "two.keras", "float32", input_shape=(4,)))


def test_inputs_by_name(workshop: Workshop, shapes: Path) -> None:
    for quantization, error in (("float32", 1e-5), ("int8", 0.1), ("dynamic", 0.1)):
        made = request(shapes, "dictionary.keras", quantization)
        assert workshop.artifact(made).row.error_rel_l2 < error


def test_open_dimensions_need_a_shape(workshop: Workshop, apart: Workshop, shapes: Path) -> None:
    with pytest.raises(UserError, match=r"open: \[\?, \?, 3\]\.\nSet input_shape"):
        apart.build(request(shapes, "open.keras", "float32"))
    closed = request(shapes, "open.keras", "float32", input_shape=(10, 12, 3))
    assert workshop.artifact(closed).row.error_rel_l2 < 1e-5
    with pytest.raises(UserError, match=r"\[\?, \?, 3\], not \[10, 12\]"):
        apart.build(request(shapes, "open.keras", "float32", input_shape=(10, 12)))


def test_a_ready_file_with_open_dimensions_is_refused(apart: Workshop, shapes: Path) -> None:
    reason = apart.failure(request(shapes, "open.tflite", "float32"))
    assert "open dimensions, [?, ?, ?, 3]; convert it with a fixed shape" in reason


def test_a_batch_that_is_fixed_stays(workshop: Workshop, shapes: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((11, 6), "f4"))
    for source, quantization in (("batch.keras", "int8"), ("batch.tflite", "int8")):
        made = request(shapes, source, quantization, data=str(tmp_path / "x.npy"))
        assert workshop.artifact(made).row.error_rel_l2 < 0.1
    assert workshop.artifact(request(shapes, "batch.tflite", "float32"))
    assert workshop.artifact(request(shapes, "batch.tflite", "float32", batch=4))


def test_a_recurrent_model_is_converted_with_its_batch_closed(
    workshop: Workshop, shapes: Path
) -> None:
    asked = request(shapes, "recurrent.keras", "float32")
    row = workshop.artifact(asked).row
    assert row.error_rel_l2 < 1e-5
    frozen = workshop.artifact(replace(asked, runtime=TENSORFLOW)).row
    assert frozen.error_rel_l2 < 1e-5
    assert "WHILE" in json.loads(row.operators)


def test_layers_that_keep_a_seed(workshop: Workshop, shapes: Path) -> None:
    for quantization in ("float32", "int8"):
        assert workshop.artifact(request(shapes, "random.keras", quantization))


def test_code_and_text_in_a_model_are_refused_in_words(apart: Workshop, shapes: Path) -> None:
    with pytest.raises(UserError, match=r"lambda.keras\) cannot be loaded.*\n.*model.export"):
        apart.build(request(shapes, "lambda.keras", "float32"))
    with pytest.raises(UserError, match="takes text, in 'x'"):
        apart.build(request(shapes, "length", "float32"))


def test_an_operator_that_is_not_there_is_named_without_our_own_code(
    apart: Workshop, shapes: Path
) -> None:
    reason = apart.failure(request(shapes, "betainc", "float32"))
    assert "float32: 'tf.Betainc' op is neither a custom op nor a flex op." in reason


def input_shape(artifact: Artifact) -> list[int]:
    from ai_edge_litert.interpreter import Interpreter

    [given] = Interpreter(model_path=str(artifact.path)).get_input_details()
    return list(given["shape"])


def test_other_resolutions_and_batches(workshop: Workshop, models: Path, shapes: Path) -> None:
    for recipe, error in (("float32", 1e-5), ("int8", 0.2), ("weight-only-int8", 0.2)):
        made = request(models, "tiny.keras", recipe, resolution=24, batch=3)
        artifact = workshop.artifact(made)
        assert input_shape(artifact) == [3, 24, 24, 3]
        assert artifact.row.error_rel_l2 < error
    factored = request(models, "tiny.keras", "float32", "low-rank@0.5", resolution=24)
    assert input_shape(workshop.artifact(factored)) == [1, 24, 24, 3]
    made = request(models, "exported", "float32", batch=2)
    assert input_shape(workshop.artifact(made)) == [2, 16, 16, 3]
    opened = request(shapes, "open.keras", "float32", resolution=9)
    assert input_shape(workshop.artifact(opened)) == [1, 9, 9, 3]
    nested = request(shapes, "nested.keras", "float32", resolution=9)
    assert input_shape(workshop.artifact(nested)) == [1, 9, 9, 3]
    four = request(shapes, "batch.keras", "float32", batch=4)
    assert input_shape(workshop.artifact(four)) == [4, 6]
    plain = request(models, "tiny.keras", "float32")
    assert len({plain.key, *(replace(plain, **{a: 2}).key for a in ("resolution", "batch"))}) == 3


@pytest.mark.parametrize(
    ("source", "shape", "words"),
    [
        (
            "flat.keras",
            {"resolution": 9},
            "m 9px float32: its layers cannot take images of 9 × 9 pixels: Layer functional",
        ),
        ("tokens.keras", {"resolution": 9}, "it takes no images"),
        ("batch.keras", {"batch": 3}, "m batch 3 float32: its batch is fixed at 4"),
        ("batch.tflite", {"batch": 3}, "a ready file is not resized"),
        ("open.tflite", {"resolution": 9}, "a ready file is not resized"),
    ],
)
def test_a_shape_that_a_model_cannot_take(
    apart: Workshop, shapes: Path, source: str, shape: dict[str, int], words: str
) -> None:
    assert words in apart.failure(request(shapes, source, "float32", **shape))


def test_an_optimised_model_is_made_once_for_all_recipes(apart: Workshop, models: Path) -> None:
    chain = "prune@0.5+cluster@16"
    # Alone: the builder that optimises must not lose the model that it compares with.
    assert apart.artifact(request(models, "tiny.keras", "float32", chain)).row.error_rel_l2 > 0.001
    built = apart.build(
        *(
            request(models, "tiny.keras", recipe, chain)
            for recipe in ("float32", "int8", "weight-only-int8")
        ),
        request(models, "tiny.keras", "float32"),
    )
    float32, int8, weight_only, plain = (
        artifact.row for artifact in built if isinstance(artifact, Artifact)
    )
    assert len(list(apart.store.root.glob("??/*/model.keras"))) == 1
    assert 0 < float32.encoded_bytes == int8.encoded_bytes == weight_only.encoded_bytes
    assert float32.encoded_bytes < plain.artifact_bytes / 3
    assert plain.encoded_bytes == 0
    # Against the model as it was: without labels nothing mends the loss, and it is stated.
    assert plain.error_rel_l2 < 1e-5
    assert 0.001 < float32.error_rel_l2 < 1
    assert float32.artifact_compressed_bytes < 0.8 * plain.artifact_compressed_bytes
    assert float32.artifact_bytes == pytest.approx(plain.artifact_bytes, rel=0.1)
    assert not apart.litter()


def test_an_optimisation_needs_the_layers_of_a_keras_model(apart: Workshop, models: Path) -> None:
    for source in ("tiny.tflite", "exported"):
        reason = apart.failure(request(models, source, "float32", "prune@0.5"))
        assert reason.startswith(f"{source} cannot be optimised (prune@0.5): that needs the layers")
    plain, pruned = (request(models, "tiny.keras", "int8", o) for o in ("none", "prune@0.5"))
    tuned = request(models, "tiny.keras", "int8", "prune@0.5", fine_tune={"epochs": 9})
    assert len({plain.key, pruned.key, tuned.key}) == 3
    assert plain.key == request(models, "tiny.keras", "int8", fine_tune={"epochs": 9}).key


def test_a_form_that_is_far_too_large_ends_its_own_builder(
    apart: Workshop, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suite.artifacts.build.free_memory_bytes", lambda: 10**9)
    reason = apart.failure(replace(request(models, "tiny.keras", "float32"), resolution=16384))
    assert reason.startswith("m cannot be made 16384px float32: Unable to allocate")
    assert not apart.litter()


def test_the_example_is_trained_once_and_trained_on(apart: Workshop, tmp_path: Path) -> None:
    with np.load(EXAMPLE_DATA["mnist"]) as digits:
        few = {name: digits[name][:200] for name in digits.files}
    np.savez(tmp_path / "few.npz", **few)
    spec = {"data": str(tmp_path / "few.npz"), "fine_tune": {"epochs": 1}}
    made = [
        request(tmp_path, "example:mnist-cnn", "float32", **spec),
        request(tmp_path, "example:mnist-cnn", "dynamic", "low-rank@0.5+ternary", **spec),
    ]
    plain, ternary = (a.row for a in apart.build(*made) if isinstance(a, Artifact))
    assert len(list(apart.store.root.glob("??/*/model.keras"))) == 2
    assert (plain.labelled_examples, ternary.labelled_examples) == (200, 200)
    assert plain.labelled_top1 == plain.reference_top1 == ternary.reference_top1
    assert plain.error_rel_l2 < 1e-4
    assert 0 < ternary.encoded_bytes < plain.artifact_bytes / 2
    del few["y_train"]
    np.savez(tmp_path / "few.npz", **few)
    with pytest.raises(UserError, match="trained on labels, and its data have none"):
        apart.build(request(tmp_path, "example:mnist-cnn", "float32", **spec))
    untrained = request(tmp_path, "example:mnist-cnn", "float32", weights="seed:1", **spec)
    assert apart.artifact(untrained).row.labelled_examples == 200


def test_a_ready_file_is_taken_as_it_is(workshop: Workshop, models: Path) -> None:
    artifact = workshop.artifact(request(models, "tiny.tflite", "float32"))
    assert artifact.path.read_bytes() == (models / "tiny.tflite").read_bytes()
    assert artifact.row.converter == ""
    assert math.isnan(artifact.row.error_rel_l2)
    assert artifact.row.reference == ""


def test_a_ready_float_file_is_quantized(workshop: Workshop, models: Path) -> None:
    recipes = [recipe for recipe in RECIPES if recipe != "float32"]
    built = workshop.build(*(request(models, "tiny.tflite", recipe) for recipe in recipes))
    for recipe, artifact in zip(recipes, built, strict=True):
        assert isinstance(artifact, Artifact), artifact
        assert artifact.row.error_rel_l2 < 0.2
        assert artifact.row.artifact_bytes < (models / "tiny.tflite").stat().st_size
        if recipe != "weight-only-int4":
            assert read_tflite(artifact.path).quantization == recipe


def test_a_ready_file_is_calibrated_on_all_examples(
    workshop: Workshop, models: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((16, 16, 16, 3), np.float32)
    images[0] /= 100
    np.save(tmp_path / "x.npy", images)
    told = {"data": str(tmp_path / "x.npy"), "io": "integer"}
    artifact = workshop.artifact(request(models, "tiny.tflite", "int8", **told))
    assert artifact.row.error_rel_l2 < 0.03


def test_a_ready_quantized_file_is_not_quantized_again(
    workshop: Workshop, models: Path, tmp_path: Path
) -> None:
    int8 = workshop.artifact(request(models, "tiny.keras", "int8"))
    shutil.copy(int8.path, tmp_path / "q.tflite")
    assert workshop.artifact(request(tmp_path, "q.tflite", "int8")).row.recipe == "int8"
    reason = workshop.failure(request(tmp_path, "q.tflite", "float32"))
    assert reason == "q.tflite already holds int8: only that can be measured."


def test_a_keras_application(workshop: Workshop, tmp_path: Path) -> None:
    made = [
        request(tmp_path, "keras:MobileNetV2", recipe, input_shape=(32, 32, 3), weights="seed:3")
        for recipe in ("float32", "int8")
    ]
    for artifact in workshop.build(*made):
        assert isinstance(artifact, Artifact), artifact
    with pytest.raises(UserError, match="input_shape"):
        workshop.build(request(tmp_path, "keras:MobileNetV2", "float32", input_shape=(9, 9, 5)))


def test_a_download_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    code = """
        from pathlib import Path
        from suite import ModelSpec
        from suite.models import load
        from suite.models.source import resolve_source
        load.SILENCE_S = 1.0
        spec = ModelSpec(source="keras:MobileNetV2", weights="imagenet")
        load.load_keras("m", spec, resolve_source("m", spec, Path()))
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "https_proxy": proxy, "no_proxy": "", "KERAS_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert "UserError: The model 'm' (keras:MobileNetV2, weights imagenet)" in done.stderr
    assert "timed out" in done.stderr
    assert "'seed:0' needs no download" in done.stderr


def test_the_same_request_gives_the_same_bytes(
    workshop: Workshop, apart: Workshop, models: Path
) -> None:
    made = request(models, "tiny.keras", "int8")
    assert workshop.artifact(made).path.read_bytes() == apart.artifact(made).path.read_bytes()


def test_the_key_is_of_what_bears_on_the_file(models: Path) -> None:
    plain = request(models, "tiny.keras", "float32")
    assert plain.key == request(models, "tiny.keras", "float32", calibration_samples=99).key
    others = [
        request(models, "tiny.keras", "int8"),
        request(models, "tiny.keras", "int8", calibration_samples=99),
        request(models, "tiny.keras", "int8", io="integer"),
        request(models, "exported", "float32"),
        request(models, "keras:ResNet50", "float32"),
        request(models, "keras:ResNet50", "float32", weights="seed:1"),
        request(models, "keras:ResNet50", "float32", weights="tiny.keras"),
    ]
    assert len({plain.key, *(other.key for other in others)}) == 8


def test_what_a_check_refuses() -> None:
    with pytest.raises(UnfitError, match="VAR_HANDLE"):
        check_operators(TfliteFile({"ADD": 1, "VAR_HANDLE": 2}, "float32", Work()))
    check_operators(TfliteFile({"ADD": 1}, "float32", Work()))
    with pytest.raises(UnfitError, match="not finite"):
        check_outputs([[np.array([1.0, np.nan])]])
    check_outputs([[np.array([1.0, 2.0])]])


def test_agreement_of_outputs() -> None:
    reference = [[np.array([[3.0, 4.0]])], [np.array([[4.0, 3.0]])]]
    same = agreement(reference, reference)
    assert (same.rel_l2, same.max_abs, same.top1) == (0.0, 0.0, 1.0)
    assert same.cosine == pytest.approx(1)
    other = agreement([[np.array([[3.0, 4.0]])], [np.array([[3.0, 4.0]])]], reference)
    assert other.top1 == 0.5
    assert other.max_abs == 1.0
    assert other.rel_l2 == pytest.approx(math.sqrt(2 / 50))


def test_one_number_is_no_class_to_agree_on() -> None:
    for number in (np.array([[3.0]]), np.array(3.0)):
        found = agreement([[number]], [[number + 1]])
        assert math.isnan(found.top1)
        assert found.max_abs == 1.0
