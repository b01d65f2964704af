"""Where a sweep runs: plan, run folder, executors, Slurm, containers, and the command line."""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from jobs.cluster.packing import Jobs
    from jobs.cluster.submissions import cancel_run, collect_run, resume, submit, wait
    from jobs.previews import preview
    from jobs.runs import run

__all__ = ["Jobs", "cancel_run", "collect_run", "preview", "resume", "run", "submit", "wait"]

# On demand: `litesweep show` must work where submitit is not installed.
_SUBMISSIONS = ("cancel_run", "collect_run", "resume", "submit", "wait")

__getattr__ = lazy(
    __name__,
    {
        "Jobs": "cluster.packing",
        "preview": "previews",
        "run": "runs",
        **dict.fromkeys(_SUBMISSIONS, "cluster.submissions"),
    },
)
