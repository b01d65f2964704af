"""The trial: a real process on a real model, and every way in which it can end."""

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from suite.results.rows import TrialFlag, TrialRow
from suite.topology import format_cpu_list, granted_cpus
from suite.trial.launch import WORKER, TrialName, judge, run_trial
from suite.trial.loads import at_work
from suite.trial.protocol import TrialAnswer, TrialRequest
from suite.trial.withheld import Withheld
from suite.trial.worker import waits_ns

NAME = TrialName("run", "cell", "node", 0, 0)


def measured(tiny_tflite: Path, threads: int = 1, seed: int = 0) -> TrialRow:
    cpus = granted_cpus()[:threads]
    return run_trial(NAME, TrialRequest(str(tiny_tflite), threads, cpus, seed), timeout_s=60)


def failed(code: str, timeout_s: float = 60) -> TrialRow:
    request = TrialRequest("m.tflite", 1, granted_cpus()[:1], 0)
    return run_trial(NAME, request, timeout_s, [sys.executable, "-c", code])


def test_where_memory_runs_out_the_trial_goes_first() -> None:
    code = (
        "from pathlib import Path; from suite.process import die_with_parent; die_with_parent();"
        "print(Path('/proc/self/oom_score_adj').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(done.stdout) == 1000


def test_a_trial_measures_and_says_how(tiny_tflite: Path) -> None:
    trial = measured(tiny_tflite)
    assert (trial.status, trial.error) == ("ok", "")
    assert trial.trial_id == NAME.trial_id
    kept = trial.latency_ns[trial.warmup_count :]
    assert len(kept) >= 10
    assert (trial.latency_ns > 0).all()
    assert trial.cpus_pinned == format_cpu_list(granted_cpus()[:1])
    assert trial.threads_seen == 1
    assert trial.run_delay_ns >= 0
    assert trial.steal_ns >= 0
    assert 0 < trial.import_ns + trial.load_ns + trial.first_invocation_ns < trial.process_wall_ns
    assert 10 * 2**20 < trial.peak_rss_bytes < 500 * 2**20
    # What lies between the samples is our own: it must stay a small part of the time.
    assert kept.sum() * trial.inner_loops > 0.9 * trial.sampling_wall_ns
    short = np.median(kept) * trial.inner_loops
    assert short >= 500 * max(trial.clock_overhead_ns, trial.clock_resolution_ns)


def test_outputs_follow_from_the_seed_alone(tiny_tflite: Path) -> None:
    digests = [measured(tiny_tflite, seed=seed).output_digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_without_a_delegate_litert_runs_its_own_kernels(tiny_tflite: Path) -> None:
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0)
    delegated, own = (
        run_trial(NAME, replace(request, delegate=delegate), 60) for delegate in ("xnnpack", "none")
    )
    assert (delegated.computes_in, own.computes_in) == ("float32", "float32")
    assert 0 < delegated.operators_delegated <= delegated.operators_run == own.operators_run
    assert own.operators_delegated == 0
    assert not TrialFlag.DELEGATE_MISSING & (delegated.validity | own.validity)


@pytest.mark.skipif(len(granted_cpus()) < 2, reason="two threads need two CPUs")
def test_two_threads_are_pinned_and_seen(tiny_tflite: Path) -> None:
    trial = measured(tiny_tflite, threads=2)
    assert trial.cpus_pinned == format_cpu_list(granted_cpus()[:2])
    assert trial.threads_seen == 2


def test_the_timed_process_imports_nothing_that_it_does_not_need(tiny_tflite: Path) -> None:
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0)
    code = (
        "import sys; from suite.trial.protocol import TrialRequest\n"
        f"from suite.trial.worker import measure; measure(TrialRequest(**{asdict(request)!r}))\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"numpy", "ai_edge_litert.interpreter"} <= loaded
    unwanted = {"pydantic", "tensorflow", "h5py", "scipy", "submitit", "psutil", "rich", "xarray"}
    assert not unwanted & loaded
    assert "suite.sweep" not in loaded


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_is_recorded_with_its_signal(name: str) -> None:
    number = getattr(signal, name)
    trial = failed(f"import os; os.kill(os.getpid(), {int(number)})")
    assert (trial.status, trial.exit_signal) == ("crashed", number)
    assert name in trial.error
    assert trial.validity == TrialFlag.FAILED
    assert len(trial.latency_ns) == 0


def test_a_signal_without_a_name_costs_no_more_than_its_trial() -> None:
    trial = failed("import os; os.kill(os.getpid(), 36)")
    assert (trial.status, trial.exit_signal) == ("crashed", 36)
    assert "signal 36" in trial.error


def test_a_hang_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    trial = failed(code, timeout_s=3)
    assert trial.status == "timed_out"
    assert "3 s" in trial.error
    assert _gone(int(pid_file.read_text()))


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_an_error_that_the_process_reports(tmp_path: Path) -> None:
    request = TrialRequest(str(tmp_path / "absent.tflite"), 1, granted_cpus()[:1], 0)
    trial = run_trial(NAME, request, 60)
    assert trial.status == "failed"
    assert "absent.tflite" in trial.error


def test_a_cpu_that_is_not_granted(tiny_tflite: Path) -> None:
    trial = run_trial(NAME, TrialRequest(str(tiny_tflite), 1, (4000,), 0), 60)
    assert trial.status == "failed"


def test_a_process_that_ends_without_an_answer() -> None:
    trial = failed("import sys; print('last words', file=sys.stderr); sys.exit(3)")
    assert trial.status == "failed"
    assert "exit code 3" in trial.error
    assert "last words" in trial.error


def test_the_trial_dies_with_its_parent(tiny_tflite: Path, tmp_path: Path) -> None:
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0, sampling_ns=600 * 10**9)
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, time\n"
        f"child = subprocess.Popen({list(WORKER)!r}, stdin=subprocess.PIPE,"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)\n"
        f"child.stdin.write({json.dumps(asdict(request)).encode()!r}); child.stdin.close()\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.05)
    child = int(pid_file.read_text())
    while b"litert" not in Path(f"/proc/{child}/maps").read_bytes():
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert _gone(child)


