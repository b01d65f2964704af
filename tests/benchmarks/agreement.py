"""Our median latency over that of LiteRT's own benchmark on the same artifact and CPU."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from suite.artifacts.store import Artifact
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding, ratios_in_turn

PAIRS = 15
THEIRS = """
from ai_edge_litert.tools import benchmark_litert_model as benchmark
benchmark.round = lambda value, digits: value
benchmark.main()
"""
"""`litert-benchmark` as it is, but for the two decimals of a millisecond that it rounds to."""


def ours_ns(artifact: Artifact) -> float:
    """Measure one trial on one thread."""
    request = TrialRequest(str(artifact.path), 1, granted_cpus()[:1], 0)
    trial = run_trial(TrialName("bench", "bench", "bench", 0, 0), request, timeout_s=120)
    if trial.status != "ok":
        raise RuntimeError(trial.error)
    return trial.median_ns


def theirs_ns(artifact: Artifact) -> float:
    """Run `litert-benchmark` on the same CPU for about as many invocations."""
    runs = max(20, min(2000, round(5e8 / artifact.rough_latency_ns)))
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run(
            [
                *("taskset", "--cpu-list", str(granted_cpus()[0])),
                *(sys.executable, "-c", THEIRS),
                f"--model={artifact.path}",
                "--num_threads=1",
                f"--num_runs={runs}",
                f"--warmup_runs={max(5, runs // 4)}",
                f"--result_json={file.name}",
            ],
            check=True,
            capture_output=True,
        )
        return float(json.load(file)["latency"]["median_ms"]) * 1e6


def agreement(artifacts: dict[str, Artifact]) -> Iterator[Finding]:
    """Compare on each artifact, by what it is to be called."""
    for name, artifact in artifacts.items():
        ratios = ratios_in_turn(
            lambda artifact=artifact: ours_ns(artifact),
            lambda artifact=artifact: theirs_ns(artifact),
            PAIRS,
        )
        yield Finding.of(f"{name}: our median / litert-benchmark's", "0.98 to 1.02", ratios)
