"""Models of strangers: only a process that builds or measures reads them, and its end is told."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suite import UserError
from suite.artifacts.build import BuildFailure
from tests.conftest import REPOSITORY
from tests.workshop import Workshop, request


def flip(path: Path, count: int, seed: int) -> None:
    """Change some bits of a file."""
    content, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(count):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a graph cut short": lambda model: cut(model / "saved_model.pb"),
    "a graph with other bits": lambda model: flip(model / "saved_model.pb", 40, 1),
    "a graph of nothing": lambda model: (model / "saved_model.pb").write_bytes(b""),
    "no variables": lambda model: shutil.rmtree(model / "variables"),
    "variables cut short": lambda model: (
        [*map(cut, (model / "variables").glob("*.data*"))] and None
    ),
    "variables with another index": lambda model: flip(model / "variables/variables.index", 9, 2),
}


@pytest.mark.tensorflow
def test_saved_models_that_are_damaged(models: Path, tmp_path: Path) -> None:
    def ending(what: str) -> str:
        folder = tmp_path / what
        shutil.copytree(models / "exported", folder / "model")
        DAMAGE[what](folder / "model")
        try:
            [built] = Workshop(folder / "store", folder / "logs").build(
                request(folder, "model", "float32")
            )
        except UserError as error:
            return str(error)
        return built.reason if isinstance(built, BuildFailure) else "built"

    with ThreadPoolExecutor(2) as pool:
        said = dict(zip(DAMAGE, pool.map(ending, DAMAGE), strict=True))
    assert "built" not in said.values(), said
    for text in said.values():
        assert 10 < len(text) < 700 and "Traceback" not in text, said


PLANS = """
import sys
from pathlib import Path
from jobs.runs import run
from suite import Sweep
run(Sweep.load(Path("s.toml")), "run", store="store")
native = [name for name in sys.modules if "ai_edge_litert" in name or name == "tensorflow"]
print(*native)
"""


@pytest.mark.tensorflow
def test_who_runs_a_sweep_never_loads_a_model_itself(tmp_path: Path, tiny_tflite: Path) -> None:
    shutil.copy(tiny_tflite, tmp_path / "m.tflite")
    (tmp_path / "s.toml").write_text(
        'name = "s"\n[axes]\nmodel = ["m"]\n[models.m]\nsource = "m.tflite"\n'
        "[measure]\nmin_trials = 1\nmax_trials = 1\nprofile = true\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PLANS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    # Reading a .tflite takes the generated schema alone, which is Python.
    assert {*done.stdout.split()} == {"ai_edge_litert", "ai_edge_litert.schema_py_generated"}
