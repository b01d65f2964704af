"""Data that are given on the command line, for all models of a sweep or for one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jobs.data import with_data
from suite import Sweep, UserError
from suite.results.read import read_results
from tests.conftest import Litesweep

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
