"""Building artifacts: one process for each, as many at a time as CPUs and memory allow."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from suite.artifacts.builder import REQUEST
from suite.artifacts.request import ArtifactRequest
from suite.artifacts.store import LOOK_EVERY_S, Artifact, ArtifactStore
from suite.errors import UserError
from suite.files import writable
from suite.process import signal_name
from suite.topology import granted_cpus

BUILDER_BYTES = 1_200_000_000
"""A builder's memory beside the model: TensorFlow, and the converter at work."""
BYTES_PER_MODEL_BYTE = 9
"""Resident memory per byte of weights while converting; ResNet50 took 2.1 GB in all."""
UNTOUCHED_BYTES = 2_000_000_000
"""What a builder may reserve beside what it uses."""
UNKNOWN_MODEL_BYTES = 100_000_000


@dataclass(frozen=True)
class BuildFailure:
    """Why an artifact cannot be had; the sweep goes on without its cells."""

    reason: str


Built = Artifact | BuildFailure


@dataclass(frozen=True)
class BuildEvent:
    """Something to tell the user about a build."""

    what: Literal["started", "found", "built", "failed"]
    request: ArtifactRequest
    done: int
    """Artifacts that are there or cannot be had, of `total`."""
    total: int
    seconds: float = 0.0


def build_artifacts(
    requests: Iterable[ArtifactRequest],
    store: ArtifactStore,
    report: Callable[[BuildEvent], None],
    logs: Path,
) -> dict[str, Built]:
    """Build what is not in the store yet.

    Parameters
    ----------
    report
        Told of each build; from more than one thread, one at a time.
    logs
        The folder for what the builders print.

    Returns
    -------
    dict
        For the key of each request an artifact, or why it cannot be had.

    Raises
    ------
    UserError
        If a model cannot be used at all, or there is no room on the disk. Nothing that was begun
        is left behind, and what was finished stays in the store.
    """
    wanted = {request.key: request for request in requests}
    lines = [_line(request) for request in wanted.values()]
    needed = wanted | {request.key: request for line in lines for request in line}
    depths = {key: len(_line(request)) for key, request in needed.items()}
    logs.mkdir(parents=True, exist_ok=True)
    work = _Work(store, report, logs, total=len(needed))
    for depth in sorted({*depths.values()}):
        work.do([request for key, request in needed.items() if depths[key] == depth])
    return {key: work.built[key] for key in wanted}


def _line(request: ArtifactRequest) -> list[ArtifactRequest]:
    """Return what is made on the way to an artifact, each from the one before, and itself."""
    base = None if request.refusal else request.base
    return [*(_line(base) if base else []), request]


