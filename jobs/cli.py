"""The command line: `litesweep plan | run | submit | status | ... | show | report | compare`."""

import codecs
import errno
import io
import json
import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from suite.errors import InternalError, UserError

if TYPE_CHECKING:
    from jobs.cluster.packing import Jobs

app = typer.Typer(
    help="Measure how deep-learning inference runs on CPUs: a sweep of models, quantizations and "
    "thread counts, with intervals, in HDF5.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SweepPath = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep, a TOML file.")]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, or a file of results.")
]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Where artifacts are kept, for all runs."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="The run's folder.", show_default="runs/NAME-HASH"),
]
SubmittedRun = Annotated[Path, typer.Argument(metavar="RUN", help="A submitted run's folder.")]
SiteFile = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="SITE",
        help="The cluster: a site file, or the name of one in the user's configuration.",
    ),
]


class Executor(StrEnum):
    """Where the jobs of `litesweep run` run."""

    DEBUG = "debug"
    LOCAL = "local"


WaitOption = Annotated[bool, typer.Option("--wait", help="Wait, collect, print the table.")]
WATCH_EVERY_S = 5.0


class Mode(StrEnum):
    """What the nodes of a job do with its cells."""

    REPLICATE = "replicate"
    PARTITION = "partition"


ModeOption = Annotated[
    Mode,
    typer.Option(
        help="replicate: every node of a job measures every cell; partition: they share them out."
    ),
]
JobLength = Annotated[
    str, typer.Option("--job-length", metavar="TIME", help="What a job is meant to take.")
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget", metavar="NODE-HOURS", help="Refuse what is projected to take more.", min=0
    ),
]


def jobs_of(mode: Mode, job_length: str, budget: float | None) -> "Jobs":
    """Return how a sweep becomes jobs, as the options have it."""
    from jobs.cluster.packing import Jobs
    from suite.sweep import seconds

    return Jobs(mode.value, seconds(job_length), budget)


