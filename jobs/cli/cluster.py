"""`litesweep submit | status | resume | cancel | collect`: a sweep on a Slurm cluster."""

import json
import shlex
from pathlib import Path
from typing import Annotated, NoReturn

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

SubmittedRun = Annotated[Path, typer.Argument(metavar="RUN", help="A submitted run's folder.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait, collect, print the table.")]
WATCH_EVERY_S = 5.0


def submit(
    sweep: SweepPath,
    *,
    data: Data = None,
    site: SiteFile = None,
    out: Out = None,
    mode: ModeOption = Mode.REPLICATE,
    job_length: JobLength = "30 min",
    budget: Budget = None,
    store: StorePath = None,
    wait: WaitOption = False,
) -> None:
    """Submit a sweep to a Slurm cluster, or what is missing of a run that was submitted before."""
    from jobs.cluster.submissions import submit as submit_sweep

    jobs = jobs_of(mode, job_length, budget)
    folder = submit_sweep(loaded(sweep, data), site, out, jobs=jobs, store=store)
    if wait:
        wait_for(folder)
    else:
        print(folder)


def status(
    run: SubmittedRun,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until it is over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a submitted run stands: jobs by state, cells done, time left, failures and why."""
    import time

    from jobs.cluster.status import print_status
    from jobs.cluster.status import status as look
    from jobs.run_folder import submitted

    console = Console()
    while True:
        seen = look(submitted(run))
        if watch and console.is_terminal:
            console.clear()
        if as_json:
            print(json.dumps(seen.to_json(), indent=1))
        else:
            print_status(seen, console)
        if not watch or not (seen.scheduler or seen.count("running", "pending")):
            return
        time.sleep(WATCH_EVERY_S)


def resume(
    run: SubmittedRun, site: SiteFile = None, store: StorePath = None, wait: WaitOption = False
) -> None:
    """Submit what is missing of a run, and nothing else."""
    from jobs.cluster.status import print_status
    from jobs.cluster.submissions import resume as resume_run

    seen = resume_run(run, site, store)
    if wait:
        wait_for(run)
    else:
        print_status(seen, Console())


def cancel(run: SubmittedRun) -> None:
    """End all jobs of a run; what they have measured stays."""
    from jobs.cluster.submissions import cancel_run

    count = cancel_run(run)
    print(f"cancelled {count} job{'s' * (count != 1)}")


def collect(run: SubmittedRun) -> None:
    """Merge what a run's jobs have left so far, the dead ones' too, into its results.h5."""
    from jobs.cluster.submissions import collect_run

    print(collect_run(run))


def wait_for(folder: Path) -> NoReturn:
    """Wait for a run, collect it, print its table and what failed; exit code 1 if anything did."""
    import analysis
    from jobs.cluster.status import print_status
    from jobs.cluster.submissions import collect_run, wait

    try:
        seen = wait(folder)
    except KeyboardInterrupt:
        command = f"litesweep status {shlex.quote(str(folder))}"
        fail(f"no longer waiting; the jobs go on: {command}", 130)
    path = collect_run(folder)
    results = analysis.open_results(path)
    Console().print(analysis.to_rich_table(results))
    print(path)
    over = seen.count("done") == len(seen.jobs) and bool((results["status"] == "ok").any())
    if not over or any(job.warnings for job in seen.jobs):
        print_status(seen, Console(stderr=True))
    raise SystemExit(0 if over else 1)
