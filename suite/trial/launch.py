"""The parent's side of a trial: start the process, sleep until it is done, judge what it says."""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from suite.canonical import digest
from suite.process import signal_name
from suite.results.rows import TrialFlag, TrialRow
from suite.runtimes.names import LITERT, XNNPACK
from suite.topology import format_cpu_list
from suite.trial.instruments import BARE, Instruments
from suite.trial.protocol import TrialAnswer, TrialRequest
from suite.trial.withheld import Withheld

COARSE_RATIO = 500
"""A sample of less than this many times the clock's cost is coarse; the worker aims at 1000."""
NOISY_SHARE = 0.05
"""Others took more than this share of a thread's time: over twice the precision of ±2 % that is
asked for. Left alone, threads wait for some 0.1 % of it."""
ERROR_CHARACTERS = 500
NO_SENSE = "the process has answered something that makes no sense"
_ANSWER = TypeAdapter(TrialAnswer)
WORKER = (sys.executable, "-m", "suite.trial.worker")
INSTANCE = (sys.executable, "-m", "suite.trial.instance")


@dataclass(frozen=True)
class TrialName:
    """Which trial this is; its id follows from it."""

    run_id: str
    cell_id: str
    node_id: str
    round: int
    order: int
    attempt: int = 0

    @property
    def trial_id(self) -> str:
        """Hash of all that names the trial; its place in the round is a finding, not a name."""
        return digest([self.run_id, self.cell_id, self.node_id, self.round, self.attempt], 16)

    @property
    def seed(self) -> int:
        """Of what is drawn for the trial: another one in each, and the same one if done again."""
        return int(self.trial_id, 16) % 2**32

    def refused(self, error: str, flag: TrialFlag) -> TrialRow:
        """Return the row of a trial that was not even started, and why."""
        validity = int(TrialFlag.FAILED | flag)
        return replace(self.row(time.time_ns()), status="failed", error=error, validity=validity)

    def row(self, start_unix_ns: int) -> TrialRow:
        """Return the row of the trial as it starts."""
        return TrialRow(
            trial_id=self.trial_id,
            cell_id=self.cell_id,
            node_id=self.node_id,
            round=self.round,
            order=self.order,
            attempt=self.attempt,
            status="ok",
            start_unix_ns=start_unix_ns,
        )


def run_trial(
    name: TrialName,
    request: TrialRequest,
    timeout_s: float,
    command: Sequence[str] = WORKER,
    *,
    instruments: Instruments = BARE,
) -> TrialRow:
    """Measure one cell once, in a process of its own.

    Whatever happens to that process is the row's status and error; nothing is raised for it.

    Parameters
    ----------
    timeout_s
        The process is killed after this time and the trial recorded as `timed_out`.
    command
        The process to start, for tests.
    instruments
        What the trial is watched with beside the clock.
    """
    request = replace(request, energy_paths=instruments.counters.paths)
    blank = name.row(start_unix_ns=time.time_ns())
    before = Withheld.so_far(request.cpus)
    begin = time.perf_counter_ns()
    with instruments.watching(request.cpus) as seen:
        output, failure = ask(command, request, timeout_s)
        wall_ns = time.perf_counter_ns() - begin
    withheld = Withheld.so_far(request.cpus).since(before)
    blank = replace(blank, process_wall_ns=wall_ns, **asdict(withheld), **seen.columns())
    if failure:
        return replace(blank, validity=int(TrialFlag.FAILED), **failure)
    try:
        answer, latency_ns = _parsed(output)
    except ValueError:
        return replace(blank, validity=int(TrialFlag.FAILED), **refused(NO_SENSE))
    return _judged(blank, request, answer, latency_ns, instruments)


def ask(
    command: Sequence[str], request: TrialRequest, timeout_s: float
) -> tuple[bytes, dict[str, Any]]:
    """Start a process, give it a request, and sleep until it has answered.

    Returns
    -------
    output, failure
        What it has written, the first line JSON; the fields of a row that say why it has not
        answered, none if it has.
    """
    with tempfile.TemporaryFile() as stderr:
        process = start(command, stderr)
        try:
            # With a time limit, communicate() waits in poll(2): the parent sleeps.
            output, _ = process.communicate(json.dumps(asdict(request)).encode(), timeout_s)
        except subprocess.TimeoutExpired:
            kill(process)
            return b"", timed_out(timeout_s)
        except BaseException:
            kill(process)
            raise
        return output, _failure(process.returncode, output, stderr)