def answer(**changes: object) -> TrialAnswer:
    plain: dict[str, object] = {
        **dict.fromkeys(TrialAnswer.__dataclass_fields__, 0),
        "steady": True,
        "output_finite": True,
        "inner_loops": 1,
        "cpus": (0, 1),
        "sampling_wall_ns": 1000,
        "sampling_cpu_ns": 1900,
        "clock_overhead_ns": 40.0,
        "clock_resolution_ns": 30.0,
    }
    return TrialAnswer(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "parallelism", "latency_ns", "expected"),
    [
        ({}, 1.9, 1_000_000, TrialFlag(0)),
        ({"steady": False}, 1.9, 1_000_000, TrialFlag.NO_STEADY_STATE),
        ({"cpus": (0,)}, 1.9, 1_000_000, TrialFlag.AFFINITY_MISMATCH),
        ({}, 1.0, 1_000_000, TrialFlag.THREADS_NOT_USED),
        # Threads that others keep from running want to run, but for those that share a CPU.
        ({"waited_ns": 499.0}, 1.0, 1_000_000, TrialFlag.THREADS_NOT_USED),
        ({"waited_ns": 501.0}, 1.0, 1_000_000, TrialFlag(0)),
        ({"waited_ns": math.nan}, 1.0, 1_000_000, TrialFlag.THREADS_NOT_USED),
        (
            {"waited_ns": 900.0, "cpus": (0,)},
            *(1.0, 1_000_000, TrialFlag.THREADS_NOT_USED | TrialFlag.AFFINITY_MISMATCH),
        ),
        ({}, 1.9, 15_000, TrialFlag.CLOCK_COARSE),
        ({"inner_loops": 10}, 1.9, 15_000, TrialFlag(0)),
        ({"output_finite": False}, 1.9, 1_000_000, TrialFlag.OUTPUT_NOT_FINITE),
        ({"run_delay_ns": 51.0}, 1.9, 1_000_000, TrialFlag.NOISY_NODE),
        ({"run_delay_ns": 49.0}, 1.9, 1_000_000, TrialFlag(0)),
        ({"run_delay_ns": math.nan}, 1.9, 1_000_000, TrialFlag(0)),
        ({"run_delay_ns": 900.0, "cpus": (0,)}, 1.9, 1_000_000, TrialFlag.AFFINITY_MISMATCH),
    ],
)
def test_each_reason_is_given_when_it_holds_and_only_then(
    changes: dict[str, object], parallelism: float, latency_ns: int, expected: TrialFlag
) -> None:
    said = answer(**changes)
    row = replace(
        QUIET,
        effective_parallelism=parallelism,
        run_delay_ns=said.run_delay_ns,
        latency_ns=np.full(20, latency_ns, dtype="<u8"),
    )
    assert judge(REQUEST, said, row) == expected


