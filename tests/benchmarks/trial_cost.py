"""What a trial costs beyond its invocations, over a bare script that imports and loads the same."""

import subprocess
import sys
import time
from collections.abc import Iterator

from suite.artifacts.store import Artifact
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding, ratios_in_turn

PAIRS = 15
BARE = """
import numpy
from ai_edge_litert.interpreter import Interpreter
Interpreter(model_path={path!r}, num_threads=1).allocate_tensors()
"""


def trial_ns(artifact: Artifact) -> float:
    """Return the time of a trial's process outside its invocations."""
    request = TrialRequest(str(artifact.path), 1, granted_cpus()[:1], 0)
    trial = run_trial(TrialName("bench", "bench", "bench", 0, 0), request, timeout_s=120)
    invoked = trial.first_invocation_ns + int(trial.latency_ns.sum()) * trial.inner_loops
    return float(trial.process_wall_ns - invoked)


def bare_ns(artifact: Artifact) -> float:
    """Return the time of a script that imports LiteRT and loads the same model."""
    begin = time.perf_counter_ns()
    code = BARE.format(path=str(artifact.path))
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return float(time.perf_counter_ns() - begin)


def trial_cost(artifacts: dict[str, Artifact]) -> Iterator[Finding]:
    """Compare on each artifact, by what it is to be called."""
    for name, artifact in artifacts.items():
        ratios = ratios_in_turn(
            lambda artifact=artifact: trial_ns(artifact),
            lambda artifact=artifact: bare_ns(artifact),
            PAIRS,
        )
        yield Finding.of(
            f"{name}: a trial without its invocations / bare load", "at most 1.3", ratios
        )
