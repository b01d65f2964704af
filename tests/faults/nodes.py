"""Nodes and ranks: one that stops, one without shared memory, one of another release; memory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.results.read import read_results
from suite.results.rows import TrialRow
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.conftest import REPOSITORY
from tests.faults.disks import in_namespace
from tests.faults.fault import Bench, Impossible, fault
from tests.faults.made_up import RUN_ID, a_run, as_if_on, collected, made_up, recorded

MPIEXEC = Path(sys.executable).with_name("mpiexec")
RANKS = 3
PATIENCE_S = 1.5


def ranks(
    folder: RunFolder, trial_s: float, count: int = RANKS, stops: str = ""
) -> "subprocess.Popen[str]":
    """Start a real MPI world that measures the run's slice; the rank `stops` does, at its end."""
    command = [MPIEXEC, "-n", str(count), sys.executable, "-m", "tests.faults.ranks"]
    return subprocess.Popen(
        [*command, folder.path, str(trial_s), str(PATIENCE_S), stops],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(run: Path) -> dict[int, int]:
    """Return the processes of a world by rank."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
            variables = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tests.faults.ranks" in command and os.fsencode(run) in command:
            ranks = [v.removeprefix(b"PMI_RANK=") for v in variables if v.startswith(b"PMI_RANK=")]
            found |= {int(rank): int(path.name) for rank in ranks}
    return found


def until(said: Any, seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


@fault(
    "a rank of a real MPI world that stops without dying (SIGSTOP), while others go on",
    "the others finish, name its host and end the job, in their patience; nothing that was "
    "measured is lost; a new job completes the run",
)
def stopped(bench: Bench) -> None:
    if not MPIEXEC.exists():
        raise Impossible("no mpiexec")
    for turn in bench.times(long=12, short=1):
        rank = turn % RANKS
        with bench.trying(f"rank {rank}"):
            folder = a_run(
                bench.folder() / "run",
                cells=RANKS * 2, trials=4, nodes=RANKS, trial_timeout_s=1.0,
            )  # fmt: skip
            world = ranks(folder, trial_s=0.1)
            try:
                until(lambda: len(recorded(folder)) > 4)  # noqa: B023
                os.kill(processes_of(folder.path)[rank], signal.SIGSTOP)
                said, _ = world.communicate(timeout=60)
            finally:
                end(world, folder.path)
            assert world.returncode != 0
            assert f"c{rank} has given no sign of life" in said, said
            words = [path.read_text() for path in folder.job_logs(0).glob("*.txt")]
            assert any(f"c{rank} has given no sign of life" in word for word in words)
            before = recorded(folder)
            assert len(before) >= (RANKS - 1) * 8
            again = ranks(folder, trial_s=0.0)
            said, _ = again.communicate(timeout=60)
            assert again.returncode == 0, said
            assert before.items() <= recorded(folder).items()
            assert collected(folder) == recorded(folder)
            assert len(recorded(folder)) == RANKS * 2 * 4


@fault(
    "a rank that stops so when results are gathered",
    "the first rank names it and ends the job; a new job writes the shard, and measures nothing",
)
def stopped_at_the_end(bench: Bench) -> None:
    if not MPIEXEC.exists():
        raise Impossible("no mpiexec")
    for turn in bench.times(long=6, short=1):
        rank = 1 + turn % (RANKS - 1)
        with bench.trying(f"rank {rank}"):
            folder = a_run(bench.folder() / "run", cells=RANKS, trials=2, nodes=RANKS)
            world = ranks(folder, trial_s=0.0, stops=str(rank))
            try:
                said, _ = world.communicate(timeout=60)
            finally:
                end(world, folder.path)
            assert world.returncode != 0
            assert f"Rank {rank} has been still" in said, said
            before = recorded(folder)
            assert len(before) == RANKS * 2
            again = ranks(folder, trial_s=0.0)
            said, _ = again.communicate(timeout=60)
            assert again.returncode == 0, said
            assert collected(folder) == recorded(folder) == before


def end(world: "subprocess.Popen[str]", run: Path) -> None:
    """End what is left of a world."""
    for process in processes_of(run).values():
        os.kill(process, signal.SIGKILL)
    if world.poll() is None:
        world.kill()
        world.communicate()


SMALL_SHM = """
    import json, sys, time
    from contextlib import suppress
    from pathlib import Path
    from tests.faults import nodes
    from tests.faults.made_up import a_run, collected, job, recorded
    room = Path("/dev/shm/ballast")
    with room.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    with room.open("r+b") as file:
        file.truncate(file.seek(0, 2) - int(FREE))
    folder = a_run(Path(sys.argv[1]) / "run", cells=4, trials=2, nodes=2)
    begin = time.monotonic()
    world = nodes.ranks(folder, 0.0, 2)
    said, _ = world.communicate(timeout=100)
    took = time.monotonic() - begin
    first = [world.returncode, said[-2000:], took, len(recorded(folder))]
    alone = a_run(Path(sys.argv[1]) / "alone")
    assert not job(alone).mistake
    assert len(collected(alone)) == 6
    room.unlink()
    world = nodes.ranks(folder, 0.0, 2)
    said, _ = world.communicate(timeout=100)
    assert world.returncode == 0, said
    assert len(collected(folder)) == 8
    print(json.dumps(first))
"""


@fault(
    "/dev/shm is full where two ranks meet in it (two on one machine, real MPI)",
    "the job ends at once, and says why; with room again, it completes; a job of one rank and "
    "collecting need no room",
)
def full_shm(bench: Bench) -> None:

    if not MPIEXEC.exists():
        raise Impossible("no mpiexec")
    for free in (0,) if bench.short else (0, 1 << 12, 1 << 16, 1 << 18):
        folder = bench.folder()
        mount = "mount -t tmpfs -o size=64m shm /dev/shm"
        with bench.trying(free):
            code = SMALL_SHM.replace("FREE", str(free))
            code, said, took_s, _ = json.loads(in_namespace(folder, mount, code))
            assert code, "it went well: there was room"
            assert "Bus error" in said, said  # which `status` explains
            assert took_s < 60


EATS = "block = []\nwhile True:\n    block.append(b'x' * 10_000_000)\n"


@fault(
    "one trial that takes memory without end, with trial_memory set, and in a control group",
    "that trial is recorded with its cause; the job goes on and all others are measured",
)
def out_of_memory(bench: Bench) -> None:
    limited = ["-c", f"from suite.process import limit_memory; limit_memory(300_000_000)\n{EATS}"]
    for _ in bench.times(long=5, short=1):
        with bench.trying("trial_memory"):
            hurt = one_hungry(bench, limited)
            assert hurt.status == "failed" and "MemoryError" in hurt.error, hurt.error
    with memory_group(400_000_000) as procs:
        for _ in bench.times(long=5, short=1):
            with bench.trying("control group"):
                hurt = one_hungry(bench, ["-c", f"{JOIN.format(procs=str(procs))}{EATS}"])
                assert (hurt.status, hurt.exit_signal) == ("crashed", signal.SIGKILL), hurt.error
                assert "out of memory?" in hurt.error


JOIN = "import os\nopen({procs!r}, 'w').write(str(os.getpid()))\n"


def one_hungry(bench: Bench, arguments: list[str]) -> TrialRow:
    """Return the trial that took too much, of a job with 6."""
    folder = a_run(bench.folder() / "run")
    hungry = TrialName(RUN_ID, "c0-1", "", 1, 0)

    def measured(name: TrialName, *_: Any, **__: Any) -> TrialRow:
        if (name.cell_id, name.round) != (hungry.cell_id, hungry.round):
            return made_up(name)
        request = TrialRequest("m.tflite", 1, granted_cpus()[:1], 0)
        return run_trial(name, request, 120, [sys.executable, *arguments])

    with as_if_on("c1"), patch("jobs.meter.run_trial", measured):
        from jobs.worker import measure_slice

        outcome = measure_slice(str(folder.path), 0)
    assert not outcome.mistake + outcome.fault, outcome
    collected(folder)
    trials = read_results(folder.results_file).trials
    assert len(trials) >= 6
    [hurt] = [trial for trial in trials if trial.status != "ok"]
    return hurt


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """Give a control group with so much memory: the file that takes a process in."""
    from tests.liars.groups import MOUNTED, V2, _remove

    group = (MOUNTED if V2 else MOUNTED / "memory") / f"litesweep-faults-{os.getpid()}"
    try:
        if V2:
            (MOUNTED / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        name = "memory.max" if V2 else "memory.limit_in_bytes"
        (group / name).write_text(str(limit_bytes))
    except OSError as error:
        if group.exists():
            group.rmdir()
        raise Impossible(f"no control group: {error.strerror}") from error
    try:
        yield group / "cgroup.procs"
    finally:
        _remove(group)


@fault(
    "a worker of another release than the one that planned the run",
    "it measures nothing, and says which release planned and which one runs",
)
def another_release(bench: Bench) -> None:
    for theirs in ("0.0.9", "9.9"):
        with bench.trying(theirs):
            folder = a_run(bench.folder() / "run")
            plan = Plan.read(folder.plan_file)
            packages = plan.provenance["packages"]
            said = {**json.loads(packages), "litesweep": theirs}
            provenance = {**plan.provenance, "packages": json.dumps(said)}
            replace(plan, provenance=provenance).write(folder.plan_file)
            code = "import sys, jobs.worker; jobs.worker.measure_on_cluster(sys.argv[1], 0, False)"
            done = subprocess.run(
                [sys.executable, "-c", code, folder.path],
                check=False, capture_output=True, text=True, cwd=REPOSITORY,
            )  # fmt: skip
            assert done.returncode == 1
            [word] = folder.job_logs(0).glob("*.txt")
            assert f"{theirs} has planned the run" in word.read_text()
            assert not recorded(folder)
