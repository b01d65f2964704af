"""Runtimes: the same weights in LiteRT, TensorFlow, onnxruntime and OpenVINO, the real ones."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analysis
from suite import ModelSpec
from suite.artifacts.build import BuildFailure, Built, build_artifacts
from suite.artifacts.request import ArtifactRequest
from suite.artifacts.store import Artifact, ArtifactStore
from suite.models.source import resolve_source
from suite.results.rows import TrialFlag, TrialRow
from suite.runtimes.names import ABOUT, LITERT, ONNXRUNTIME, OPENVINO, RUNTIMES, TENSORFLOW
from suite.runtimes.protocol import most_of
from suite.topology import format_cpu_list, granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.conftest import REPOSITORY, Litesweep
from tests.test_house import HIDE

pytestmark = pytest.mark.tensorflow

OTHERS = tuple(name for name in RUNTIMES if name != LITERT)
NAME = TrialName("run", "cell", "node", 0, 0)
TRIES = 10


def request(model: Path, quantization: str = "float32", **places: object) -> ArtifactRequest:
    spec = ModelSpec(source=model.name)
    source = resolve_source("m", spec, model.parent)
    return replace(ArtifactRequest("m", spec, source, quantization), **places)  # type: ignore[arg-type]


def build(store: Path, *requests: ArtifactRequest) -> list[Built]:
    built = build_artifacts(requests, ArtifactStore(store), lambda event: None, store / "logs")
    return [built[request.key] for request in requests]


@pytest.fixture(scope="session")
def artifacts(store: Path, models: Path) -> dict[str, Artifact]:
    """The tiny model for each runtime, by its name, and int8 by `NAME int8`."""
    requests = {name: request(models / "tiny.keras", runtime=name) for name in RUNTIMES}
    for name in (LITERT, ONNXRUNTIME, OPENVINO):
        requests[f"{name} int8"] = request(models / "tiny.keras", "int8", runtime=name)
    found = dict(zip(requests, build(store, *requests.values()), strict=True))
    assert all(isinstance(artifact, Artifact) for artifact in found.values()), found
    return found  # type: ignore[return-value]


def trial(artifact: Artifact, runtime: str, threads: int = 1, **said: str) -> TrialRow:
    cpus = granted_cpus()[:threads]
    asked = TrialRequest(str(artifact.path), threads, cpus, 0, sampling_ns=100_000_000)
    row = run_trial(NAME, replace(asked, runtime=runtime, **said), timeout_s=120)
    assert (row.status, row.error) == ("ok", "")
    return row


# Artifacts


def test_each_runtime_has_a_checked_file_of_the_same_weights(
    artifacts: dict[str, Artifact],
) -> None:
    files = {name: artifacts[name].path.name for name in RUNTIMES}
    assert files == {name: ABOUT[name].file for name in RUNTIMES}
    for name in RUNTIMES:
        row = artifacts[name].row
        assert row.reference == "tiny.keras in TensorFlow"
        assert row.error_rel_l2 < 1e-5
        assert json.loads(row.operators)
    assert "tf2onnx" in artifacts[ONNXRUNTIME].row.converter
    assert "onnxruntime" in artifacts[f"{ONNXRUNTIME} int8"].row.converter
    assert artifacts[OPENVINO].row.artifact_sha256 == artifacts[LITERT].row.artifact_sha256
    # Of the operators of other files than a .tflite little is known, but never a wrong number.
    counted = {artifacts[name].row.multiply_adds for name in (LITERT, ONNXRUNTIME, OPENVINO)}
    assert len(counted) == 1
    assert np.isnan(artifacts[TENSORFLOW].row.multiply_adds)


def test_int8_of_each_is_as_near_to_the_reference(artifacts: dict[str, Artifact]) -> None:
    errors = [artifacts[f"{n} int8"].row.error_rel_l2 for n in (LITERT, ONNXRUNTIME, OPENVINO)]
    assert all(1e-6 < error < 0.1 for error in errors), errors


def test_other_forms_for_other_runtimes(store: Path, models: Path) -> None:
    tiny = models / "tiny.keras"
    wanted = [request(tiny, runtime=name, batch=3, resolution=24) for name in OTHERS]
    wanted += [
        request(tiny, "dynamic", runtime=ONNXRUNTIME),
        request(tiny, "float16", runtime=OPENVINO),
        request(tiny, runtime=OPENVINO, optimization="prune@0.5"),
        request(models / "exported", runtime=TENSORFLOW),
        request(models / "tiny.tflite", runtime=ONNXRUNTIME),
        request(models / "tiny.tflite", runtime=OPENVINO),
    ]
    for asked, built in zip(wanted, build(store, *wanted), strict=True):
        assert isinstance(built, Artifact), built
        lossy = asked.quantization != "float32" or asked.optimization != "none"
        assert built.row.error_rel_l2 < (0.1 if lossy else 1e-5), asked


@pytest.fixture(scope="session")
def two_ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose two inputs and two outputs the converter lists in an order of its own."""
    path = tmp_path_factory.mktemp("ends") / "ends.keras"
    code = """
        import sys, keras
        from keras import layers
        keras.utils.set_random_seed(0)
        a, b = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
        sum = layers.Dense(4)(a) + layers.Dense(4, activation="relu")(b)
        keras.Model([a, b], [layers.Dense(3)(a), layers.Dense(2)(sum)]).save(sys.argv[1])
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    subprocess.run([sys.executable, "-c", lines, path], check=True, capture_output=True)
    return path


def test_inputs_and_outputs_keep_their_order_in_each(store: Path, two_ends: Path) -> None:
    wanted = [request(two_ends, runtime=name) for name in RUNTIMES]
    wanted.append(request(two_ends, "int8", runtime=ONNXRUNTIME))
    for asked, built in zip(wanted, build(store, *wanted), strict=True):
        assert isinstance(built, Artifact), built
        assert built.row.error_rel_l2 < (0.1 if asked.quantization == "int8" else 1e-5), asked


def test_what_a_runtime_cannot_take_is_refused_in_words(store: Path, models: Path) -> None:
    tiny, ready = models / "tiny.keras", models / "tiny.tflite"
    refused = {
        request(tiny, "int8", runtime=TENSORFLOW): "TensorFlow runs float32, not int8",
        request(tiny, "int16x8", runtime=ONNXRUNTIME): "onnxruntime runs float32, dynamic, int8",
        request(tiny, "dynamic", runtime=OPENVINO): "OpenVINO runs float32, float16, int8",
        request(ready, runtime=TENSORFLOW): "which TensorFlow does not run",
        request(tiny, runtime=OPENVINO, delegate="none"): "OpenVINO has no delegates",
        request(tiny, "uint8", runtime=OPENVINO): "OpenVINO runs",
    }
    for asked, words in refused.items():
        [built] = build(store, asked)
        assert isinstance(built, BuildFailure)
        assert words in built.reason


def test_what_openvino_does_not_read_costs_its_cells(store: Path, models: Path) -> None:
    ready = models / "tiny.tflite"
    [read, unread] = build(
        store, request(ready, runtime=OPENVINO), request(ready, "int8", runtime=OPENVINO)
    )
    assert isinstance(read, Artifact)
    assert isinstance(unread, BuildFailure)
    assert unread.reason.startswith("m int8 for OpenVINO: OpenVINO cannot run it: FrontEnd API")
    assert unread.reason.endswith("give the model itself, which TensorFlow quantizes.")
    assert ".cpp" not in unread.reason


def test_a_quantized_file_is_not_for_a_runtime_that_quantizes_itself(
    store: Path, models: Path, artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    quantized = tmp_path / "int8.tflite"
    quantized.write_bytes(artifacts[f"{LITERT} int8"].path.read_bytes())
    assert "already holds int8" in request(quantized, "int8", runtime=ONNXRUNTIME).refusal
    [built] = build(store, request(quantized, "int8", runtime=OPENVINO))
    assert isinstance(built, Artifact), built
    assert built.row.reference == "int8.tflite as it is"
    assert built.row.error_rel_l2 < 0.1


def test_the_key_of_an_artifact_for_litert_says_nothing_of_runtimes(models: Path) -> None:
    plain = request(models / "tiny.keras")
    assert replace(plain, delegate="none").key == plain.key
    assert len({request(models / "tiny.keras", runtime=name).key for name in RUNTIMES}) == 4


# The timed process


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_trial_runs_on_the_threads_and_in_the_precision_that_are_meant(
    artifacts: dict[str, Artifact], name: str
) -> None:
    single = trial(artifacts[name], name)
    assert single.computes_in == "float32"
    assert single.operators_run > 0
    assert (single.operators_delegated > 0) is (name == LITERT)
    assert not TrialFlag(single.validity) & (TrialFlag.DELEGATE_MISSING | TrialFlag.CLOCK_COARSE)
    assert single.cpus_pinned == format_cpu_list(granted_cpus()[:1])
    assert 0 < single.effective_parallelism <= 1.05
    if len(granted_cpus()) > 1:
        double = trial(artifacts[name], name, threads=2)
        assert double.threads_seen >= 2
        assert double.cpus_pinned == format_cpu_list(granted_cpus()[:2])


@pytest.mark.skipif(len(granted_cpus()) < 2, reason="needs two CPUs")
def test_threads_that_are_used_are_not_said_to_be_idle_and_others_are(
    artifacts: dict[str, Artifact], store: Path, models: Path
) -> None:
    """However each runtime's threads wait for work.

    Threads of TensorFlow wait for one that others keep from running: until none does, it is tried.
    """

    def flags(artifact: Artifact, runtime: str, **asked: str) -> Iterator[TrialFlag]:
        for _ in range(TRIES):
            yield TrialFlag(trial(artifact, runtime, threads=2, **asked).validity)

    def used(*trials: Any, **asked: str) -> bool:
        return any(TrialFlag.THREADS_NOT_USED not in given for given in flags(*trials, **asked))

    for name in (LITERT, ONNXRUNTIME, OPENVINO):
        assert used(artifacts[name], name), name
    # These leave most of so small a model to one thread, but for a batch of it.
    large = [request(models / "tiny.keras", runtime=r, batch=512) for r in (TENSORFLOW, LITERT)]
    graph, file = build(store, *large)
    assert isinstance(graph, Artifact)
    assert isinstance(file, Artifact)
    assert used(graph, TENSORFLOW)
    assert used(file, LITERT, delegate="none")
    # The kernels for this recipe know of one thread alone.
    [reference] = build(store, request(models / "tiny.keras", "int16x8"))
    assert isinstance(reference, Artifact)
    assert all(TrialFlag.THREADS_NOT_USED in given for given in flags(reference, LITERT))


@pytest.mark.parametrize(
    ("name", "expected"), [(LITERT, "int8"), (ONNXRUNTIME, "uint8"), (OPENVINO, "uint8")]
)
def test_int8_is_computed_in_integers(
    artifacts: dict[str, Artifact], name: str, expected: str
) -> None:
    assert trial(artifacts[f"{name} int8"], name).computes_in.split(" + ")[0] == expected


LOOK = """
import json, sys
from suite.trial.protocol import TrialRequest
from suite.trial.worker import Loaded
model = Loaded.from_request(TrialRequest(**json.loads(sys.argv[1]))).model
print(json.dumps([[value.tolist() for value in model.outputs()], list(sys.modules)]))
"""


def look(artifact: Artifact, runtime: str) -> tuple[list[list[float]], set[str]]:
    """Return the outputs for the seeded inputs, and what was imported for them."""
    asked = TrialRequest(str(artifact.path), 1, granted_cpus()[:1], 0, runtime=runtime)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(asdict(asked))],
        capture_output=True,
        text=True,
        check=True,
    )
    outputs, modules = json.loads(done.stdout.splitlines()[-1])
    return outputs, set(modules)


def test_all_compute_the_same_of_the_same_inputs_and_import_nothing_of_another(
    artifacts: dict[str, Artifact],
) -> None:
    expected, _ = look(artifacts[LITERT], LITERT)
    for name in OTHERS:
        outputs, modules = look(artifacts[name], name)
        np.testing.assert_allclose(outputs[0], expected[0], rtol=1e-4, atol=1e-6)
        others = {module for n in RUNTIMES if n != name for module in ABOUT[n].modules[:1]}
        assert not others & modules
        assert not {"onnx", "tf2onnx", "pydantic", "xarray", "submitit"} & modules


def test_precision_is_told_by_its_most_frequent_types() -> None:
    assert most_of(["uint8"] * 37 + ["float32"] * 20 + ["int32"]) == "uint8 + float32"
    assert most_of([]) == ""


# A runtime that is not there


@pytest.fixture
def without_openvino(tmp_path: Path) -> dict[str, str]:
    """An environment in which OpenVINO looks as if it were not installed."""
    folder = tmp_path / "hidden"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE.format(absent=("openvino",)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


SWEEP = """
name = "runtimes"
[axes]
model = ["tiny"]
runtime = ["litert", "openvino"]
[models.tiny]
source = "{source}"
[measure]
min_trials = 1
max_trials = 1
"""


def test_a_runtime_that_is_not_installed_is_said_before_anything_is_built(
    litesweep: Litesweep, models: Path, tmp_path: Path, without_openvino: dict[str, str]
) -> None:
    sweep = tmp_path / "s.toml"
    sweep.write_text(SWEEP.format(source=models / "tiny.keras"))
    for command in ("plan", "run"):
        done = litesweep(command, sweep, env=without_openvino)
        assert done.returncode == 2
        assert "runtime 'openvino'" in done.stderr
        assert "pip install 'litesweep[openvino]'" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_trial_where_its_runtime_is_missing_says_so(
    artifacts: dict[str, Artifact],
    without_openvino: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", without_openvino["PYTHONPATH"])
    asked = TrialRequest(str(artifacts[OPENVINO].path), 1, granted_cpus()[:1], 0, runtime=OPENVINO)
    row = run_trial(NAME, asked, timeout_s=60)
    assert row.status == "failed"
    assert "OpenVINO cannot be imported here" in row.error
    assert "--build-arg EXTRAS=openvino" in row.error


# From a sweep to a ratio


def test_a_sweep_over_runtimes(litesweep: Litesweep, models: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "s.toml"
    sweep.write_text(SWEEP.format(source=models / "tiny.keras"))
    delegates = '[[include]]\nruntime = ["litert", "openvino"]\ndelegate = "none"\n'
    sweep.write_text(sweep.read_text() + delegates)
    done = litesweep("run", sweep, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "tiny, runtime litert, delegate xnnpack\n" in done.stdout
    assert "tiny, runtime openvino\n" in done.stdout
    assert "OpenVINO has no delegates" in " ".join(done.stdout.split())
    results = analysis.open_results(tmp_path / "run")
    assert {*results["runtime"].values.tolist()} == {"litert", "openvino"}
    assert {*results["delegate"].values.tolist()} == {"xnnpack", "none"}
    gained = analysis.speedup(results, runtime="litert")
    both = gained.sel(runtime="openvino", delegate="xnnpack").squeeze()
    assert float(both["ratio"]) > 0
    own = results.sel(runtime="litert", delegate="none").squeeze()
    assert int(own["operators_delegated"]) == 0
    assert analysis.write_figures(results, tmp_path / "figures")
