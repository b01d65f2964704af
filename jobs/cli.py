"""The command line: `litesweep plan | run | show | figures`."""

import errno
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from suite.errors import InternalError, UserError

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


class Executor(StrEnum):
    """Where the jobs of `litesweep run` run."""

    DEBUG = "debug"
    LOCAL = "local"


@app.command()
def plan(sweep: SweepPath, store: StorePath = None, as_json: AsJson = False) -> None:
    """Show the cells of a sweep, the artifacts to build and the projected time."""
    from jobs.previews import preview, print_preview
    from suite.sweep import Sweep

    seen = preview(Sweep.load(sweep), store)
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
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder.", show_default="runs/NAME-HASH"),
    ] = None,
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
def show(
    run: RunPath,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the table of a run: latency with its interval, throughput, speed-up, size, memory."""
    import analysis

    results = analysis.open_results(run)
    if as_json:
        print(json.dumps(analysis.to_json(results), indent=1))
    elif as_csv:
        print(analysis.to_csv(results), end="")
    else:
        Console().print(analysis.to_rich_table(results))


@app.command()
def figures(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="RUN/figures")
    ] = None,
) -> None:
    """Draw a run: latency by quantization and threads, speed-up over threads, as SVG and PNG."""
    import analysis

    folder = out or (run if run.is_dir() else run.parent) / "figures"
    for path in analysis.write_figures(analysis.open_results(run), folder):
        print(path)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


def main() -> None:
    """Run the command line; a user's mistake is one message and exit code 2."""
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


def fail(message: str, code: int) -> NoReturn:
    """Print an error and end the process."""
    print(f"litesweep: {message}", file=sys.stderr)
    raise SystemExit(code)
