"""Where a sweep runs: plan, run folder, executors, Slurm, containers, and the command line."""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from jobs.packing import Jobs
    from jobs.previews import preview
    from jobs.runs import run
    from jobs.submissions import cancel_run, collect_run, resume, submit, wait

__all__ = ["Jobs", "cancel_run", "collect_run", "preview", "resume", "run", "submit", "wait"]

# On demand: `litesweep show` must work where submitit is not installed.
__getattr__ = lazy(
    __name__,
    {
        "Jobs": "packing",
        "preview": "previews",
        "run": "runs",
        **dict.fromkeys(("cancel_run", "collect_run", "resume", "submit", "wait"), "submissions"),
    },
)
