"""What a user names on the command line: a run, or a slice of one, as `RUN:threads=1,model=m`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from analysis.dataset import open_results
from suite.errors import UserError, nearest

FORM = "RUN or RUN:AXIS=VALUE[,AXIS=VALUE...]"


def open_slice(text: str, *, keep: bool = False) -> xr.Dataset:
    """Open a run, or the part of it where some axes have the given values.

    Parameters
    ----------
    text
        A run's folder or file of results; after a colon, axes and their values.
    keep
        Whether the axes that are fixed stay, of length one.

    Returns
    -------
    xarray.Dataset
        As `analysis.open_results` returns it, without the axes that are fixed unless they stay.

    Raises
    ------
    UserError
        If there are no results, no such axis or value, or nothing was measured there.
    """
    path, fixed = parse(text)
    results = at(open_results(path), fixed, text, keep=keep)
    if not (results["status"] == "ok").any():
        raise UserError(f"{text!r}: nothing was measured there.")
    return results


def at(
    results: xr.Dataset, fixed: Mapping[str, str], text: str, *, keep: bool = False
) -> xr.Dataset:
    """Return the part of a run where some axes have the given values, named in `text`.

    Raises
    ------
    UserError
        If there is no such axis or value.
    """
    axes = {str(axis): results[axis].values.tolist() for axis in results["status"].dims}
    values = known_values(text, fixed, axes)
    return results.sel({axis: [value] if keep else value for axis, value in values.items()})


def known_values(
    text: str, fixed: Mapping[str, str], axes: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Return the values that `fixed` names, as they are on the axes.

    Raises
    ------
    UserError
        If there is no such axis or value.
    """
    values = {}
    for axis, value in fixed.items():
        if axis not in axes:
            raise UserError(f"{text!r}: there is no axis {axis!r}.", nearest(axis, axes))
        known = {str(known): known for known in axes[axis]}
        if value not in known:
            raise UserError(f"{text!r}: there is no {axis} {value!r}.", nearest(value, known))
        values[axis] = known[value]
    return values


def parse(text: str) -> tuple[Path, dict[str, str]]:
    """Split a name into the path and what it fixes; a colon may be part of the path.

    Raises
    ------
    UserError
        If something behind the colon is not AXIS=VALUE, or fixes an axis again.
    """
    places = [place for place, character in enumerate(text) if character == ":"]
    path = next((text[:p] for p in places if Path(text[:p]).exists()), None)
    if Path(text).exists() or not places:
        return Path(text), {}
    path = path or text[: places[-1]]
    fixed: dict[str, str] = {}
    for part in text[len(path) + 1 :].split(","):
        axis, equals, value = part.partition("=")
        if not (axis and equals and value):
            raise UserError(f"{text!r}: {part!r} is not AXIS=VALUE.", f"Give {FORM}.")
        if axis in fixed:
            raise UserError(f"{text!r}: {axis} is fixed twice.", "Give one value for each axis.")
        fixed[axis] = value
    return Path(path), fixed
