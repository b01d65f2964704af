"""The processes that build artifacts: side by side, killed, without a package, within memory."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.artifacts.build import (
    builders_at_once,
    free_memory_bytes,
)
from tests.workshop import Workshop, request

pytestmark = pytest.mark.tensorflow

BUILD = """
    import sys
    from pathlib import Path
    from suite import ModelSpec
    from suite.artifacts.build import build_artifacts
    from suite.artifacts.request import ArtifactRequest
    from suite.artifacts.store import ArtifactStore
    from suite.models.source import EXAMPLE_DATA, resolve_source
    folder, root, source, *quantizations = sys.argv[1:]
    spec = ModelSpec(source=source)
    found = resolve_source("m", spec, Path(folder))
    requests = [ArtifactRequest("m", spec, found, q) for q in quantizations]
    events = lambda event: print(event.what, event.request.quantization, flush=True)
    built = build_artifacts(requests, ArtifactStore(Path(root)), events, Path(root) / "logs")
    for artifact in built.values():
        print(getattr(artifact, "reason", "there"), flush=True)
"""


def build_elsewhere(
    models: Path, root: Path, source: str, *quantizations: str, **env: str
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BUILD), models, root, source, *quantizations],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def builders_of(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield int(child)


def test_two_that_start_together_build_once(models: Path, tmp_path: Path) -> None:
    both = [build_elsewhere(models, tmp_path, "tiny.keras", "float32", "dynamic") for _ in "ab"]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all(out.count("there") == 2 for out, _ in said)
    logs = [path.read_text() for path in (tmp_path / "logs").glob("*.log")]
    assert len(list(tmp_path.glob("??/*/model.tflite"))) == 2
    assert not list(tmp_path.glob(".building-*"))
    assert len(logs) == 2


@pytest.mark.parametrize("damage", ["model.tflite", "artifact.json", "half", "older"])
def test_an_artifact_that_is_no_longer_whole_is_built_anew(
    apart: Workshop, models: Path, damage: str
) -> None:
    made = request(models, "tiny.tflite", "float32")
    artifact = apart.artifact(made)
    description = artifact.path.parent / "artifact.json"
    if damage == "half":
        description.write_text("{")
    elif damage == "older":
        description.write_text(description.read_text().replace("top1_agreement", "top1"))
    else:
        (artifact.path.parent / damage).unlink()
    assert apart.store.find(made.key) is None
    assert apart.artifact(made).path == artifact.path
    assert artifact.path.read_bytes() == (models / "tiny.tflite").read_bytes()


def test_a_builder_that_is_killed_costs_its_artifact_alone(models: Path, tmp_path: Path) -> None:
    process = build_elsewhere(models, tmp_path, "tiny.keras", "float32")
    while not (builders := list(builders_of(process.pid))):
        time.sleep(0.01)
    os.kill(builders[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "the builder was killed by SIGKILL (out of memory?)" in out
    assert not list(tmp_path.glob(".building-*"))


def test_ctrl_c_ends_the_builders(models: Path, tmp_path: Path) -> None:
    process = build_elsewhere(models, tmp_path, "tiny.keras", "float32", "dynamic")
    while not (builders := list(builders_of(process.pid))):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    assert not any(_runs(builder) for builder in builders)
    assert not list(tmp_path.glob(".building-*"))
    assert not list(tmp_path.glob("??/*")), err


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_without_tensorflow(models: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import sys
            class Hidden:
                def find_spec(self, name, path=None, target=None):
                    if name == "tensorflow":
                        raise ModuleNotFoundError("No module named 'tensorflow'", name=name)
            sys.meta_path.insert(0, Hidden())
            """
        )
    )
    hidden = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    converts = build_elsewhere(models, tmp_path / "a", "tiny.keras", "float32", **hidden)
    _, err = converts.communicate(timeout=60)
    assert "needs the package 'tensorflow'" in err
    assert "litesweep[build]" in err
    ready = build_elsewhere(models, tmp_path / "b", "tiny.tflite", "float32", "dynamic", **hidden)
    out, err = ready.communicate(timeout=60)
    assert out.count("there") == 2, err


def test_memory_bounds_how_many_are_built_at_once(models: Path, tmp_path: Path) -> None:
    one = request(models, "tiny.keras", "float32")
    assert 1 <= builders_at_once([one]) <= len(os.sched_getaffinity(0))
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_memory_bytes(tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory_bytes(tmp_path) > 10**8
