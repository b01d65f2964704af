"""The parent's side of a profile: start the process, sleep until it is done, take what it says."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from suite.canonical import digest
from suite.results.rows import OperatorRow
from suite.trial.protocol import TrialRequest

WORKER = (sys.executable, "-m", "suite.profile.worker")
ERROR_CHARACTERS = 500


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
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(request)).encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
            start_new_session=True,  # so that Ctrl-C is ours to handle
        )
    except subprocess.TimeoutExpired:
        return (refused(f"no answer within {timeout_s:g} s"),)
    if done.returncode < 0:
        return (refused(f"killed by {signal.Signals(-done.returncode).name}"),)
    try:
        said = json.loads(done.stdout)
        if "error" in said:
            return (refused(said["error"]),)
        return tuple(
            _row(place, runs=said["runs"], **operator)
            for place, operator in enumerate(said["operators"])
        ) or (refused("no operators"),)
    except (ValueError, KeyError, TypeError):
        return (refused(f"ended with exit code {done.returncode} and no answer"),)


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
