"""What all tests share: tiny models, made once, and a store of artifacts of the session's own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr
from hypothesis import settings

from analysis import open_results
from suite.results.rows import Results
from suite.results.write import write_results
from tests.workshop import Workshop

REPOSITORY = Path(__file__).parent.parent

# Nothing asserts on time: machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of `tests.models`, made by the real TensorFlow."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, "-m", "tests.models", str(folder)],
        check=True,
        capture_output=True,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    return folder


@pytest.fixture(scope="session")
def tiny_tflite(models: Path) -> Path:
    """A ready float32 .tflite file."""
    return models / "tiny.tflite"


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's own artifact store, in place of the user's; each artifact is built once."""
    folder = tmp_path_factory.mktemp("store")
    os.environ["LITESWEEP_STORE"] = str(folder)
    return folder


@pytest.fixture
def workshop(store: Path, tmp_path: Path) -> Workshop:
    """Builds in the session's store: what one test has built, another finds."""
    return Workshop(store, tmp_path / "logs")


@pytest.fixture
def apart(tmp_path: Path) -> Workshop:
    """Builds in a store of its own."""
    return Workshop(tmp_path / "store", tmp_path / "logs")


Opened = Callable[[Results], xr.Dataset]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Write results to `tmp_path / "results.h5"` and open them."""

    def opened(results: Results) -> xr.Dataset:
        write_results(tmp_path / "results.h5", results)
        return open_results(tmp_path / "results.h5")

    return opened


Litesweep = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def litesweep(tmp_path: Path) -> Litesweep:
    """The command line, run as a user would, in a folder of its own."""

    def run(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [sys.executable, "-m", "jobs", *map(str, arguments)],
            check=False,
            **{"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 300, **options},
        )

    return run
