"""`litesweep clean`: what goes, what stays, and what runs meanwhile."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.clean import clean, runs_of
from jobs.cluster.sent import record_answer, record_intent
from jobs.run_folder import RunFolder, held
from suite.artifacts.needs import Need, cleaning, read_needs, record_need, remove, unneeded
from suite.artifacts.store import Artifact, ArtifactStore, describe
from suite.journal import Journal
from tests.conftest import REPOSITORY, Litesweep
from tests.rows import a_trial, an_artifact

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
A, B, C = (letter * 32 for letter in "abc")


def build(store: ArtifactStore, key: str) -> Artifact:
    """Build an artifact that is none, or find it."""
    with store.building(key) as folder:
        if store.find(key) is None:
            (folder / "model.tflite").write_bytes(b"model" * 1000)
            describe(folder / "model.tflite", an_artifact(key), 1)
    artifact = store.find(key)
    assert artifact
    return artifact


def a_run_that_needs(folder: Path, store: ArtifactStore, run_id: str, *keys: str) -> Path:
    """Make the folder of a run that has told the store what it needs."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"run_id": run_id, "name": "needs"}))
    record_need(store, Need(run_id, folder, frozenset(keys)))
    return folder


def removed(store: ArtifactStore, *runs: Path) -> dict[Path, str]:
    """Clean all that can go, and return what it was."""
    chosen = {each.path for each in clean(runs, store).leftovers}
    gone = clean(runs, store, chosen).leftovers
    assert not [each for each in gone if each.path.exists()]
    return {each.path: each.what for each in gone}


AT_A_TERMINAL = """
import os
os.open(os.ttyname(0), os.O_RDWR)  # whose keys send signals from now on
from jobs.cli import main
main()
"""


@pytest.mark.parametrize(("key", "code"), [(b"\x03", 130), (b"\x04", 0), (b"y\n", 0)])
def test_what_the_question_is_answered(tmp_path: Path, key: bytes, code: int) -> None:
    """Ctrl-C and Ctrl-D among them."""
    store = ArtifactStore(tmp_path / "store")
    build(store, A)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, "clean", "--store", store.root],
        cwd=REPOSITORY,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout
        said = b""
        while b"Remove it?" not in said:
            said += process.stdout.read1()
            assert process.poll() is None, said
        os.write(ours, key)
        said += process.stdout.read()
    for end in (ours, theirs):
        os.close(end)
    assert process.returncode == code, said
    assert b"Traceback" not in said and b"Abort" not in said
    assert bool(store.find(A)) is (key != b"y\n")


# The store


