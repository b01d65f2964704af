"""Where a sweep runs: plan, run folder, executors, and the command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.previews import preview
    from jobs.runs import run

__all__ = ["preview", "run"]


def __getattr__(name: str) -> Any:
    # On demand: `litesweep show` must work where submitit and pydantic are not installed.
    if name not in __all__:
        raise AttributeError(f"module 'jobs' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"jobs.{name}s"), name)
