"""The small CNN that ships, trained and converted: its accuracy tells the quantizations apart."""

import json
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from jobs.grid import lay_out
from suite import Axes, ModelSpec, Sweep
from suite.artifacts.build import build_artifacts
from suite.artifacts.check import tflite_runner
from suite.artifacts.store import Artifact, ArtifactStore
from suite.data.labelled import read_labelled
from suite.models.source import EXAMPLE_DATA
from suite.optimizations.names import NONE
from suite.sweep import Points
from tests.workshop import Workshop, request

TOLD_APART = ("float32", "int8", "weight-only-int4")
ALPHA = 0.01

Right = npt.NDArray[np.bool_]


def mcnemar(a: Right, b: Right) -> float:
    """Return the exact p-value of McNemar's test: that both err as often on the same examples."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def test_the_paired_test_is_mcnemars() -> None:
    a = np.repeat([True, True, False, False], [50, 10, 2, 38])
    b = np.repeat([True, False, True, False], [50, 10, 2, 38])
    # Twice the chance of at most 2 heads in 12 throws of a coin.
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(a, a) == 1


def right(artifact: Artifact, images: Iterable[npt.NDArray[np.uint8]], labels: object) -> Right:
    runner = tflite_runner(artifact.path)
    inputs = (np.float32(image)[None, ..., None] / np.float32(255) for image in images)
    return np.array([runner.run([value])[0][0].argmax() for value in inputs]) == labels


@pytest.mark.tensorflow
def test_its_accuracy_separates_the_quantizations(store: Path, tmp_path: Path) -> None:
    sweep = Sweep(
        name="digits",
        axes=Axes(model=("m",), quantization=TOLD_APART, optimization=(NONE, "fine-tune@1")),
        models={"m": ModelSpec(source="example:mnist-cnn")},
        exclude=(Points(optimization=("fine-tune@1",), quantization=TOLD_APART[1:]),),
    )
    requests = lay_out(sweep).requests.values()
    built = build_artifacts(requests, ArtifactStore(store), lambda event: None, tmp_path)
    made = {(r.optimization, r.quantization): built[r.key] for r in requests}
    artifacts = {place: each for place, each in made.items() if isinstance(each, Artifact)}
    assert len(artifacts) == len(made)

    data = read_labelled(EXAMPLE_DATA["mnist"])
    assert data is not None
    hits = {
        recipe: right(artifacts[NONE, recipe], data.test.examples, data.test.labels)
        for recipe in TOLD_APART
    }
    for recipe, found in hits.items():
        assert found.mean() == artifacts[NONE, recipe].row.labelled_top1
    assert hits["float32"].mean() > 0.9
    for a, b in combinations(TOLD_APART, 2):
        assert mcnemar(hits[a], hits[b]) < ALPHA, (a, hits[a].mean(), b, hits[b].mean())
    # What is trained on has been: the control is not the model itself.
    tuned = artifacts["fine-tune@1", "float32"].row
    assert tuned.top1_agreement < 1
    assert tuned.encoded_bytes > 0


@pytest.mark.tensorflow
def test_weights_from_a_seed_leave_as_much_to_do(workshop: Workshop, tmp_path: Path) -> None:
    seeded = request(tmp_path, "example:mnist-cnn", "float32", weights="seed:0")
    operators = json.loads(workshop.artifact(seeded).row.operators)
    # Of a fresh normalization the converter leaves out what changes nothing; there are eight.
    assert (operators["MUL"], operators["ADD"]) == (8, 8)
