"""The parent's side of a profile: start the process, sleep until it is done, take what it says."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from suite.canonical import digest
from suite.results.rows import OperatorRow
from suite.trial.launch import ERROR_CHARACTERS, ask
from suite.trial.protocol import TrialRequest

WORKER = (sys.executable, "-m", "suite.profile.worker")


def run_profile(
    request: TrialRequest, timeout_s: float, command: Sequence[str] = WORKER
) -> tuple[OperatorRow, ...]:
    """Profile a model of LiteRT's once, in a process of its own.

    Whatever happens to that process is the row's error; nothing is raised for it.

    Parameters
    ----------
    timeout_s
        The process is killed after this time.
    command
        The process to start, for tests.

    Returns
    -------
    tuple of OperatorRow
        The operators in the order of execution, or one row that says why there are none; of no
        cell yet, see `of_cell`.
    """
    output, failure = ask(command, request, timeout_s)
    if failure:
        return (refused(failure["error"]),)
    try:
        said = json.loads(output)
        return tuple(
            _row(place, runs=said["runs"], **operator)
            for place, operator in enumerate(said["operators"])
        ) or (refused("no operators"),)
    except (ValueError, KeyError, TypeError):
        return (refused("ended with exit code 0 and no answer"),)


def refused(error: str) -> OperatorRow:
    """Return the row of a cell that cannot be profiled."""
    row = _row(0, type="", delegate="", ns=float("nan"), runs=0)
    return replace(row, operator_error=error[:ERROR_CHARACTERS])


def _row(place: int, *, type: str, delegate: str, ns: float, runs: int) -> OperatorRow:  # noqa: A002
    return OperatorRow("", "", "", place, type, delegate, ns, runs)


def of_cell(
    rows: Sequence[OperatorRow], run_id: str, cell_id: str, node_id: str
) -> tuple[OperatorRow, ...]:
    """Return the same profile as a cell's on a node."""
    return tuple(
        replace(
            row,
            operator_id=digest([run_id, cell_id, node_id, row.operator_place], 16),
            operator_cell_id=cell_id,
            operator_node_id=node_id,
        )
        for row in rows
    )
