"""The command line: `litesweep plan | run | submit | status | ... | show | report | compare`."""

import errno
from importlib.metadata import version
from typing import Annotated

import typer

from jobs.cli import image
from jobs.cli.clean import clean
from jobs.cli.cluster import cancel, collect, resume, status, submit
from jobs.cli.machines import doctor, peaks, site_app
from jobs.cli.profile import profile
from jobs.cli.results import compare, figures, history, report, show
from jobs.cli.sweeps import plan, run
from jobs.cli.terminal import fail, reconfigure, tell_all
from suite.errors import BROKEN, NO_ROOM, InternalError, UserError

__all__ = ["main"]

app = typer.Typer(
    help="Measure how deep-learning inference runs on CPUs: a sweep of models, quantizations and "
    "thread counts, with intervals, in HDF5.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    *(plan, run),
    *(submit, status, resume, cancel, collect),
    *(doctor, peaks),
    *(show, figures, compare, history, profile, report),
    clean,
):
    app.command()(command)
app.add_typer(image.app, name="image")
app.add_typer(site_app, name="site")


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
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            help="Tell of each trial, and of what Slurm is asked; show where an error came from.",
        ),
    ] = False,
) -> None:
    """Take the options that go before any command."""
    tell_all(verbose)


NOT_OURS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.ENXIO, errno.ELOOP, errno.ENOMEM),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)


def main() -> None:
    """Run the command line; a user's mistake is one message and exit code 2."""
    reconfigure()
    # What we throw is told here, in one place; typer tells of wrong arguments itself.
    try:
        app(prog_name="litesweep")
    except UserError as error:
        fail(str(error), 2)
    except OSError as error:
        if error.errno in NO_ROOM:
            fail(f"There is no room on the disk for {error.filename or 'the results'}.", 2)
        if error.errno in (*NOT_OURS, *BROKEN):
            fail(f"{error.filename or 'A file'}: {error.strerror}.", 2)
        raise
    except MemoryError:
        fail("There is not enough memory for this.", 2)
    except InternalError as error:
        fail(str(error), 1)
    except ModuleNotFoundError as error:
        if error.name in ("suite", "jobs", "analysis"):
            raise
        fail(f"The package {error.name!r} is missing: pip install 'litesweep[measure]'.", 2)
