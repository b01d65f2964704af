"""What things of a run are called: its file, its axes and their values, its nodes."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suite.errors import UserError
from suite.results.stored import Stored, texts
from suite.toml_file import tables_in

RESULTS_FILE = "results.h5"


def results_file(path: Path | str) -> Path:
    """Return the file of results that `path` names: itself, or the one in a run's folder."""
    path = Path(path)
    if path.is_dir():
        if not (path / RESULTS_FILE).exists():
            raise UserError(
                f"The folder {str(path)!r} has no {RESULTS_FILE}.",
                "Give the folder of a run that has measured something.",
            )
        return path / RESULTS_FILE
    return path


def run_name(file: Path) -> str:
    return file.absolute().parent.name if file.name == RESULTS_FILE else file.stem


def numbered(names: Iterable[str]) -> list[str]:
    """Return names that differ: where one comes again, with its number behind it."""
    found: dict[str, None] = {}
    for name in names:
        numbers = (f"{name}#{count}" for count in itertools.count(2))
        found[next(n for n in itertools.chain([name], numbers) if n not in found)] = None
    return list(found)


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Return names in about so many letters, such that those that differ still do.

    Of a long one there is its beginning, and what tells it from the one that is most like it.
    """
    half, distinct = most // 2, sorted({*names})
    short = []
    for before, name, after in zip(["", *distinct], distinct, [*distinct[1:], ""], strict=False):
        alike = max(_alike(name, other) for other in (before, after))
        last = len(name) - half
        start = min(max(half, alike - 1), last) if alike >= half else last
        end = start + half
        cut = f"{name[:half]} … {name[start:end]}{' …' * (end < len(name))}"
        short.append(name if len(name) <= most else cut)
    told_apart = dict(zip(distinct, numbered(short), strict=True))
    return [told_apart[name] for name in names]


def _alike(name: str, other: str) -> int:
    """Return how many letters two names begin with alike."""
    pairs = zip(name, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def grid(stored: Stored) -> tuple[dict[str, list[Any]], tuple[npt.NDArray[np.int64], ...]]:
    """Return each axis's values, and of each cell its place among them.

    Numbers ascend; text is in the sweep's own order.
    """
    declared = _declared(stored.provenance.get("sweep", ""))
    values: dict[str, list[Any]] = {}
    places = []
    for axis in stored.axes:
        column = stored[axis]
        codes = column.tolist()
        distinct = list(dict.fromkeys(codes))
        named = texts(np.array(distinct)) if column.dtype.kind == "S" else distinct
        known = dict.fromkeys(n for n in declared.get(axis, ()) if isinstance(n, str))
        order = {name: place for place, name in enumerate(known)}

        def rank(value: Any, order: dict[str, int] = order) -> tuple[int, Any]:
            return (order[value], "") if value in order else (len(order), value)

        values[axis] = sorted({*named}, key=rank)
        at = {value: place for place, value in enumerate(values[axis])}
        place_of = {code: at[name] for code, name in zip(distinct, named, strict=True)}
        places.append(np.array([place_of[code] for code in codes], np.int64))
    return values, tuple(places)


def _declared(sweep: str) -> dict[str, list[Any]]:
    """Return the values on each axis as a sweep has them; none of what is no sweep."""
    try:
        axes = tables_in(sweep).get("axes")
    except ValueError:
        return {}
    named = axes.items() if isinstance(axes, dict) else ()
    return {axis: values for axis, values in named if isinstance(values, list)}


def host_of(node: str) -> str:
    """Return the host of a node: one that was described twice is two nodes, but one machine."""
    return node.partition("#")[0]


def node_names(stored: Stored) -> list[str]:
    """Return a name for each node: its host name, with a number where two nodes share one."""
    return numbered(stored.texts("host"))
