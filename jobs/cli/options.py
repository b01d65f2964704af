"""Arguments and options that more than one command takes."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jobs.cluster.packing import Jobs
    from suite.sweep import Sweep

SweepPath = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep, a TOML file.")]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, or a file of results.")
]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Where artifacts are kept, for all runs."),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="[MODEL=]PATH",
        help="Data in place of the sweep's: a folder of labelled images, an .npz or .npy; of all "
        "models, or of one, and again for more.",
    ),
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


def loaded(sweep: Path, data: list[str] | None) -> "Sweep":
    """Return the sweep in a file, with the data that the command line has for its models."""
    from jobs.data import with_data
    from suite.sweep import Sweep

    return with_data(Sweep.load(sweep), data or ())


def jobs_of(mode: Mode, job_length: str, budget: float | None) -> "Jobs":
    """Return how a sweep becomes jobs, as the options have it."""
    from jobs.cluster.packing import Jobs
    from suite.sweep import seconds

    return Jobs(mode.value, seconds(job_length), budget)
