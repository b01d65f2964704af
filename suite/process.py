"""What a process that we start asks of the kernel."""

import ctypes
import os
import resource
import signal
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29


def is_running(process_id: int) -> bool:
    """Say whether there is a process of this number."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def signal_name(number: int) -> str:
    """Return what a signal is called; most of the real-time ones have no name."""
    return {int(known): known.name for known in signal.Signals}.get(number, f"signal {number}")


def die_with_parent() -> None:
    """Ask to be killed when the process that started this one ends, and before it.

    A run that is killed must not leave processes behind that use CPUs which others time. And where
    memory runs out, a model has taken it, and not the process that keeps the record.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")


def wake_in_time() -> None:
    """Ask not to be left asleep longer than asked for, which the kernel else does by 50 µs."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)


def limit_memory(limit_bytes: int) -> None:
    """Let this process have no more memory of its own than `limit_bytes`."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
