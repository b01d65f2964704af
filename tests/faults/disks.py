"""Disks that are full, broken, read-only, slow, or without locks."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from unittest.mock import patch

from jobs.run_folder import held
from suite.errors import UserError
from suite.journal import Journal
from suite.results.read import read_results
from tests.conftest import REPOSITORY
from tests.faults.disk import Act, disk, failing, full, moments, slow
from tests.faults.fault import Bench, Impossible, fault
from tests.faults.made_up import a_run, collected, job, recorded, spelled

CODES = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE, errno.EDQUOT)


def calls(bench: Bench) -> list[int]:
    """Return the calls to go wrong at."""
    folder = a_run(bench.folder() / "run")
    with disk(folder.path) as layer:
        job(folder)
        collected(folder)
    return moments(layer.names, bench.short)


def go_wrong(bench: Bench, at: int, act: Act, code: int) -> None:
    """Let a job and collecting go wrong, then do both again."""
    folder = a_run(bench.folder() / "run")
    with bench.trying(f"{errno.errorcode[code]} at call {at}"):
        with disk(folder.path, act):
            outcome = job(folder)
            why = outcome.mistake
            try:
                if not why:
                    collected(folder)
            except (UserError, OSError) as error:
                why = str(error)
        assert not why or os.strerror(code) in why, why
        before = recorded(folder)
        for file in (folder.shard(0), folder.results_file):
            if file.exists():
                assert spelled(read_results(file).trials).items() <= before.items()
        assert not job(folder).mistake
        assert before.items() <= recorded(folder).items(), "a finished trial is lost"
        assert collected(folder) == recorded(folder)
        assert len(recorded(folder)) == 6


@fault(
    "EIO, ENOSPC, EROFS, ESTALE or EDQUOT at any such call, once or from then on",
    "the job ends and names the cause; no finished trial is lost; on a disk that is well again the "
    "run completes",
)
def at_every_call(bench: Bench) -> None:
    for turn, at in enumerate(calls(bench)):
        code = CODES[turn % len(CODES)]
        for for_good in (turn % 2 == 0,) if bench.short else (False, True):
            go_wrong(bench, at, failing(code, at, for_good=for_good), code)


@fault(
    "a disk that takes a part of a write and then nothing (ENOSPC)",
    "as above: what was half written is cut off",
)
def half_a_write(bench: Bench) -> None:
    for at in calls(bench)[:: 3 if bench.short else 1]:
        go_wrong(bench, at, full(at), errno.ENOSPC)


@fault(
    "a slow disk: each of some 800 calls takes 2 ms more",
    "the same trials, none lost, and no other outcome",
)
def slow_disk(bench: Bench) -> None:
    for _ in bench.times(long=10, short=1):
        with bench.trying("slow"):
            folder = a_run(bench.folder() / "run")
            begin = time.monotonic()
            with disk(folder.path, slow(0.002)) as layer:
                assert not job(folder).mistake
                assert len(collected(folder)) == 6
            assert time.monotonic() - begin > 0.002 * len(layer.names) > 0.5


@fault(
    "a file system without locks (Lustre without flock)",
    "the run and its journals are refused, and told why",
)
def no_locks(bench: Bench) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    folder = a_run(bench.folder() / "run")
    with patch.object(fcntl, "flock", flock):
        with bench.trying("a journal"):
            try:
                Journal(folder.path / "c1.journal", "run")
            except UserError as error:
                assert "cannot be locked: Function not implemented" in str(error)
            else:
                raise AssertionError("it was opened")
        with bench.trying("a run"):
            try:
                with held(folder):
                    raise AssertionError("it was taken")
            except UserError as error:
                assert "Choose a file system with locks" in str(error)
        with bench.trying("a job"):
            assert "cannot be locked" in job(folder).mistake


# Real ones, in a mount namespace of their own


def in_namespace(folder: Path, mount: str, code: str, *, timeout_s: float = 240) -> str:
    """Run Python in a mount namespace in which `mount` has been done, and return what it prints.

    Raises
    ------
    Impossible
        If this machine does not allow one.
    """
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    tried = subprocess.run([*unshare, "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True)  # noqa: PLW1510
    if tried.returncode:
        raise Impossible(f"no mounts: {tried.stderr.decode().strip()}")
    done = subprocess.run(
        [*unshare, "sh", "-ec", f'{mount}; exec "$@"', "sh", sys.executable, "-c",
         textwrap.dedent(code), str(folder)],
        check=False, capture_output=True, text=True, timeout=timeout_s,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FILL = """
    import json, sys
    from contextlib import suppress
    from pathlib import Path
    from jobs.run_folder import RunFolder
    from tests.faults.made_up import a_run, collected, job, recorded
    home = Path(sys.argv[1])
    folder = a_run(home / "run", trials=40)
    said = []
    for ballast in range(1, 400, {step}):
        room = home / "ballast"
        with room.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        with room.open("r+b") as file:
            file.truncate(max(0, file.seek(0, 2) - ballast * 1024))
        before = recorded(folder)
        outcome = job(folder)
        assert before.items() <= recorded(folder).items()
        why = outcome.mistake
        if not why:
            try:
                assert len(collected(folder)) == 80
            except Exception as error:
                why = str(error)
        room.unlink()
        said.append([ballast, outcome.fault, why, len(before)])
        if not why:
            break
    assert not job(folder).mistake
    assert len(collected(folder)) == 80
    print(json.dumps(said))
"""


@fault(
    "a real disk (tmpfs) with room for a few KiB, then some more, until all fits",
    "the job ends and says that there is no room; no finished trial is lost",
)
def real_full_disk(bench: Bench) -> None:
    folder = bench.folder()
    mount = f"mount -t tmpfs -o size=2m full {folder}"
    code = FILL.format(step=16 if bench.short else 1)
    said = json.loads(in_namespace(folder, mount, code, timeout_s=1200))
    for kib, fault_, why, _ in said:
        with bench.trying(f"{kib} KiB"):
            assert not fault_, fault_
            assert not why or "No space left on device" in why, why
    assert any(why for _, _, why, _ in said) and not said[-1][2]


READ_ONLY = """
    import json, subprocess, sys
    from pathlib import Path
    from jobs.run_folder import RunFolder
    from suite.errors import UserError
    from suite.artifacts.store import ArtifactStore
    from suite.results.read import read_results
    from tests.faults.made_up import collected, job, recorded
    folder = RunFolder(Path(sys.argv[1]) / "run")
    before = recorded(folder)
    said = [job(folder).mistake]
    try:
        collected(folder)
    except UserError as error:
        said.append(str(error))
    try:
        with ArtifactStore(folder.path / "store").building("ab" * 16):
            pass
    except UserError as error:
        said.append(str(error))
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "collect", folder.path], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    said.append(done.stderr)
    assert recorded(folder) == before
    print(json.dumps(said))
"""


@fault(
    "a run and a store on a disk that is mounted read-only",
    "each command ends and says so in words; nothing changes",
)
def read_only(bench: Bench) -> None:
    home = bench.folder()
    folder = a_run(home / "run")
    job(folder)
    folder.shard(0).unlink()
    mount = f"mount --bind {home} {home}; mount -o remount,bind,ro {home}"
    said = json.loads(in_namespace(home, mount, READ_ONLY))
    for words in said:
        with bench.trying(words):
            assert "Read-only file system" in words, words
            assert "Traceback" not in words
    with bench.trying("all were asked"):
        assert len(said) == 4, said
    with bench.trying("afterwards"):
        assert not job(folder).mistake
        assert len(collected(folder)) == 6
