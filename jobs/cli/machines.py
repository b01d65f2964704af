"""`litesweep doctor | peaks | site check`: where sweeps run, examined."""

import json
from typing import Annotated

import typer
from rich.console import Console

from jobs.cli.options import AsJson

site_app = typer.Typer(help="The cluster that sweeps are submitted to.", no_args_is_help=True)


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


def doctor(as_json: AsJson = False) -> None:
    """Examine this node: what of its state bears on measurements, and what to do about it."""
    from jobs.checkup import check_up, print_check_up, to_json

    seen = check_up()
    if as_json:
        print(json.dumps(to_json(seen), indent=1))
    else:
        print_check_up(seen, Console())


def peaks(as_json: AsJson = False) -> None:
    """Measure what this node can do at best: multiply-adds and reading, by threads."""
    from jobs.peaks import measure, print_peaks, to_json

    measured = [*measure()]
    if as_json:
        print(json.dumps(to_json(measured), indent=1))
    else:
        print_peaks(measured, Console())