class _Work:
    """Builds under way, and what has come of those that ended."""

    def __init__(
        self, store: ArtifactStore, report: Callable[[BuildEvent], None], logs: Path, total: int
    ) -> None:
        self.store = store
        self.report = report
        self.logs = logs
        self.total = total
        self.built: dict[str, Built] = {}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def do(self, requests: list[ArtifactRequest]) -> None:
        """Build all of `requests`; the first error that is not of one artifact alone ends all."""
        waiting = []
        for request in requests:
            if request.refusal:
                self._end("failed", request, BuildFailure(request.refusal))
            elif artifact := self.store.find(request.key):
                self._end("found", request, artifact)
            else:
                waiting.append(request)
        if not waiting:
            return
        # Every model once before any of them again: one that cannot be used ends all, so soon.
        models = [request.model for request in waiting]
        turn = {id(r): models[:n].count(r.model) for n, r in enumerate(waiting)}
        waiting.sort(key=lambda request: turn[id(request)])
        with ThreadPoolExecutor(builders_at_once(waiting)) as pool:
            try:
                futures = [pool.submit(self._build, request) for request in waiting]
                waiting_for = set(futures)
                # A Ctrl-C that comes just before a call that blocks is noticed when that returns.
                while waiting_for:
                    done, waiting_for = wait(waiting_for, LOOK_EVERY_S, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise

    def _build(self, request: ArtifactRequest) -> None:
        begin = time.monotonic()
        base = self.built[request.base.key] if request.base else None
        if isinstance(base, BuildFailure):
            self._end("failed", request, base)
            return
        self._tell("started", request)
        with self.store.building(request.key, lambda: self._stopped) as folder:
            if self.store.find(request.key):  # another run has built it while we waited
                ending, reason = "built", ""
            else:
                ending, reason = self._run_builder(request, folder, base)
        if ending == "built":
            artifact = self.store.find(request.key)
            if artifact is None:
                raise RuntimeError(f"the builder left no artifact for {request}")
            self._end("built", request, artifact, time.monotonic() - begin)
        elif ending == "unfit":
            self._end("failed", request, BuildFailure(reason), time.monotonic() - begin)
        elif ending == "no room":
            raise UserError(
                f"There is no room on the disk to build {request.name}.",
                f"Make some for the store {str(self.store.root)!r} and for temporary files, or "
                "give another folder with --store.",
            )
        else:
            raise UserError(reason)

    def _run_builder(
        self, request: ArtifactRequest, folder: Path, base: Artifact | None
    ) -> tuple[str, str]:
        said = {
            "request": REQUEST.dump_python(request, mode="json"),
            "folder": str(folder),
            "base": str(base.path) if base else "",
            "memory_bytes": free_memory_bytes() + UNTOUCHED_BYTES,
        }
        log = self.logs / f"{request.name.replace(' ', '-')}.log"
        with os.fdopen(writable(log, os.O_TRUNC), "wb") as stderr:
            process = self._start(stderr.fileno())
            try:
                output, _ = process.communicate(json.dumps(said).encode())
            finally:
                self._running.discard(process)
        if self._stopped:
            raise InterruptedError("stopped")
        try:
            answer = json.loads(output)
        except ValueError:
            return self._died(request, process.returncode, log)
        return answer["ending"], answer["reason"]

    def _start(self, stderr: int) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
        with self._lock:
            if self._stopped:
                raise InterruptedError("stopped")
            process = subprocess.Popen(
                [sys.executable, "-m", "suite.artifacts.builder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def _died(self, request: ArtifactRequest, returncode: int, log: Path) -> tuple[str, str]:
        how = f"ended with exit code {returncode}"
        if returncode < 0:
            name = signal_name(-returncode)
            how = f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        what = f"{request.model} cannot be made {request.form}"
        return "unfit", f"{what}: the builder {how}; see {log}."

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _tell(
        self,
        what: Literal["started", "found", "built", "failed"],
        request: ArtifactRequest,
        seconds: float = 0.0,
    ) -> None:
        with self._lock:
            self.report(BuildEvent(what, request, len(self.built), self.total, seconds))

    def _end(
        self,
        what: Literal["found", "built", "failed"],
        request: ArtifactRequest,
        built: Built,
        seconds: float = 0.0,
    ) -> None:
        self.built[request.key] = built
        self._tell(what, request, seconds)


def builders_at_once(requests: Iterable[ArtifactRequest]) -> int:
    """Return how many builders the CPUs and the free memory allow, at least one."""
    model_bytes = max(_model_bytes(request) for request in requests)
    each = BUILDER_BYTES + BYTES_PER_MODEL_BYTE * model_bytes
    return max(1, min(len(granted_cpus()), free_memory_bytes() // each))


def _model_bytes(request: ArtifactRequest) -> int:
    path = request.source.path or request.source.weights_path
    if path is None:
        return UNKNOWN_MODEL_BYTES
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    return path.stat().st_size


def free_memory_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that is left, of the machine or of what the control group grants."""
    free = psutil.virtual_memory().available
    for limit, used in (
        ("memory.max", "memory.current"),  # version 2
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # version 1
    ):
        with suppress(OSError, ValueError):  # absent, or "max"
            free = min(free, int((root / limit).read_text()) - int((root / used).read_text()))
    return free