def print_version(wanted: bool) -> None:
    """Print which release this is, and end."""
    if wanted:
        print(f"litesweep {version('litesweep')}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the release.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that go before any command."""


@app.command()
def plan(
    sweep: SweepPath,
    *,
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
    from suite.sweep import Sweep

    loaded = Sweep.load(sweep)
    if site is None:
        seen = preview(loaded, store)
    else:
        seen = preview_on_site(loaded, site, jobs_of(mode, job_length, budget), store)
    if as_json:
        print(json.dumps(seen, indent=1))
    else:
        print_preview(seen, Console())


@app.command()
def run(
    sweep: SweepPath,
    executor: Annotated[
        Executor,
        typer.Option(help="debug: measured from this process; local: from one of its own."),
    ] = Executor.DEBUG,
    out: Out = None,
    store: StorePath = None,
) -> None:
    """Run a sweep on this machine, or go on with a run that was interrupted."""
    import analysis
    from jobs.runs import run as run_sweep
    from suite.sweep import Sweep

    try:
        folder = run_sweep(Sweep.load(sweep), out, executor.value, store)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from here.", 130)
    results = analysis.open_results(folder)
    Console().print(analysis.to_rich_table(results))
    print(f"{folder / 'results.h5'}")
    if not (results["status"] == "ok").any():
        raise typer.Exit(1)


@app.command()
def submit(
    sweep: SweepPath,
    *,
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
    from suite.sweep import Sweep

    jobs = jobs_of(mode, job_length, budget)
    folder = submit_sweep(Sweep.load(sweep), site, out, jobs=jobs, store=store)
    if wait:
        wait_for(folder)
    else:
        print(folder)


@app.command()
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


@app.command()
def resume(run: SubmittedRun, site: SiteFile = None, wait: WaitOption = False) -> None:
    """Submit what is missing of a run, and nothing else."""
    from jobs.cluster.status import print_status
    from jobs.cluster.submissions import resume as resume_run

    seen = resume_run(run, site)
    if wait:
        wait_for(run)
    else:
        print_status(seen, Console())


@app.command()
def cancel(run: SubmittedRun) -> None:
    """End all jobs of a run; what they have measured stays."""
    from jobs.cluster.submissions import cancel_run

    count = cancel_run(run)
    print(f"cancelled {count} job{'s' * (count != 1)}")


@app.command()
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
        fail(f"no longer waiting; the jobs go on: litesweep status {folder}", 130)
    path = collect_run(folder)
    results = analysis.open_results(path)
    Console().print(analysis.to_rich_table(results))
    print(path)
    over = seen.count("done") == len(seen.jobs) and bool((results["status"] == "ok").any())
    if not over or any(job.warnings for job in seen.jobs):
        print_status(seen, Console(stderr=True))
    raise SystemExit(0 if over else 1)


image_app = typer.Typer(help="The container images that jobs run in.", no_args_is_help=True)
app.add_typer(image_app, name="image")

ImagePath = Annotated[Path, typer.Argument(metavar="IMAGE", help="A .sif file.")]


@image_app.command("build")
def image_build(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="tflite, tensorflow or ubuntu_base.")
    ] = "tflite",
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to.")] = Path("images"),
    mirror: Annotated[
        str, typer.Option(metavar="URL", help="A mirror of packages, in place of a registry.")
    ] = "",
    suite: Annotated[str, typer.Option(help="The release to take from it.")] = "bookworm",
    build_arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For the definition.")
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="What the build needs from here.")
    ] = None,
    fakeroot: Annotated[
        bool, typer.Option("--fakeroot", help="Build as an ordinary user.")
    ] = False,
    compression: Annotated[str, typer.Option(help="lz4, zstd or gzip.")] = "lz4",
) -> None:
    """Build an image, and its base, where definition or code have changed."""
    from jobs.cluster.images import BuildOptions, build_image
    from jobs.display import Display

    options = BuildOptions(
        mirror, suite, tuple(build_arg or ()), tuple(bind or ()), fakeroot, compression
    )
    print(build_image(name, out, options, Display(Console(stderr=True))))


@image_app.command("check")
def image_check(image: ImagePath) -> None:
    """Check an image: its digest, its release of litesweep, its own test."""
    from jobs.cluster.images import check_image

    check_image(image, print)


@image_app.command("inspect")
def image_inspect(image: ImagePath, as_json: AsJson = False) -> None:
    """Show an image's digest, size and labels."""
    from jobs.cluster.images import inspect_image

    seen = inspect_image(image)
    if as_json:
        print(json.dumps(seen, indent=1))
        return
    labels = seen.pop("labels")
    for key, value in {**seen, **labels}.items():
        print(f"{key}: {value}")


site_app = typer.Typer(help="The cluster that sweeps are submitted to.", no_args_is_help=True)
app.add_typer(site_app, name="site")


