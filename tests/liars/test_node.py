"""Lies about the node: CPU time that is not there, neighbours, CPUs that are not granted.

This machine may have neighbours of its own. So what is to be quiet is put first in line for the
CPUs, and tried a few times: a flag that is silent once does not always speak.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from suite.journal import read_journal
from suite.results.read import read_results
from suite.results.rows import TrialFlag, TrialRow
from suite.topology import granted_cpus
from suite.trial.protocol import TrialRequest
from tests.conftest import REPOSITORY
from tests.liars.groups import FIRST, HALF_A_CPU, cpu_group, inside

TRIES = 12
SWEEPS = 4
ROUNDS = 12
QUIET_ROUNDS = 4

TRIAL = """
import json, os, sys
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
if sys.argv[2:] == ["first"]:
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        pass
request = TrialRequest(**json.loads(sys.argv[1]))
trial = run_trial(TrialName("run", "cell", "node", 0, 0), request, 120)
print(json.dumps({name: value for name, value in vars(trial).items() if name != "latency_ns"}))
"""

NEIGHBOUR = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print(flush=True)
while True:
    pass
"""

SWEEP = f"""
name = "neighbour"
[axes]
model = ["tiny"]
[models.tiny]
source = "tiny.tflite"
[measure]
min_trials = {ROUNDS}
max_trials = {ROUNDS}
"""

two_cpus = pytest.mark.skipif(len(granted_cpus()) < 2, reason="two threads need two CPUs")


def measured(model: Path, threads: int = 1, procs: Path | None = None) -> dict[str, Any]:
    """Measure one short trial, parent and all: in a control group, or else first in line.

    First in line is the real-time class, where we may: a twentieth of a second in each is still
    kept for all others.
    """
    request = TrialRequest(
        artifact_path=str(model),
        threads=threads,
        cpus=granted_cpus()[:threads],
        seed=0,
        warmup_cap_ns=200_000_000,
        sampling_ns=200_000_000,
    )
    command = [sys.executable, "-c", TRIAL, json.dumps(asdict(request))]
    command = inside(procs, *command) if procs else [*command, "first"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    trial: dict[str, Any] = json.loads(done.stdout)
    assert trial["status"] == "ok", trial["error"]
    return trial


def flags(trial: dict[str, Any]) -> TrialFlag:
    return TrialFlag(trial["validity"])


# A quota


def test_a_cgroup_quota_of_half_a_cpu(tiny_tflite: Path) -> None:
    # First in line too: on a busy machine it might not even come to its half.
    with cpu_group({**FIRST, **HALF_A_CPU}) as procs:
        trial = measured(tiny_tflite, procs=procs)
        doctor = inside(procs, sys.executable, "-m", "jobs", "doctor", "--json")
        said = json.loads(subprocess.run(doctor, capture_output=True, check=True).stdout)
    assert TrialFlag.QUOTA_THROTTLED in flags(trial)
    assert trial["throttle_count"] >= 1
    assert trial["throttled_ns"] > 0.1 * trial["process_wall_ns"]
    # It waited for its quota, which is no neighbour; the hypervisor may have had one.
    assert trial["run_delay_ns"] > 0.05 * trial["sampling_wall_ns"]
    stolen = trial["steal_ns"] > 0.05 * trial["process_wall_ns"]
    assert (TrialFlag.NOISY_NODE in flags(trial)) is stolen
    assert said["machine"]["quota_cpus"] == 0.5
    assert said["state"]["throttling"]["count"] >= trial["throttle_count"]
    assert {"quota", "throttled"} <= {finding["name"] for finding in said["findings"]}


def test_a_cgroup_without_a_quota(tiny_tflite: Path) -> None:
    with cpu_group({}) as procs:
        trial = measured(tiny_tflite, procs=procs)
    assert trial["throttle_count"] == trial["throttled_ns"] == 0
    assert TrialFlag.QUOTA_THROTTLED not in flags(trial)


# Neighbours


@contextmanager
def neighbour(procs: Path, cpu: int) -> Iterator[None]:
    """Burn a CPU, with the same right to it as all others in the group of `procs`."""
    command = inside(procs, sys.executable, "-c", NEIGHBOUR, str(cpu))
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_neighbour_that_burns_a_core_from_the_middle_of_the_run(
    tiny_tflite: Path, tmp_path: Path
) -> None:
    shutil.copy(tiny_tflite, tmp_path / "tiny.tflite")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    for attempt in range(SWEEPS):
        before, hit, verdict = sweep_with_neighbour(tmp_path, f"run{attempt}")
        assert all(TrialFlag.NOISY_NODE in TrialFlag(trial.validity) for trial in hit)
        assert all(trial.run_delay_ns > 0.2 * trial.sampling_wall_ns for trial in hit)
        assert "noisy_node" in verdict
        if not any(TrialFlag.NOISY_NODE in TrialFlag(trial.validity) for trial in before):
            return
    raise AssertionError(f"this machine was never quiet in {SWEEPS} sweeps")


def sweep_with_neighbour(
    folder: Path, out: str
) -> tuple[list[TrialRow], list[TrialRow], list[str]]:
    """Run a sweep; return its trials before the neighbour came, those after, and the verdict."""
    journal = folder / out / "journals" / "job-00000" / f"{platform.node()}.journal"
    with cpu_group(FIRST) as procs:
        command = inside(procs, sys.executable, "-m", "jobs", "run", "sweep.toml", "--out", out)
        run = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while run.poll() is None and not (
            journal.exists() and len(read_journal(journal).trials) >= QUIET_ROUNDS
        ):
            time.sleep(0.1)
        came_unix_ns = time.time_ns()
        with neighbour(procs, granted_cpus()[0]):
            stayed_unix_ns = time.time_ns()
            _, stderr = run.communicate(timeout=120)
        assert run.returncode == 0, stderr
    trials = read_results(folder / out / "results.h5").trials
    before = [t for t in trials if t.start_unix_ns + t.process_wall_ns <= came_unix_ns]
    hit = [t for t in trials if t.start_unix_ns >= stayed_unix_ns]
    assert len(before) >= QUIET_ROUNDS
    assert len(hit) > ROUNDS / 4
    shown = [sys.executable, "-m", "jobs", "show", out, "--json"]
    [cell] = json.loads(subprocess.run(shown, capture_output=True, cwd=folder, check=True).stdout)
    return before, hit, cell["verdict"]


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=two_cpus)])
def test_without_a_neighbour(tiny_tflite: Path, threads: int) -> None:
    """Threads of one model wait for each other as well, and are no neighbours."""
    for _ in range(TRIES):
        trial = measured(tiny_tflite, threads)
        if TrialFlag.NOISY_NODE not in flags(trial):
            assert trial["run_delay_ns"] < 0.05 * trial["sampling_wall_ns"]
            return
    raise AssertionError(f"this machine was never quiet in {TRIES} trials")


