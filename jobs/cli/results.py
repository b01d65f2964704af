"""`litesweep show | figures | compare | history | report`: what a run has found."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.cli.options import AsJson, RunPath
from suite.errors import UserError
from suite.files import refuse_link


def show(
    run: RunPath,
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    as_json: AsJson = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet, for programs.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Hold all samples against the digest of the content too."),
    ] = False,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:AXIS=VALUE,...]",
            help="What another tool has measured, and of which cell; again for more than one.",
        ),
    ] = None,
) -> None:
    """Print the table of a run: latency with its interval, throughput, speed-up, size, memory."""
    import analysis

    if beside and (parquet or as_json or as_csv):
        raise UserError("--beside goes with the table.", "In Python: analysis.beside.")
    results = analysis.open_results(run, verify=verify)
    others = analysis.beside(results, beside or ())
    if parquet:
        analysis.to_parquet(results, parquet)
    elif as_json:
        print(json.dumps(analysis.to_json(results), indent=1))
    elif as_csv:
        print(analysis.to_csv(results), end="")
    else:
        Console().print(analysis.to_rich_table(results))
        if beside:
            Console().print(analysis.beside_to_rich_table(others))


class FigureFormat(StrEnum):
    """Formats of figures."""

    SVG = "svg"
    PNG = "png"
    PDF = "pdf"


def figures(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="RUN/figures")
    ] = None,
    kind: Annotated[
        list[FigureFormat], typer.Option("--format", help="Of the files; again for more than one.")
    ] = [FigureFormat.SVG, FigureFormat.PNG],  # noqa: B006
) -> None:
    """Draw a run: latency, speed-up, the grid, the front, distributions, drift, nodes and so on."""
    import analysis
    from analysis.profiles import operators_if_any
    from analysis.raw import MOST_QUANTILES

    folder = out or _beside(run, "figures")
    formats = [each.value for each in kind]
    results = analysis.open_results(run)
    quantiles = analysis.quantiles(run, most=MOST_QUANTILES)
    operators = operators_if_any(run)
    written = analysis.write_figures(results, folder, formats, quantiles, operators)
    if not written:
        raise UserError(f"{str(run)!r}: nothing was measured there.")
    for path in written:
        print(path)


def _beside(run: Path, name: str) -> Path:
    """Return where something goes in a run's folder, which may be a stranger's.

    Raises
    ------
    UserError
        If a link there would take it elsewhere.
    """
    path = (run if run.is_dir() else run.parent) / name
    for each in (path, *path.glob("*")):
        refuse_link(each, "Say where to: --out.")
    return path


Threshold = Annotated[float, typer.Option(metavar="SHARE", help="Difference that matters.", min=0)]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write it as a page, with a chart, for people."),
]
COMPARED = "A run, or a part of one: RUN:AXIS=VALUE[,AXIS=VALUE]"


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{COMPARED}.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, of the candidate.")],
    *,
    threshold: Threshold = 0.01,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--md", help="Print Markdown, for documents.")
    ] = False,
    html: Html = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", metavar="FILE", help="Draw the ratios: FILE.svg, FILE.png or FILE.pdf."
        ),
    ] = None,
) -> None:
    """Compare B's latencies with A's: what is slower, faster, the same, and what is undecided.

    Exit code 1 if B is slower anywhere by more than the threshold.
    """
    import analysis

    sides = analysis.open_slice(a), analysis.open_slice(b)
    compared = analysis.compare(*sides, threshold=threshold)
    if figure:
        print(analysis.write_comparison_figure(compared, figure))
    if html:
        print(analysis.write_comparison(compared, *sides, html, (a, b)))
    if html or figure:
        print(analysis.summary(compared))
    elif as_json:
        said = {"a": a, "b": b, "threshold": threshold, "summary": analysis.summary(compared)}
        print(json.dumps(said | {"cells": analysis.comparison_to_json(compared)}, indent=1))
    elif as_markdown:
        print(f"A is `{a}`, B is `{b}`.\n\n{analysis.comparison_to_markdown(compared)}", end="")
    else:
        print(f"A  {a}\nB  {b}\n")
        Console().print(analysis.comparison_to_rich_table(compared))
    if (compared["outcome"] == "slower").any():
        raise typer.Exit(1)


def history(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs, or folders that hold runs.")
    ],
    *,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="What the newest is held against.", show_default="the oldest"
        ),
    ] = None,
    threshold: Threshold = 0.01,
    fail_on_regression: Annotated[
        bool,
        typer.Option("--fail-on-regression", help="Exit with 1 if any cell has become slower."),
    ] = False,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """Show how latencies went over many runs: steps, and the newest run against a baseline."""
    import analysis

    opened, name = analysis.open_history(runs, baseline)
    if fail_on_regression and (left_out := opened.attrs["left_out"]):
        # It may be the newest, which is then not held against anything.
        raise UserError(f"A run cannot be judged. {left_out[0]}", "Take it away, and ask again.")
    judged = analysis.history(opened, name, threshold=threshold)
    if html:
        print(analysis.write_history(judged, html))
        for line in judged.attrs["left_out"]:
            print(f"left out: {line}")
        print(analysis.history_summary(judged))
    elif as_json:
        print(json.dumps(analysis.history_to_json(judged), indent=1))
    else:
        Console().print(analysis.history_to_rich_table(judged))
    if fail_on_regression and (judged["outcome"] == "slower").any():
        raise typer.Exit(1)


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help=f"{COMPARED}.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to.", show_default="RUN/report.html"),
    ] = None,
) -> None:
    """Write a run's report: one HTML file with answers, charts, table, verdicts and provenance."""
    import analysis
    from analysis.profiles import operators_if_any
    from analysis.raw import MOST_QUANTILES
    from analysis.slices import parse

    path, fixed = parse(run)
    if fixed and not out:
        raise UserError(
            "A report on a part of a run would take the place of that on all of it.",
            "Say where it goes: --out FILE.",
        )
    file = out or _beside(path, "report.html")
    results = analysis.open_slice(run, keep=True) if fixed else analysis.open_results(path)
    part = {axis: results[axis].item() for axis in fixed}
    quantiles = analysis.quantiles(path, most=MOST_QUANTILES, **part)
    extra = quantiles, analysis.states(path), operators_if_any(run)
    print(analysis.write_report(results, file, *extra))
