"""Artifacts on a shared file system: read once a job, or from the node's own storage."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.cluster.container import python_command
from jobs.cluster.site import Container
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.runs import run
from jobs.staging import PREFIX, free_bytes, staged
from suite import Axes, Measure, ModelSpec, Sweep, UserError
from suite.results.read import read_results
from suite.results.rows import Results
from tests.conftest import REPOSITORY
from tests.test_site import LEAST, load
from tests.test_slurm import command

TRIALS = 4
IN_OPEN, IN_CLOSE_NOWRITE = 0x20, 0x10
EVENT_BYTES = 16
JOB = """
import sys
from jobs.worker import measure_on_cluster
measure_on_cluster(sys.argv[1], 0, False, sys.argv[2])
"""


@pytest.fixture(scope="module")
def measured_once(tiny_tflite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one cell, whose store is its own."""
    home = tmp_path_factory.mktemp("staging")
    sweep = Sweep(
        name="stage",
        axes=Axes(model=("tiny",)),
        models={"tiny": ModelSpec(source=str(tiny_tflite))},
        measure=Measure(min_trials=TRIALS, max_trials=TRIALS, precision=0.5),
    )
    return run(sweep, home / "run", store=home / "store")


@pytest.fixture
def planned(measured_once: Path, tmp_path: Path) -> RunFolder:
    """The same, planned, and nothing of it measured."""
    folder = RunFolder(shutil.copytree(measured_once, tmp_path / "run"))
    again(folder)
    (tmp_path / "local").mkdir()
    return folder


def again(folder: RunFolder) -> None:
    """Forget what was measured."""
    for path in (*folder.path.glob("journals/*/*"), *folder.path.glob("shards/*")):
        path.unlink()


def shared_file(folder: RunFolder) -> Path:
    [artifact] = Plan.read(folder.plan_file).artifacts.values()
    return artifact.path


