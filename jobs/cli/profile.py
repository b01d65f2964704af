"""`litesweep profile`: where the time of an inference goes."""

import json
import platform
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.cli.options import AsJson


class Delegate(StrEnum):
    """What LiteRT hands a model's operators to."""

    XNNPACK = "xnnpack"
    NONE = "none"


def profile(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run that was swept with profile = true, or a part of one, "
            "RUN:AXIS=VALUE[,AXIS=VALUE]; or a .tflite file, to be profiled now, on this machine.",
        ),
    ],
    *,
    each: Annotated[
        bool, typer.Option("--each", help="Every operator, in the order of execution.")
    ] = False,
    threads: Annotated[int, typer.Option(help="Of a file.", min=1)] = 1,
    delegate: Annotated[Delegate, typer.Option(help="Of a file.")] = Delegate.XNNPACK,
    as_json: AsJson = False,
) -> None:
    """Show where the time of an inference goes, by type of operator or by operator."""
    import analysis

    if Path(what).suffix == ".tflite":
        from analysis.profiles import frame
        from jobs.profiles import profile_file

        point = {"model": Path(what).name, "threads": threads, "delegate": delegate.value}
        rows = profile_file(Path(what), threads, delegate.value)
        found = frame(rows, point, platform.node())
    else:
        found = analysis.operators(what)
    if as_json:
        print(json.dumps(json.loads(found.to_json(orient="records")), indent=1))
    else:
        Console().print(analysis.operators_to_rich_table(found, each=each))
