"""Waiting for what takes its time, and no longer than it may."""

import time
from collections.abc import Callable


def wait(condition: Callable[[], object], seconds: float) -> None:
    """Wait until `condition` holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.2)
