"""`litesweep clean`: what can go."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from jobs.cli.options import AsJson, StorePath

if TYPE_CHECKING:
    from jobs.clean import Cleaning
    from suite.artifacts.needs import Leftover


def clean(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Folders of runs. None: the store of artifacts, and every run that it knows.",
        ),
    ] = None,
    *,
    store: StorePath = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it, and do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what can go, and remove it once you agree: nothing that a run or a job still needs."""
    import sys

    from jobs import clean as cleaning
    from suite.artifacts.store import ArtifactStore

    artifacts = None if runs else ArtifactStore.at(store)
    folders = runs or (cleaning.runs_of(artifacts) if artifacts else [])
    seen = cleaning.clean(folders, artifacts)
    paths = {leftover.path for leftover in seen.leftovers}
    if as_json:
        gone = cleaning.clean(folders, artifacts, paths).leftovers if yes and paths else ()
        print(json.dumps(_to_json(seen, gone), indent=1))
        return
    _print(seen, Console())
    if not paths:
        return
    if not yes and not sys.stdin.isatty():
        print("Nothing was removed; --yes removes it.")
    elif yes or _agrees():
        gone = cleaning.clean(folders, artifacts, paths).leftovers
        print(f"{_mib(gone)} MiB freed.")


def _agrees() -> bool:
    try:
        return Confirm.ask("Remove it?", default=False)
    except EOFError:  # Ctrl-D is no answer; Ctrl-C ends all
        print()
        return False


def _to_json(seen: "Cleaning", gone: "tuple[Leftover, ...]") -> dict[str, object]:
    return {
        "can_go": [{**vars(each), "path": str(each.path)} for each in seen.leftovers],
        "bytes": sum(each.bytes for each in seen.leftovers),
        "removed": [str(each.path) for each in gone],
        "removed_bytes": sum(each.bytes for each in gone),
        "notes": list(seen.notes),
    }


def _mib(leftovers: "tuple[Leftover, ...]") -> str:
    return f"{sum(each.bytes for each in leftovers) / 2**20:.1f}"


def _print(seen: "Cleaning", console: Console) -> None:
    table = Table("what can go", "how many", "MiB", box=None)
    for what in dict.fromkeys(each.what for each in seen.leftovers):
        group = tuple(each for each in seen.leftovers if each.what == what)
        table.add_row(what, str(len(group)), _mib(group))
    if seen.leftovers:
        console.print(table)
        console.print(f"{_mib(seen.leftovers)} MiB in all", highlight=False)
    else:
        console.print("There is nothing that could go.")
    for note in seen.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