QUIET = replace(
    NAME.row(0),
    effective_parallelism=1.9,
    process_wall_ns=2000,
    latency_ns=np.full(20, 1_000_000, dtype="<u8"),
)
REQUEST = TrialRequest("m", 2, (0, 1), 0)


@pytest.mark.parametrize(
    ("withheld", "run_delay_ns", "expected"),
    [
        (Withheld(math.nan, math.nan, math.nan), 0.0, TrialFlag(0)),
        (Withheld(200, 0, 0), 0.0, TrialFlag(0)),
        (Withheld(201, 0, 0), 0.0, TrialFlag.NOISY_NODE),
        # A quota makes threads wait as neighbours do, and is not to be taken for one.
        (Withheld(0, 1, 5), 900.0, TrialFlag.QUOTA_THROTTLED),
    ],
)
def test_what_was_withheld_is_a_reason(
    withheld: Withheld, run_delay_ns: float, expected: TrialFlag
) -> None:
    row = replace(QUIET, run_delay_ns=run_delay_ns, **asdict(withheld))
    assert judge(REQUEST, answer(), row) == expected


@pytest.mark.parametrize(
    ("delay_ns", "expected"),
    [
        (1000 * 15_000, TrialFlag(0)),
        (1000 * 25_000, TrialFlag.NOISY_NODE),
        (math.nan, TrialFlag(0)),
    ],
)
def test_to_be_woken_for_each_query_is_nobodys_noise(delay_ns: float, expected: TrialFlag) -> None:
    """A thousand queries in two seconds, of 30 µs each."""
    said = answer(sampling_wall_ns=2 * 10**9, run_delay_ns=delay_ns, voluntary_switches=1000)
    said = at_work(said, 1000 * 30_000)
    row = replace(QUIET, run_delay_ns=said.run_delay_ns)
    assert judge(REQUEST, said, row) == expected


def test_how_long_each_thread_has_waited() -> None:
    cut = {"1": (10, 5), "2": (10, 100)}
    assert waits_ns(cut, {"1": (20, 9), "2": (20, 103), "3": (1, 2)}) == [4, 3, 2]
    # A kernel that does not count says 0 for threads that have run.
    assert waits_ns({"1": (0, 0)}, {"1": (0, 0), "2": (0, 0)}) == []


def test_the_id_follows_from_the_name_and_not_from_the_place() -> None:
    assert NAME.trial_id == TrialName("run", "cell", "node", 0, 5).trial_id
    others = [
        TrialName("run2", "cell", "node", 0, 0),
        TrialName("run", "cell2", "node", 0, 0),
        TrialName("run", "cell", "node2", 0, 0),
        TrialName("run", "cell", "node", 1, 0),
        TrialName("run", "cell", "node", 0, 0, attempt=1),
    ]
    assert len({NAME.trial_id, *(other.trial_id for other in others)}) == 6


def test_an_interruption_is_one_even_if_the_trial_ends_meanwhile() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # communicate() waits a quarter of a second more for the process, and then knows its end.
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.4)
    try:
        with pytest.raises(KeyboardInterrupt):
            failed("import time, signal; time.sleep(0.5); signal.raise_signal(signal.SIGKILL)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_standard_output_of_the_runtime_cannot_break_the_answer(tiny_tflite: Path) -> None:
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0)
    code = (
        "import os\nfrom suite.trial import worker\n"
        "loud = worker.fill_inputs\n"
        "def fill(*a):\n    os.write(1, b'INFO: noise\\n'); loud(*a)\n"
        "worker.fill_inputs = fill\nworker.main()"
    )
    trial = run_trial(NAME, request, 60, [sys.executable, "-c", code])
    assert trial.status == "ok"
