"""A user's mistakes: one clear message, exit code 2, and nothing left behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from suite.topology import granted_cpus
from tests.conftest import Litesweep

SWEEP = """
name = "s"
[axes]
model = ["m"]
[models.m]
source = "m.tflite"
[measure]
min_trials = 1
max_trials = 1
"""
TOO_MANY = len(granted_cpus()) + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name", "name ="), ["not valid TOML"]),
        (("[axes]", "[axes]\nthread = [1]"), ["'thread'", "'threads'"]),
        (("[axes]", "[axes]\nquantization = ['int9']"), ["'int9'"]),
        (("[axes]", "[axes]\nquantization = []"), ["[axes] quantization", "empty"]),
        (("[axes]", "[axes]\nthreads = [0]"), ["[axes] threads"]),
        (("[axes]", f"[axes]\nthreads = [{TOO_MANY}]"), [f"{TOO_MANY} threads", "grants"]),
        (("[axes]", "[axes]\noptimization = ['prune@0.5']"), ["No cell", "cannot be optimised"]),
        (("[axes]", "[axes]\ncpu_type = ['skylake']"), ["'skylake'", "'local'"]),
        (("m.tflite", "keras:ResNet5O"), ["'ResNet5O'", "'ResNet50'"]),
        (("m.tflite", "absent.tflite"), ["absent.tflite", "there is no file"]),
        (("m.tflite", "absent/"), ["absent"]),
        (("m.tflite", "empty_folder"), ["no SavedModel"]),
        (("m.tflite", "text.tflite"), ["text.tflite", "no .tflite"]),
        (("m.tflite", "half.tflite"), ["half.tflite", "truncated"]),
        (("m.tflite", "half.keras"), ["half.keras"]),
        (("m.tflite", "untraced"), ["cannot be recovered", "signatures"]),
        (("m.tflite", "x" * 300), ["will not do"]),
        (("m.tflite", "a\\nb.tflite"), ["no file"]),
        (('"s"', '"a b"'), ["'a b'", "name"]),
        (('"s"', '"a/b"'), ["'a/b'", "name"]),
        (('"s"', "'a\"b'"), ["name"]),
        (('"s"', '"a\\nb"'), ["name"]),
        (('"s"', f'"{"x" * 300}"'), ["name"]),
    ],
    ids=lambda value: (
        value[1][:24].encode("unicode_escape").decode() if type(value) is tuple else ""
    ),
)
def test_mistakes_in_a_sweep(
    litesweep: Litesweep,
    tmp_path: Path,
    models: Path,
    change: tuple[str, str],
    words: list[str],
) -> None:
    shutil.copy(models / "tiny.tflite", tmp_path / "m.tflite")
    (tmp_path / "half.tflite").write_bytes((models / "tiny.tflite").read_bytes()[:4000])
    (tmp_path / "half.keras").write_bytes((models / "tiny.keras").read_bytes()[:4000])
    (tmp_path / "text.tflite").write_text("no model at all")
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "untraced").symlink_to(models / "untraced")
    (tmp_path / "sweep.toml").write_text(SWEEP.replace(*change, 1))
    before = sorted(tmp_path.iterdir())

    for command in ("plan", "run"):
        if command == "plan" and "untraced" in change:
            continue  # only TensorFlow can tell
        done = litesweep(command, "sweep.toml")
        _check(done, words)
    assert sorted(tmp_path.iterdir()) == before


def _check(done: "subprocess.CompletedProcess[str]", words: list[str]) -> None:
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, said
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert len(said) < 700


def test_no_sweep_no_run_no_results(litesweep: Litesweep, tmp_path: Path) -> None:
    _check(litesweep("run", "absent.toml"), ["absent.toml"])
    _check(litesweep("run", "."), ["cannot be read"])
    _check(litesweep("show", "absent"), ["absent"])
    (tmp_path / "folder").mkdir()
    _check(litesweep("show", "folder"), ["results.h5"])
    (tmp_path / "text.h5").write_text("no HDF5")
    _check(litesweep("show", "text.h5"), ["text.h5"])
    _check(litesweep("figures", "text.h5"), ["text.h5"])


def test_a_folder_that_belongs_to_another(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    shutil.copy(models / "tiny.tflite", tmp_path / "m.tflite")
    (tmp_path / "a.toml").write_text(SWEEP)
    (tmp_path / "b.toml").write_text(SWEEP.replace('"s"', '"other"'))
    assert litesweep("run", "a.toml", "--out", "out").returncode == 0
    before = (tmp_path / "out" / "results.h5").read_bytes()
    _check(litesweep("run", "b.toml", "--out", "out"), ["another sweep", "--out"])
    assert (tmp_path / "out" / "results.h5").read_bytes() == before

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    _check(litesweep("run", "a.toml", "--out", "home"), ["not empty", "--out"])
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]
    _check(litesweep("run", "a.toml", "--out", "a.toml"), ["is a file"])

    before = sorted(tmp_path.iterdir())
    for out, words in (("x" * 300, "too long"), ("a.toml/out", "Not a directory")):
        _check(litesweep("run", "a.toml", "--out", out), [words])
        _check(litesweep("figures", "out", "--out", out), [words])
    assert sorted(tmp_path.iterdir()) == before


def test_paths_with_spaces_and_quotes_work(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    folder = tmp_path / 'it\'s a "folder"\n'
    folder.mkdir()
    shutil.copy(models / "tiny.tflite", folder / "my model.tflite")
    (folder / "sweep.toml").write_text(SWEEP.replace("m.tflite", "my model.tflite"))
    for executor in ("debug", "local"):
        out = folder / executor
        done = litesweep("run", folder / "sweep.toml", "--out", out, "--executor", executor)
        assert done.returncode == 0, done.stderr
        assert (out / "results.h5").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_disk_without_room(litesweep: Litesweep, tmp_path: Path, models: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount")
    try:
        shutil.copy(models / "tiny.tflite", tmp_path / "m.tflite")
        (tmp_path / "sweep.toml").write_text(SWEEP)
        _check(litesweep("run", "sweep.toml", "--store", small / "store"), ["no room", "store"])
        assert not (tmp_path / "runs").exists()
        left = [path for path in (small / "store").rglob("*") if path.is_file()]
        assert all(path.parent.name in (".locks", ".runs") for path in left)
        done = litesweep("run", "sweep.toml", "--out", small / "run")
        _check(done, ["small"])
        assert not (small / "run" / "results.h5").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def test_wrong_arguments(litesweep: Litesweep) -> None:
    for arguments in (["run"], ["rum"], ["run", "x.toml", "--executor", "slurmm"], ["plan", "-x"]):
        done = litesweep(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