# Other CPUs


@two_cpus
def test_a_process_pinned_to_one_cpu_with_two_threads_asked_for(tiny_tflite: Path) -> None:
    with cpu_group({}) as procs, pinned_by_another(procs, granted_cpus()[0]):
        trial = measured(tiny_tflite, threads=2, procs=procs)
    assert TrialFlag.AFFINITY_MISMATCH in flags(trial)
    assert TrialFlag.THREADS_NOT_USED in flags(trial)
    assert trial["effective_parallelism"] < 1.1
    # Its threads wait, but for each other.
    assert trial["run_delay_ns"] > 0.2 * trial["sampling_wall_ns"]
    stolen = trial["steal_ns"] > 0.05 * 2 * trial["process_wall_ns"]
    assert (TrialFlag.NOISY_NODE in flags(trial)) is stolen


@contextmanager
def pinned_by_another(procs: Path, cpu: int) -> Iterator[None]:
    """Pin all that is in a group to one CPU, again and again, as a daemon of the site may do."""
    ended = threading.Event()

    def pin() -> None:
        threads = procs.with_name("tasks" if "cpu" in procs.parts else "cgroup.threads")
        while not ended.wait(0.002):
            for thread in threads.read_text().split():
                try:
                    os.sched_setaffinity(int(thread), {cpu})
                except ProcessLookupError:
                    continue

    liar = threading.Thread(target=pin)
    liar.start()
    try:
        yield
    finally:
        ended.set()
        liar.join()


@two_cpus
def test_two_threads_on_two_cpus(tiny_tflite: Path) -> None:
    for _ in range(TRIES):
        found = flags(measured(tiny_tflite, threads=2))
        assert TrialFlag.AFFINITY_MISMATCH not in found
        if TrialFlag.THREADS_NOT_USED not in found:
            return
    raise AssertionError(f"this machine never let two threads run in {TRIES} trials")