def test_artifacts_go_once_no_run_needs_them(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    for key in (A, B, C):
        build(store, key)
    one = a_run_that_needs(tmp_path / "one", store, "1", A)
    other = a_run_that_needs(tmp_path / "other", store, "2", A, B)
    assert store.folder(C) in removed(store)
    assert store.find(A) and store.find(B) and not store.find(C)

    shutil.rmtree(other)
    seen = clean([], store)
    assert str(other) in seen.notes[0] and "moved" in seen.notes[0]
    assert [each.path for each in seen.leftovers] == [store.folder(B)]
    assert seen.leftovers[0].bytes >= 5000
    assert store.find(B), "it was only looked at"
    removed(store)
    assert store.find(A) and not store.find(B)
    assert [need.run_id for need in read_needs(store)] == ["1"]
    shutil.rmtree(one)
    removed(store)
    assert not [*store.root.glob("??/*"), *store.root.glob(".building*"), *store.locks.iterdir()]


def test_what_a_killed_builder_leaves_goes_and_what_one_builds_stays(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    store.root.mkdir()
    (store.root / f".building-{A}").mkdir()
    (store.root / f".building-{A}" / "half").write_bytes(b"x" * 5000)
    with store.building(B):
        assert removed(store) == {store.root / f".building-{A}": "half-built artifacts"}
        assert (store.root / f".building-{B}").exists()
    # Chosen before, and built by the time that it is to go.
    build(store, C)
    [leftover] = [each for each in unneeded(store, []) if each.path == store.folder(C)]
    with store.building(C):
        assert not remove(store, leftover)
    assert store.find(C)


def test_nothing_else_in_the_store_s_folder_is_touched(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for name in ("letter.txt", "ab/letter.txt", "ab/abc/letter.txt", ".building-plan/x", "zz/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("dear")
    assert removed(store) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_is_another_user_s_stays(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    build(store, A)
    os.chown(store.folder(A), 1234, -1)
    assert store.folder(A) not in removed(store)
    folder = a_run_that_needs(tmp_path / "theirs", store, "1")
    os.chown(folder, 1234, -1)
    assert runs_of(store) == []


BUSY = """
import json
import sys
from pathlib import Path
from suite.artifacts.store import ArtifactStore
from suite.artifacts.needs import Need, record_need
from tests.test_clean import build
store, who = ArtifactStore(Path(sys.argv[1])), sys.argv[2]
folder = Path(sys.argv[3]) / who
for turn in range(40):
    run_id, key = f"{who}-{turn}", f"{turn % 3:032x}"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"run_id": run_id, "name": "turn"}))
    record_need(store, Need(run_id, folder, frozenset([key])))
    artifact = store.find(key) or build(store, key)
    for _ in range(20):
        assert artifact.path.read_bytes() == b"model" * 1000
    (folder / "run.json").unlink()
    folder.rmdir()
"""
"""Runs that come and go, all with the same few artifacts."""


def test_nothing_goes_under_a_run_that_has_found_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    store.root.mkdir()
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY, store.root, f"run-{who}", tmp_path],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
        )
        for who in range(3)
    ]
    taken = 0
    while any(run.poll() is None for run in runs):
        taken += sum("artifact" in what for what in removed_while_others_build(store))
    assert [run.communicate()[1] for run in runs] == [b""] * 3
    assert taken > 0, "nothing was ever cleaned, so nothing was shown"


def removed_while_others_build(store: ArtifactStore) -> list[str]:
    chosen = {each.path for each in clean([], store).leftovers}
    return [each.what for each in clean([], store, chosen).leftovers] if chosen else []


WAITS = """
import sys, time
from pathlib import Path
from suite.artifacts.store import ArtifactStore

def give_up():
    print("waits", flush=True)
    return False

with ArtifactStore(Path(sys.argv[1])).building(sys.argv[2], give_up) as folder:
    (folder / "mine").touch(exist_ok=False)
    time.sleep(0.5)
    assert (folder / "mine").exists(), "two were in it"
"""


def test_who_waits_for_a_lock_that_is_cleaned_away_takes_another(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    with store.building(A):
        command = [sys.executable, "-c", WAITS, store.root, A]
        waiting = [
            subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) for _ in range(2)
        ]
        for each in waiting:
            assert each.stdout and each.stdout.readline() == b"waits\n"
        (store.locks / A).unlink()
    for each in waiting:
        each.communicate()
        assert each.returncode == 0


TELLS = """
import sys
from pathlib import Path
from suite.artifacts.needs import Need, record_need
from suite.artifacts.store import ArtifactStore
print("begins", flush=True)
record_need(ArtifactStore(Path(sys.argv[1])), Need("1", Path("/run"), frozenset()))
"""


def test_a_run_waits_to_be_heard_until_the_store_is_clean(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    store.root.mkdir()
    command = [sys.executable, "-c", TELLS, store.root]
    with cleaning(store):
        telling = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
        assert telling.stdout and telling.stdout.readline() == b"begins\n"
        with pytest.raises(subprocess.TimeoutExpired):
            telling.wait(1)
        assert read_needs(store) == []
    telling.communicate()
    assert telling.returncode == 0
    assert [need.run_id for need in read_needs(store)] == ["1"]


# Runs


RUN = ("run", "s.toml", "--out", "run", "--store", "store")


def measured(model: Path, folder: Path) -> RunFolder:
    """Run a sweep to its end, with a store beside it."""
    shutil.copy(model, folder / "m.tflite")
    (folder / "s.toml").write_text(SWEEP)
    command = [sys.executable, "-m", "jobs", *RUN]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return RunFolder(folder / "run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_tflite: Path) -> Path:
    """The folder of a run that has ended."""
    return measured(tiny_tflite, tmp_path_factory.mktemp("finished")).path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunFolder:
    """A copy of that run."""
    shutil.copytree(finished, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_that_was_cleaned_is_still_one(
    litesweep: Litesweep, tiny_tflite: Path, tmp_path: Path
) -> None:
    run = measured(tiny_tflite, tmp_path)
    before = content(tmp_path)
    said = litesweep("clean", "--store", "store")
    assert "journals that their shard holds" in said.stdout and "--yes" in said.stdout
    after = content(tmp_path)
    assert {name: after[name] for name in before} == before, "it was only to be looked at"

    said = litesweep("clean", "--store", "store", "--yes", "--json")
    seen = json.loads(said.stdout)
    assert seen["removed_bytes"] == seen["bytes"] > 0 and seen["notes"] == []
    left = content(run.path)
    assert left.keys() == {
        *("sweep.toml", "run.json", "plan.json", "shards/job-00000.h5", "results.h5", ".lock"),
        *(".collected", "shards/job-00000.journals"),
        *(name for name in left if name.endswith(".warning")),
    }
    assert ArtifactStore(tmp_path / "store").root.glob("??/*/model.tflite")
    again = litesweep(*RUN)
    assert again.returncode == 0, again.stderr
    assert run.results_file.read_bytes() == left["results.h5"]
    assert not run.journal_hosts(0), "nothing was measured again"
    assert "nothing" in litesweep("clean", "--store", "store").stdout.lower()


def test_what_a_shard_does_not_hold_stays(run: RunFolder) -> None:
    [host] = run.journal_hosts(0)
    journal = run.journal(0, host)
    with Journal(journal, run.identity()["run_id"]) as open_journal:
        open_journal.append(a_trial("late"))
    os.utime(run.shard(0))  # as if it had been written after
    assert journal not in {each.path for each in clean([run.path], None).leftovers}


def test_a_run_that_is_being_run_is_left_alone(run: RunFolder) -> None:
    with held(run):
        seen = clean([run.path], None)
    assert not seen.leftovers
    assert "is being run" in seen.notes[0]
    # And a journal that a job, whose submitter has died, still has open.
    [host] = run.journal_hosts(0)
    with Journal(run.journal(0, host), run.identity()["run_id"]):
        os.utime(run.shard(0))
        chosen = {each.path for each in clean([run.path], None).leftovers}
        assert run.journal(0, host) in chosen
        clean([run.path], None, chosen)
        assert run.journal(0, host).exists()


def test_jobs_that_slurm_has_are_left_alone(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.site_file.write_text("{}")
    slurm = run.logs / "slurm"
    slurm.mkdir()
    run_id = run.identity()["run_id"]
    for name, job_id in ((f"litesweep-{run_id}-0", "11"), (f"litesweep-{run_id}-1", "12")):
        record_intent(run, name, [0])
        record_answer(run, name, [job_id])
        for end in ("submission.sh", "submitted.pkl", "0_log.err", "0_log.out", "0_result.pkl"):
            (slurm / f"{job_id}_{end}").write_text(job_id)
    (slurm / "submission_file_0123.sh").write_text("refused")

    commands = tmp_path / "bin"
    commands.mkdir()
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(commands))  # a machine without Slurm
    assert "squeue" in clean([run.path], None).notes[0]
    monkeypatch.setenv("PATH", f"{commands}:{path}")
    squeue = commands / "squeue"
    squeue.write_text(f"#!/bin/sh\necho '12|litesweep-{run_id}-1|RUNNING|None'\n")
    squeue.chmod(0o755)
    names = {each.path.name for each in clean([run.path], None).leftovers}
    assert names >= {"11_submission.sh", "11_submitted.pkl", "submission_file_0123.sh"}
    assert not [name for name in names if name.startswith("12_") or name.endswith(".journal")]

    squeue.write_text("#!/bin/sh\n")
    names = {each.path.name for each in clean([run.path], None).leftovers}
    assert names >= {"11_submitted.pkl", "12_submitted.pkl", "12_0_log.err"}
    run.shard(0).unlink()  # a job that failed: status tells why by its log
    names = {each.path.name for each in clean([run.path], None).leftovers}
    assert "11_0_log.err" in names and "12_0_log.err" not in names
    assert not [name for name in names if name.endswith(".journal")]


def test_half_written_files_go_when_nobody_has_touched_them_for_long(run: RunFolder) -> None:
    old, new = (run.path / "shards" / f".job-00000.h5.{pid}.tmp" for pid in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    names = {each.path.name for each in clean([run.path], None).leftovers}
    assert old.name in names and new.name not in names


def test_no_run(litesweep: Litesweep, tmp_path: Path) -> None:
    done = litesweep("clean", tmp_path)
    assert done.returncode == 2 and "no run" in done.stderr
    assert "nothing" in litesweep("clean", "--store", tmp_path / "absent").stdout
    assert not (tmp_path / "absent").exists()


def test_one_run_that_cannot_be_cleaned_leaves_the_others(run: RunFolder, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    a_run_that_needs(tmp_path / "being-built", store, "1")  # it has no plan yet
    hidden = a_run_that_needs(tmp_path / "hidden", store, "2")
    shutil.rmtree(hidden)
    hidden.symlink_to(hidden)  # as what another user keeps to himself, it cannot be looked at
    record_need(store, Need(run.identity()["run_id"], run.path, frozenset()))
    assert runs_of(store) == [run.path]
    other = RunFolder(tmp_path / "other")
    shutil.copytree(run.path, other.path)
    (other.path / ".lock").unlink()
    (other.path / ".lock").mkdir()
    seen = clean([other.path, run.path, run.path], None)
    assert "other was left alone: " in seen.notes[0] and "Is a directory" in seen.notes[0]
    paths = [each.path for each in seen.leftovers]
    assert paths and len({*paths}) == len(paths), "what it frees is counted twice"


def test_what_a_store_knows_already_needs_no_room(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    folder = a_run_that_needs(tmp_path / "run", store, "1", A, B)
    told = store.root / ".runs" / "1.json"
    before = told.stat()
    record_need(store, Need("1", folder, frozenset([A])))
    assert told.stat() == before
    record_need(store, Need("1", folder, frozenset([C])))
    [need] = read_needs(store)
    assert need.keys == {A, B, C}
