"""Runs that are made up: plans of cells without a model, and jobs whose trials take no time.

All else of a job is the real one; tests/test_run.py has real trials, and kills real runs.
"""

import hashlib
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from jobs.collect import collect
from jobs.plan import Plan, PlannedArtifact, PlannedCell, Slice
from jobs.provenance import package_versions
from jobs.run_folder import RunFolder
from jobs.worker import Outcome, measure_slice
from suite.canonical import canonical_json
from suite.cells import AXES, Cell
from suite.journal import read_journal
from suite.results.read import read_results
from suite.results.rows import LOCAL, TrialRow
from suite.sweep import Measure
from suite.trial.launch import TrialName
from tests.rows import an_artifact

RUN_ID = "run"
MODEL = b"a model"


def a_run(
    path: Path,
    *,
    slices: int = 1,
    cells: int = 2,
    trials: int = 3,
    copies: int = 1,
    nodes: int = 1,
    run_id: str = RUN_ID,
    trial_timeout_s: float = 300.0,
) -> RunFolder:
    """Make a run that is planned and has measured nothing.

    Parameters
    ----------
    cells
        Of a slice.
    trials
        Of a cell.
    """
    folder = RunFolder(path)
    for sub in ("journals", "shards", "logs"):
        (path / sub).mkdir(parents=True)
    artifact = path / "store" / "a0" / "a0" / "model.tflite"
    artifact.parent.mkdir(parents=True)
    artifact.write_bytes(MODEL)
    row = an_artifact("a0", artifact_sha256=hashlib.sha256(MODEL).hexdigest())
    names = [[f"c{index}-{number}" for number in range(cells)] for index in range(slices)]
    packages = canonical_json(package_versions())
    provenance = {"run_id": run_id, "name": "faults", "sweep": "", "packages": packages}
    Plan(
        provenance=provenance,
        measure=Measure(
            min_trials=trials, max_trials=trials, precision=0.5, trial_timeout=trial_timeout_s
        ),
        axes=AXES,
        cells=tuple(
            PlannedCell(Cell(name, "float32", 1, LOCAL, name), "a0", "", 1.0)
            for mine in names
            for name in mine
        ),
        artifacts={"a0": PlannedArtifact(artifact, row)},
        slices={
            index: Slice(tuple(mine), budget_s=1e6, copies=copies, nodes=nodes)
            for index, mine in enumerate(names)
        },
    ).write(folder.plan_file)
    folder.identity_file.write_text(json.dumps(provenance))
    return folder


def made_up(name: TrialName, *_: Any, **__: Any) -> TrialRow:
    """Return a trial that took no time; its samples follow from its name."""
    latency = np.random.default_rng(name.seed).integers(900_000, 1_100_000, 40, dtype="u8")
    return replace(
        name.row(time.time_ns()), latency_ns=latency, process_wall_ns=10**7, sampling_wall_ns=10**6
    )


@contextmanager
def as_if_on(host: str, trial_s: float = 0.0) -> Iterator[None]:
    """Let jobs of this process be on the node `host`, with trials that are made up."""

    def measured(name: TrialName, *_: Any, **__: Any) -> TrialRow:
        time.sleep(trial_s)
        return made_up(name)

    with (
        patch.object(platform, "node", lambda: host),
        patch("jobs.meter.run_trial", measured),
        patch("jobs.worker.examine", lambda *_, **__: None),
        patch("jobs.worker.warnings", lambda *_: []),
    ):
        yield


def job(folder: RunFolder, index: int = 0, host: str = "c1", trial_s: float = 0.0) -> Outcome:
    """Do a job of the run here."""
    with as_if_on(host, trial_s):
        outcome = measure_slice(str(folder.path), index)
    assert not outcome.fault, outcome.fault
    return outcome


CONTEXT = multiprocessing.get_context("forkserver")
# One process that has imported everything forks the others: they start within milliseconds.
CONTEXT.set_forkserver_preload([__name__, "tests.faults.disk", "jobs.cluster.submissions"])


def start(function: Callable[..., Any], *arguments: Any) -> ForkServerProcess:
    """Start a process that does `function`."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    return process


def send_job(path: Path, index: int, host: str, trial_s: float, outcome: Connection) -> None:
    """Do a job, in a process of its own, and send how it ended."""
    outcome.send(job(RunFolder(path), index, host, trial_s))


def start_job(
    folder: RunFolder, index: int = 0, host: str = "c1", trial_s: float = 0.0
) -> tuple[ForkServerProcess, Connection]:
    """Start a job in a process of its own; its outcome comes over the connection."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = start(send_job, folder.path, index, host, trial_s, sender)
    sender.close()
    return process, receiver


Trials = dict[str, tuple[int, bytes]]
"""By id, when each began and its samples: no two are alike."""


def spelled(trials: Iterator[TrialRow] | tuple[TrialRow, ...]) -> Trials:
    """Return trials by id; one that is there twice is an error."""
    listed = [*trials]
    known = {trial.trial_id: (trial.start_unix_ns, trial.latency_ns.tobytes()) for trial in listed}
    assert len(known) == len(listed), "a trial is there twice"
    return known


def recorded(folder: RunFolder) -> Trials:
    """Return the trials in all journals of a run."""
    paths = sorted(folder.path.glob("journals/*/*.journal"))
    return spelled(trial for path in paths for trial in read_journal(path).trials)


def collected(folder: RunFolder) -> Trials:
    """Collect a run, and return the trials in its results."""
    collect(folder)
    return spelled(read_results(folder.results_file).trials)