@site_app.command("check")
def site_check(
    site: Annotated[str | None, typer.Argument(metavar="[SITE]", help="As of --site.")] = None,
) -> None:
    """Try each claim of a site file against the live cluster and say what is wrong."""
    from jobs.cluster.site_check import check_site, print_finding

    failed = 0
    for finding in check_site(site):
        print_finding(finding, Console())
        failed += not finding.holds
    raise typer.Exit(2 if failed else 0)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Examine this node: what of its state bears on measurements, and what to do about it."""
    from jobs.checkup import check_up, print_check_up, to_json

    seen = check_up()
    if as_json:
        print(json.dumps(to_json(seen), indent=1))
    else:
        print_check_up(seen, Console())


@app.command()
def show(
    run: RunPath,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    as_json: AsJson = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet, for programs.")
    ] = None,
) -> None:
    """Print the table of a run: latency with its interval, throughput, speed-up, size, memory."""
    import analysis

    results = analysis.open_results(run)
    if parquet:
        analysis.to_parquet(results, parquet)
    elif as_json:
        print(json.dumps(analysis.to_json(results), indent=1))
    elif as_csv:
        print(analysis.to_csv(results), end="")
    else:
        Console().print(analysis.to_rich_table(results))


class FigureFormat(StrEnum):
    """Formats of figures."""

    SVG = "svg"
    PNG = "png"
    PDF = "pdf"


@app.command()
def figures(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="RUN/figures")
    ] = None,
    kind: Annotated[
        list[FigureFormat], typer.Option("--format", help="Of the files; again for more than one.")
    ] = [FigureFormat.SVG, FigureFormat.PNG],  # noqa: B006
) -> None:
    """Draw a run: latency, speed-up, the grid, the front, distributions, drift, nodes."""
    import analysis

    folder = out or (run if run.is_dir() else run.parent) / "figures"
    formats = [each.value for each in kind]
    results, quantiles = analysis.open_results(run), analysis.quantiles(run)
    for path in analysis.write_figures(results, folder, formats, quantiles):
        print(path)


COMPARED = "A run, or a part of one: RUN:AXIS=VALUE[,AXIS=VALUE]"


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{COMPARED}.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, of the candidate.")],
    *,
    threshold: Annotated[
        float, typer.Option(metavar="SHARE", help="Difference that matters.", min=0)
    ] = 0.01,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--md", help="Print Markdown, for documents.")
    ] = False,
) -> None:
    """Compare B's latencies with A's: what is slower, faster, the same, and what is undecided.

    Exit code 1 if B is slower anywhere by more than the threshold.
    """
    import analysis

    compared = analysis.compare(analysis.open_slice(a), analysis.open_slice(b), threshold=threshold)
    if as_json:
        said = {"a": a, "b": b, "threshold": threshold, "summary": analysis.summary(compared)}
        print(json.dumps(said | {"cells": analysis.comparison_to_json(compared)}, indent=1))
    elif as_markdown:
        print(f"A is `{a}`, B is `{b}`.\n\n{analysis.comparison_to_markdown(compared)}", end="")
    else:
        print(f"A  {a}\nB  {b}\n")
        Console().print(analysis.comparison_to_rich_table(compared))
    if (compared["outcome"] == "slower").any():
        raise typer.Exit(1)


@app.command()
def report(
    run: RunPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to.", show_default="RUN/report.html"),
    ] = None,
) -> None:
    """Write a run's report: one HTML file with answers, charts, table, verdicts and provenance."""
    import analysis

    file = out or (run if run.is_dir() else run.parent) / "report.html"
    print(analysis.write_report(analysis.open_results(run), file))


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_OURS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)


def main() -> None:
    """Run the command line; a user's mistake is one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # some terminals have no such signs
            stream.reconfigure(errors="plain")
    # What we throw is told here, in one place; typer tells of wrong arguments itself.
    try:
        app()
    except UserError as error:
        fail(str(error), 2)
    except OSError as error:
        if error.errno in NO_ROOM:
            fail(f"There is no room on the disk for {error.filename or 'the results'}.", 2)
        if error.errno in NOT_OURS:
            fail(f"{error.filename}: {error.strerror}.", 2)
        raise
    except InternalError as error:
        fail(str(error), 1)
    except ModuleNotFoundError as error:
        if error.name in ("suite", "jobs", "analysis"):
            raise
        fail(f"The package {error.name!r} is missing: pip install 'litesweep[measure]'.", 2)


PLAIN = {"×": "x", "µ": "u", "±": "~", "…": "~"}


def plain(error: UnicodeError) -> tuple[str, int]:
    """Stand in for what a stream's encoding does not have, in as many columns."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lost), error.end


codecs.register_error("plain", plain)


def fail(message: str, code: int) -> NoReturn:
    """Print an error and end the process."""
    print(f"litesweep: {message}", file=sys.stderr)
    raise SystemExit(code)
