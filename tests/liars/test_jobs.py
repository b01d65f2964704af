"""Lies told to a job while it runs: another CPU type, another artifact."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import archspec.cpu
import pytest

import analysis
from jobs import run
from jobs.collect import collect
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.worker import measure_slice
from suite import Axes, Measure, ModelSpec, Sweep
from suite.journal import read_journal

TRIALS = 6


@pytest.fixture
def planned(tiny_tflite: Path, tmp_path: Path) -> RunFolder:
    """A run of one cell that is planned and has measured nothing."""
    sweep = Sweep(
        name="lies",
        axes=Axes(model=("tiny",)),
        models={"tiny": ModelSpec(source=str(tiny_tflite))},
        measure=Measure(min_trials=TRIALS, max_trials=TRIALS, precision=0.5),
    )
    folder = RunFolder(run(sweep, tmp_path / "run", store=tmp_path / "store"))
    for path in (*folder.path.glob("journals/*/*"), *folder.path.glob("shards/*")):
        path.unlink()
    return folder


def verdict(folder: RunFolder) -> list[str]:
    outcome = measure_slice(str(folder.path), 0)
    assert (outcome.mistake, outcome.fault) == ("", "")
    folder.results_file.unlink(missing_ok=True)
    collect(folder)
    [cell] = analysis.to_json(analysis.open_results(folder.path))
    return list(cell["verdict"])


@pytest.mark.parametrize(
    ("expect", "flagged"), [("power8le", True), (archspec.cpu.host().name, False)]
)
def test_a_wrong_cpu_type(planned: RunFolder, expect: str, flagged: bool) -> None:
    plan = Plan.read(planned.plan_file)
    replace(plan, slices={0: replace(plan.slices[0], expect=expect)}).write(planned.plan_file)
    assert ("cpu_type_mismatch" in verdict(planned)) is flagged


@contextmanager
def after_the_first_trial(folder: RunFolder, lie: Callable[[], None]) -> Iterator[None]:
    """Tell a lie while the job of the block measures."""

    def wait_and_lie() -> None:
        while not any(read_journal(p).trials for p in folder.path.glob("journals/*/*.journal")):
            time.sleep(0.02)
        lie()

    liar = threading.Thread(target=wait_and_lie)
    liar.start()
    yield
    liar.join()


def test_an_artifact_swapped_after_it_was_hashed(planned: RunFolder) -> None:
    [artifact] = Plan.read(planned.plan_file).artifacts.values()
    forged = artifact.path.read_bytes() + b"\0" * 16  # runs as well as the true one
    other = artifact.path.with_name("other")
    other.write_bytes(forged)
    with after_the_first_trial(planned, lambda: other.replace(artifact.path)):
        found = verdict(planned)
    assert "artifact_changed" in found


def test_an_artifact_that_was_only_touched(planned: RunFolder) -> None:
    [artifact] = Plan.read(planned.plan_file).artifacts.values()
    with after_the_first_trial(planned, lambda: os.utime(artifact.path)):
        found = verdict(planned)
    assert "artifact_changed" not in found
    assert "failed_trials" not in found


@pytest.mark.tensorflow
def test_a_recipe_that_was_not_applied(models: Path, tmp_path: Path) -> None:
    """The converter's DEFAULT leaves tensors of under 1024 numbers in float32, and says nothing."""
    sweep = Sweep(
        name="lies",
        axes=Axes(model=("dense",), quantization=("float32", "dynamic", "int8")),
        models={"dense": ModelSpec(source=str(models / "dense.keras"))},
        measure=Measure(min_trials=1, max_trials=1),
    )
    results = analysis.open_results(run(sweep, tmp_path / "run"))
    flagged = {
        cell["quantization"]: "recipe_not_applied" in cell["verdict"]
        for cell in analysis.to_json(results)
    }
    assert flagged == {"float32": False, "dynamic": True, "int8": False}
