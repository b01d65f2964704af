"""Data that stand on the command line, in place of a sweep's own."""

from collections.abc import Sequence
from pathlib import Path

from suite.errors import UserError, nearest
from suite.models.source import EXAMPLE
from suite.sweep import Sweep


def with_data(sweep: Sweep, given: Sequence[str]) -> Sweep:
    """Return `sweep` with other data: as if its file had them, so it is another run.

    Parameters
    ----------
    given
        Each a path, relative to the current folder, for the data of every model, or `MODEL=PATH`
        for those of one, which goes before; or the name of example data, as `example:mnist`.

    Raises
    ------
    UserError
        If there is nothing at a path, no such model, or data for one are given twice.
    """
    found: dict[str, str] = {}
    for text in given:
        model, path = _split(text, sweep)
        if model in found:
            raise UserError(
                f"--data {text}: {f'the model {model!r}' if model else 'every model'} has data "
                "already.",
                "Give it once.",
            )
        found[model] = _declared(path, sweep.folder)
    for_all = found.pop("", None)
    for name in sweep.models:
        if for_all and name not in found:
            found[name] = for_all
    return sweep.with_data(found)


def _split(text: str, sweep: Sweep) -> tuple[str, str]:
    """Return a model's name, "" for every model, and what stands for its data."""
    name, equals, path = text.partition("=")
    if equals and name in sweep.models:
        return name, path
    if equals and "/" not in name and not Path(text).exists():
        raise UserError(
            f"--data {text}: there is no table [models.{name}].", nearest(name, sweep.models)
        )
    return "", text


def _declared(path: str, folder: Path) -> str:
    """Return what a sweep's file in `folder` would have for a path from the current folder."""
    if path.startswith(EXAMPLE):
        return path
    try:
        there = Path(path).resolve()
        missing = not path or not there.exists()
    except (OSError, ValueError, RuntimeError) as error:  # no such name, a ring of links
        raise UserError(f"--data: {path[:60]!r} will not do as a path: {error}.") from error
    if missing:
        raise UserError(
            f"--data: there is no file or folder {path!r}.",
            "Paths are relative to the current folder.",
        )
    home = folder.resolve()
    return str(there.relative_to(home) if there.is_relative_to(home) else there)
