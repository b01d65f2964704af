"""Control groups that a test makes for itself, of either version; only root can."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

MOUNTED = Path("/sys/fs/cgroup")
V2 = (MOUNTED / "cgroup.controllers").exists()
HALF_A_CPU = {"cpu.max": "50000 100000"} if V2 else {"cpu.cfs_quota_us": "50000"}
FIRST = {"cpu.weight": "10000"} if V2 else {"cpu.shares": "262144"}
"""The most that can be asked for: on a busy machine others get next to nothing."""


@contextmanager
def cpu_group(limits: Mapping[str, str]) -> Iterator[Path]:
    """Give a group with these limits: the file to which a process's id is written to put it in.

    Where none can be made the test is skipped, but not under CI.
    """
    group = (MOUNTED if V2 else MOUNTED / "cpu") / f"litesweep-test-{os.getpid()}"
    try:
        if V2:
            (MOUNTED / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        for name, value in limits.items():
            (group / name).write_text(value)
    except OSError as error:
        if group.exists():
            group.rmdir()
        assert "CI" not in os.environ, f"under CI control groups are to be had: {error}"
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def inside(procs: Path, *command: str) -> list[str]:
    """Return the command line that runs `command` in the group of `procs`."""
    return ["sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh", *command]


def _remove(group: Path) -> None:
    # The kernel lets go of a group a moment after its last process has ended.
    deadline = time.monotonic() + 5
    while True:
        try:
            return group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