def start(folder: RunFolder, stage: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Start the only rank of a job, as Slurm does."""
    return subprocess.Popen(
        [sys.executable, "-c", JOB, folder.path, stage],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )


def measured(folder: RunFolder, stage: str, **environment: str) -> Results:
    """Return what a job leaves."""
    assert start(folder, stage, **environment).wait(120) == 0
    results = read_results(folder.shard(0))
    assert [trial.status for trial in results.trials] == ["ok"] * TRIALS
    return results


@contextmanager
def opens(path: Path) -> Iterator[list[int]]:
    """Count how often a file is opened in the block, by whomever: the kernel tells (inotify(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN | IN_CLOSE_NOWRITE) >= 0
    count: list[int] = []
    try:
        yield count
        events = os.read(watch, 2**20)
        masks = memoryview(events).cast("I")[1 :: EVENT_BYTES // 4]
        count.append(sum(bool(mask & IN_OPEN) for mask in masks))
    finally:
        os.close(watch)


def warnings(folder: RunFolder) -> str:
    return "".join(path.read_text() for path in folder.job_logs(0).glob("*.stage.warning"))


def test_each_trial_opens_the_shared_file_and_a_staged_one_is_opened_once(
    planned: RunFolder, tmp_path: Path
) -> None:
    with opens(shared_file(planned)) as shared:
        measured(planned, "")
    assert shared[0] >= 1 + TRIALS
    again(planned)
    with opens(shared_file(planned)) as shared:
        results = measured(planned, "$LOCAL", LOCAL=str(tmp_path / "local"))
    assert shared == [1]
    assert not warnings(planned)
    assert [*(tmp_path / "local").iterdir()] == []
    # What stands in the results is the artifact, wherever it was read from.
    [artifact] = results.artifacts
    assert artifact.artifact_key in Plan.read(planned.plan_file).artifacts
    assert all(trial.weights_rss_bytes > 0 for trial in results.trials)  # of the copy, mapped


def test_where_it_cannot_be_staged_the_job_goes_on(planned: RunFolder) -> None:
    measured(planned, "$NOWHERE/x")
    said = "could not be staged in $NOWHERE/x: $NOWHERE is not set on the node. Trials read them"
    assert said in warnings(planned)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("$EMPTY/tmp", "$EMPTY is not set on the node"),
        ("/no/such/folder", "it is not there, or may not be written to"),
        ("/proc", "there is no room for 0.0086 MB"),
    ],
)
def test_why_it_cannot_be_staged(
    planned: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, said: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    artifacts = {"c": next(iter(Plan.read(planned.plan_file).artifacts.values()))}
    with staged(artifacts, stage, tmp_path / "failure") as given:
        assert given == artifacts
    assert said in (tmp_path / "failure").read_text()


def test_what_cannot_be_copied_to_its_end_goes_again(planned: RunFolder, tmp_path: Path) -> None:
    artifacts = {"c": next(iter(Plan.read(planned.plan_file).artifacts.values()))}
    planned.job_logs(0).mkdir(parents=True, exist_ok=True)
    failure = planned.unstaged(0, "h")
    broken = {**artifacts, "d": replace(artifacts["c"], path=tmp_path)}
    with staged(broken, str(tmp_path / "local"), failure) as given:
        assert given == broken
    assert "Is a directory" in failure.read_text()
    assert [*(tmp_path / "local").iterdir()] == []
    with staged(artifacts, str(tmp_path / "local"), failure) as given:
        assert given["c"].path.read_bytes() == artifacts["c"].path.read_bytes()
        assert given["c"].path.is_relative_to(tmp_path / "local")
    assert not failure.exists()


def test_what_is_not_the_built_file_is_not_staged_and_not_measured(
    planned: RunFolder, tmp_path: Path
) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(shared_file(planned).read_bytes() + b"\0")
    plan = Plan.read(planned.plan_file)
    plan.with_files(dict.fromkeys(plan.artifacts, other)).write(planned.plan_file)
    assert start(planned, str(tmp_path / "local")).wait(120) == 1
    [word] = planned.job_logs(0).glob("*.txt")
    assert f"{other} is not the one that was built" in word.read_text()
    assert [*(tmp_path / "local").iterdir()] == []


def test_what_a_killed_job_has_left_goes_with_the_next_one(
    planned: RunFolder, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    artifacts = {"c": next(iter(Plan.read(planned.plan_file).artifacts.values()))}
    job = start(planned, str(local))
    while not [*local.glob("*/*/*")]:  # from then on its folder is locked
        assert job.poll() is None
    [left] = local.iterdir()
    theirs = local / f"{PREFIX}theirs"
    theirs.symlink_to(tmp_path)
    with staged(artifacts, str(local), tmp_path / "failure"):
        assert left.exists()  # it is in use
    job.send_signal(signal.SIGKILL)
    job.wait()
    with staged(artifacts, str(local), tmp_path / "failure") as given:
        assert not left.exists()
        assert theirs.is_symlink() and tmp_path.exists()
        [own] = {*local.iterdir()} - {theirs}
        assert given["c"].path.is_relative_to(own) and own.stat().st_mode & 0o077 == 0


# The site file and the container


@pytest.mark.parametrize("said", ["/tmp", "$TMPDIR", "$SLURM_TMPDIR/x", "/local-1/a.b"])
def test_folders_of_the_node(tmp_path: Path, said: str) -> None:
    site = load(tmp_path, LEAST.replace("[mpi]", f"[slurm]\nstage = '{said}'\n[mpi]"))
    assert site.slurm.stage == said


@pytest.mark.parametrize("said", ["tmp", "$(id)", "/a b", "/a;b", "$A$B", '/a"b', "/a:b", "/`id`"])
def test_nothing_else_stands_for_one(tmp_path: Path, said: str) -> None:
    with pytest.raises(UserError, match="must be the path of a folder on the nodes"):
        load(tmp_path, LEAST.replace("[mpi]", f"[slurm]\nstage = '{said}'\n[mpi]"))


def test_the_container_gets_the_folder_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts Python is run by a shell, as on a node, with a stand-in for Apptainer."""
    command(tmp_path, "apptainer", 'printf "%s\\n" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    local = tmp_path / "the node's own"
    local.mkdir()
    container = Container(arguments=("--env", "A=x y"))
    words = python_command(container, Path("/i.sif"), stage="$LOCAL/")

    def given(**environment: str) -> list[str]:
        line = f"{words} -u -m jobs 'a b'"
        env = {**os.environ, **environment}
        done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, check=True)
        return done.stdout.decode().splitlines()

    plain = python_command(container, Path("/i.sif"))
    without = subprocess.run(
        ["bash", "-c", f"{plain} -u -m jobs 'a b'"], capture_output=True, check=True, text=True
    ).stdout.splitlines()
    assert given() == given(LOCAL="/no/such/folder") == without
    bound = given(LOCAL=str(local))
    at = bound.index(f"{local}/")
    assert bound[at - 1] == "--bind"
    assert [*bound[: at - 1], *bound[at + 1 :]] == without


def test_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL", str(tmp_path))
    assert free_bytes("$LOCAL") > 0
    with pytest.raises(OSError, match="NOWHERE is not set"):
        free_bytes("$NOWHERE")
