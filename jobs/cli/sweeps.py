"""`litesweep plan | run`: a sweep, before and on this machine."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from jobs.cli.options import (
    AsJson,
    Budget,
    Data,
    JobLength,
    Mode,
    ModeOption,
    Out,
    SiteFile,
    StorePath,
    SweepPath,
    jobs_of,
    loaded,
)
from jobs.cli.terminal import fail


def plan(
    sweep: SweepPath,
    *,
    data: Data = None,
    site: SiteFile = None,
    mode: ModeOption = Mode.REPLICATE,
    job_length: JobLength = "30 min",
    budget: Budget = None,
    store: StorePath = None,
    as_json: AsJson = False,
) -> None:
    """Show the cells of a sweep, the artifacts to build and the projected time.

    With --site also the jobs that it becomes there, their node-hours and the limits of the queue.
    """
    from jobs.previews import preview, preview_on_site, print_preview

    wanted = loaded(sweep, data)
    if site is None:
        seen = preview(wanted, store)
    else:
        seen = preview_on_site(wanted, site, jobs_of(mode, job_length, budget), store)
    if as_json:
        print(json.dumps(seen, indent=1))
    else:
        print_preview(seen, Console())


class Executor(StrEnum):
    """Where the jobs of `litesweep run` run."""

    DEBUG = "debug"
    LOCAL = "local"


def run(
    sweep: SweepPath,
    executor: Annotated[
        Executor,
        typer.Option(help="debug: measured from this process; local: from one of its own."),
    ] = Executor.DEBUG,
    data: Data = None,
    out: Out = None,
    store: StorePath = None,
) -> None:
    """Run a sweep on this machine, or go on with a run that was interrupted."""
    import analysis
    from jobs.runs import run as run_sweep

    try:
        folder = run_sweep(loaded(sweep, data), out, executor.value, store)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from here.", 130)
    results = analysis.open_results(folder)
    Console().print(analysis.to_rich_table(results))
    print(f"{folder / 'results.h5'}")
    if not (results["status"] == "ok").any():
        raise typer.Exit(1)
