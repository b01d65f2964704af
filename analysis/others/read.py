"""A file of another tool's results, whichever it is."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.others import benchmark_model, litert, loadgen, pyperf
from analysis.others.measurement import ForeignError, Measurement
from suite.errors import UserError
from suite.text import harmless

KNOWN = "Known: litert-benchmark and pyperf (JSON), benchmark_model (its output), MLPerf LoadGen."
MOST_BYTES = 256 * 2**20
"""Far more than any of these tools writes; a file is read as a whole."""


def read_others(path: Path | str) -> pd.DataFrame:
    """Read what another tool has measured, in the words of a run's table.

    Parameters
    ----------
    path
        What `litert-benchmark --result_json` or pyperf wrote, what TensorFlow Lite's
        `benchmark_model` printed, a log of MLPerf's LoadGen or the folder with its logs.

    Returns
    -------
    pandas.DataFrame
        A row a measurement: `tool`, `name` (as the tool calls it), `threads`; `median_ns`,
        `mean_ns`, `ci_low_ns` and `ci_high_ns` (95 %, over processes, see
        `suite.intervals.median`), `min_ns`, `p90_ns` and `p99_ns` (only where the evidence that
        `analysis.tails` asks for is there), `throughput_per_s`; `processes` and `invocations`;
        and `lacks`, names in `analysis.others.measurement.LACKS`, separated by blanks. NaN is
        what the tool does not tell.

    Raises
    ------
    UserError
        If the file cannot be read, is of none of these tools, is truncated or makes no sense.

    Examples
    --------
    >>> read_others("mobilenet.json")[["median_ns", "lacks"]]  # doctest: +SKIP
    """
    file = _file(Path(path))
    try:
        found = _measurements(file.name, _text(file))
    except ForeignError as error:
        raise UserError(f"{str(file)!r} cannot be used: {error}.", KNOWN) from error
    return pd.DataFrame.from_records([_record(each) for each in found])


def _record(each: Measurement) -> dict[str, Any]:
    said = {"tool": harmless(each.tool), "name": harmless(each.name)}
    return asdict(each) | said | {"lacks": " ".join(each.lacks)}


def _file(path: Path) -> Path:
    """Return the file itself, or the log in a folder of LoadGen's."""
    if not path.is_dir():
        return path
    for name in (loadgen.DETAIL, loadgen.SUMMARY):
        if (path / name).exists():
            return path / name
    raise UserError(f"The folder {str(path)!r} has no {loadgen.DETAIL}.", KNOWN)


def _text(file: Path) -> str:
    try:
        if not file.is_file():
            raise UserError(f"There is no file {str(file)!r}.")
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise ForeignError(f"it has {size / 2**20:.0f} MiB, and no such file has as many")
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read: {error.strerror}.") from error
    if not data.strip():
        raise ForeignError("it is empty")
    if b"\0" in data:
        raise ForeignError("it is binary")
    return data.decode(errors="replace")


def _measurements(name: str, text: str) -> list[Measurement]:
    if text.lstrip().startswith("{"):
        return _of_json(text)
    if loadgen.DETAIL_SIGN in text:
        return loadgen.read_detail(text)
    if loadgen.SUMMARY_SIGN in text:
        return loadgen.read_summary(text)
    if benchmark_model.SIGN in text or benchmark_model.STATISTICS.search(text):
        return benchmark_model.read(text)
    raise ForeignError("no tool that is known has written it")


def _of_json(text: str) -> list[Measurement]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ForeignError("it is truncated or damaged JSON") from error
    if litert.KEYS.issubset(said):
        return litert.read(said)
    if pyperf.KEYS.issubset(said):
        return pyperf.read(said)
    raise ForeignError("it is JSON of no tool that is known")


def latency_ns(median_ns: float, mean_ns: float) -> float:
    """Return a measurement's latency: the median, or the mean where that is all."""
    return mean_ns if math.isnan(median_ns) else median_ns
