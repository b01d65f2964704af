"""What is no file where one should be, or one without end: refused at once, in little memory."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import analysis
from jobs.cli import NOT_OURS
from jobs.cluster.images import image_sha256
from jobs.cluster.sent import read_sent, record_answer, record_intent
from jobs.cluster.site import Site
from jobs.cluster.status import status
from jobs.collect import collect
from jobs.data import with_data
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite import ModelSpec, Sweep, UserError
from suite.journal import read_journal
from suite.models.source import hash_file, resolve_source
from suite.models.tflite_file import read_tflite
from suite.results.read import read_results
from suite.results.stored import open_stored
from tests.conftest import Litesweep
from tests.faults.made_up import a_run, job
from tests.test_slurm import command

A_SWEEP = 'name = "s"\n[axes]\nmodel = ["m"]\n[models.m]\nsource = "keras:ResNet50"\n'
READERS: dict[str, Callable[[Path], object]] = {
    "s.toml": Sweep.load,
    "site.toml": Site.load,
    "results.h5": open_stored,
    "job-00000.h5": read_results,
    "host.journal": read_journal,
    "m.tflite": read_tflite,
    "m.keras": hash_file,
    "image.sif": image_sha256,
    "plan.json": Plan.read,
    "site.json": Site.read,
    "run.json": lambda path: RunFolder(path.parent).identity(),
    "sent.jsonl": lambda path: read_sent(RunFolder(path.parent)),
}


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    """Have what waits, or takes memory, end before it has much."""

    def late(*_: object) -> None:
        raise TimeoutError("it is still being read")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)  # none takes a second: this one is for machines that are busy
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_it_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case "a folder":
            path.mkdir()
    with pytest.raises((UserError, OSError)) as caught:
        READERS[name](path)
    # Which the command line tells in a message.
    assert isinstance(caught.value, UserError) or caught.value.errno in NOT_OURS
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["results.h5", "plan.json", "m.tflite", "s.toml", "site.toml"])
def test_nor_is_all_of_a_file_read_that_has_nothing_in_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(UserError, match=name):
        READERS[name](path)


def test_a_sweep_may_come_out_of_a_pipe(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.write(writes, A_SWEEP.encode())
    os.close(writes)
    assert Sweep.load(f"/dev/fd/{reads}").text == A_SWEEP
    os.close(reads)


def test_links_in_a_ring(tmp_path: Path, litesweep: Litesweep) -> None:
    for name in ("ring.tflite", "run"):
        (tmp_path / name).symlink_to(name)
    ring = str(tmp_path / "ring.tflite")
    (tmp_path / "s.toml").write_text(A_SWEEP)
    sweep = Sweep.load(tmp_path / "s.toml")
    for read in (
        lambda: resolve_source("m", ModelSpec(source=ring), tmp_path),
        lambda: with_data(sweep, [ring]),
        lambda: analysis.open_history([tmp_path / "run"]),
    ):
        with pytest.raises(UserError):
            read()
    done = litesweep("run", "s.toml", "--out", "run")
    assert done.returncode == 2 and "symbolic links" in done.stderr, done.stderr


def test_links_that_multiply(tmp_path: Path) -> None:
    for n in range(40):
        (tmp_path / "saved" / f"{n}").mkdir(parents=True)
        for name in "ab":
            (tmp_path / "saved" / f"{n}" / name).symlink_to(f"../{n + 1}")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(UserError, match="more than 10000 links"):
        resolve_source("m", ModelSpec(source="saved"), tmp_path)


def test_a_pipe_in_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved" / "variables").mkdir(parents=True)
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    os.mkfifo(tmp_path / "saved" / "variables" / "variables.index")
    with pytest.raises(UserError, match=r"variables\.index.* is a pipe"):
        resolve_source("m", ModelSpec(source="saved"), tmp_path)


NO_LOGS = ("job-00000/c1.json", "job-00000/c1.txt", "job-00000/c1.warning", "slurm/7_0_log.err")


@pytest.mark.parametrize(
    "kind", ["a pipe", "a link to nothing", "a folder", "not a letter", "long"]
)
def test_logs_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What a run of strangers has in place of its logs, and of what it was collected from."""
    run = a_run(tmp_path / "run")
    assert not job(run).mistake
    collect(run)
    before = run.results_file.read_bytes()
    for path in (run.collected_file, run.shard_journals(0), run.results_file):
        path.unlink()
    notes = [run.collected_file, run.shard_journals(0)]
    for path in (*notes, *(run.logs / name for name in NO_LOGS)):
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        match kind:
            case "a pipe":
                os.mkfifo(path)
            case "a link to nothing":
                path.symlink_to("nothing")
            case "a folder" if path not in notes:
                path.mkdir()
            case "not a letter":
                path.write_bytes(b"\xff\xfe")
            case "long":
                with path.open("wb") as file:
                    file.truncate(2**40)
    if kind != "long":
        collect(run)
        assert run.results_file.read_bytes() == before
    run.shard(0).unlink()
    run.site_file.write_text("{}")
    record_intent(run, "n-0", [0])
    record_answer(run, "n-0", ["7"])
    for name in ("squeue", "sacct"):
        command(tmp_path, name, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    [seen] = status(run).jobs
    assert seen.state == "failed" and seen.reason
