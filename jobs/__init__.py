"""Where a sweep runs: plan, run folder, executors, and the command line."""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from jobs.previews import preview
    from jobs.runs import run

__all__ = ["preview", "run"]

# On demand: `litesweep show` must work where submitit is not installed.
__getattr__ = lazy(__name__, {"preview": "previews", "run": "runs"})