def start(
    command: Sequence[str], stderr: IO[bytes], pass_fds: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start a process that is to be timed, with a pipe to its standard input and output."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # so that Ctrl-C is ours to handle, and a kill takes all of it
        pass_fds=pass_fds,
    )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process that was started by `start`, and whatever it started."""
    # The group, not the process alone: nothing that it started may go on using CPUs. It may have
    # ended by itself: on Ctrl-C, communicate() still waits for it a moment.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _failure(returncode: int, output: bytes, stderr: IO[bytes]) -> dict[str, Any]:
    """Return the fields of a trial that did not measure; nothing for one that did."""
    header, newline, _ = output.partition(b"\n")
    if returncode or not newline:
        return ended(returncode, stderr)
    try:
        said = json.loads(header)
        return refused(str(said["error"])) if "error" in said else {}
    except (ValueError, TypeError, RecursionError):
        return ended(returncode, stderr)


def ended(returncode: int, stderr: IO[bytes]) -> dict[str, Any]:
    """Return the fields of a trial whose process ended without an answer."""
    if returncode < 0:
        name = signal_name(-returncode)
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        error = f"killed by {name}{hint}{_last_words(stderr)}"
        return {"status": "crashed", "error": error, "exit_signal": -returncode}
    error = f"ended with exit code {returncode} and no answer{_last_words(stderr)}"
    return {"status": "failed", "error": error}


def refused(error: str) -> dict[str, Any]:
    """Return the fields of a trial whose process says why it cannot measure."""
    return {"status": "failed", "error": error[:ERROR_CHARACTERS]}


def timed_out(timeout_s: float) -> dict[str, Any]:
    """Return the fields of a trial that was ended because it took too long."""
    return {
        "status": "timed_out",
        "error": f"no answer within {timeout_s:g} s",
        "exit_signal": int(signal.SIGKILL),
    }


def _last_words(stderr: IO[bytes]) -> str:
    """Return what the process wrote last, for the error's text."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - ERROR_CHARACTERS))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def answer_of(said: Any) -> TrialAnswer:
    """Read what a process has told of itself.

    Raises
    ------
    ValueError
        If it is something else.
    """
    return _ANSWER.validate_python(said)


def _parsed(output: bytes) -> tuple[TrialAnswer, npt.NDArray[np.uint64]]:
    header, _, samples = output.partition(b"\n")
    return answer_of(json.loads(header)), np.frombuffer(samples, dtype="<u8")


def _judged(
    blank: TrialRow,
    request: TrialRequest,
    answer: TrialAnswer,
    latency_ns: npt.NDArray[np.uint64],
    instruments: Instruments,
) -> TrialRow:
    """Make the row of a trial that measured, with the reasons not to trust it."""
    row = row_of(blank, answer, latency_ns)
    energy = instruments.energy_columns(answer, answer.sampling_wall_ns)
    return replace(row, validity=int(judge(request, answer, row)), **energy)


def row_of(blank: TrialRow, answer: TrialAnswer, latency_ns: npt.NDArray[np.uint64]) -> TrialRow:
    """Make the row of what a process has answered, not yet judged."""
    shared = {
        key: value for key, value in asdict(answer).items() if key in TrialRow.__dataclass_fields__
    }
    return replace(
        blank,
        effective_parallelism=answer.sampling_cpu_ns / max(1, answer.sampling_wall_ns),
        cpus_pinned=format_cpu_list(answer.cpus),
        latency_ns=latency_ns,
        **shared,
    )


def judge(request: TrialRequest, answer: TrialAnswer, row: TrialRow) -> TrialFlag:
    """Return the reasons not to trust a trial that ran to its end."""
    kept = row.latency_ns[row.warmup_count :]
    sample_ns = float(np.median(kept)) * answer.inner_loops if len(kept) else 0.0
    step_ns = max(answer.clock_overhead_ns, answer.clock_resolution_ns)
    flags = TrialFlag(0)
    if not answer.steady:
        flags |= TrialFlag.NO_STEADY_STATE
    if answer.cpus != tuple(sorted(request.cpus)):
        flags |= TrialFlag.AFFINITY_MISMATCH
    # At work, or kept from it by others, for less than half of what the further threads could add:
    # they were not used. Threads that wait for work spin for a while, in every runtime: those of a
    # model that uses them are busy. Instances that share CPUs take turns, as was asked for.
    least = 1 + (request.threads - 1) / 2
    wanted = row.effective_parallelism + _kept_from_running(request, answer, row)
    if wanted < least and request.threads > 1 and not request.shared:
        flags |= TrialFlag.THREADS_NOT_USED
    if sample_ns < COARSE_RATIO * step_ns:
        flags |= TrialFlag.CLOCK_COARSE
    if not answer.output_finite:
        flags |= TrialFlag.OUTPUT_NOT_FINITE
    asked = (request.runtime, request.delegate) == (LITERT, XNNPACK)
    if asked and answer.operators_run and not answer.operators_delegated:
        flags |= TrialFlag.DELEGATE_MISSING
    if row.throttle_count > 0:
        flags |= TrialFlag.QUOTA_THROTTLED
    if _others_took(request, answer, row):
        flags |= TrialFlag.NOISY_NODE
    return flags


def _others_took(request: TrialRequest, answer: TrialAnswer, row: TrialRow) -> bool:
    """Say whether others used the CPUs of the trial, in this machine or beside it."""
    if row.steal_ns > NOISY_SHARE * row.process_wall_ns * request.threads:
        return True
    # The thread that waited longest counts: the rest wait for it where they meet, without a delay.
    long = row.run_delay_ns > NOISY_SHARE * answer.sampling_wall_ns
    return long and not _waits_are_ours(request, answer, row)


def _kept_from_running(request: TrialRequest, answer: TrialAnswer, row: TrialRow) -> float:
    """Return how many threads, on average, others kept from running."""
    if _waits_are_ours(request, answer, row) or math.isnan(answer.waited_ns):
        return 0.0
    return answer.waited_ns / max(1, answer.sampling_wall_ns)


def _waits_are_ours(request: TrialRequest, answer: TrialAnswer, row: TrialRow) -> bool:
    """Say whether threads waited for each other, as where they share a CPU, or for a quota.

    A runtime may have more threads at work than it was asked for, as TensorFlow has.
    """
    threads = max(request.threads, row.threads_seen)
    return request.shared or len(answer.cpus) < threads or row.throttle_count > 0
