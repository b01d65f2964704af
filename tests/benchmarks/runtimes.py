"""LiteRT's median latency over that of other runtimes, and ours over OpenVINO's own benchmark."""

import re
import subprocess
import sys
from collections.abc import Iterator

from suite.artifacts.check import tflite_runner
from suite.artifacts.store import Artifact
from suite.runtimes.names import ABOUT, LITERT, OPENVINO, RUNTIMES
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding, ratios_in_turn

PAIRS = 7
SECONDS = 2


def ours_ns(artifact: Artifact, runtime: str) -> float:
    """Measure one trial on one thread."""
    cpus = granted_cpus()[:1]
    request = TrialRequest(str(artifact.path), 1, cpus, 0, runtime=runtime)
    trial = run_trial(TrialName("bench", "bench", "bench", 0, 0), request, timeout_s=120)
    if trial.status != "ok":
        raise RuntimeError(trial.error)
    return trial.median_ns


def theirs_ns(artifact: Artifact) -> float:
    """Run OpenVINO's `benchmark_app` on the same CPU, on one thread, in float32."""
    (taken,) = tflite_runner(artifact.path).inputs
    done = subprocess.run(
        [
            *("taskset", "--cpu-list", str(granted_cpus()[0])),
            *(sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()"),
            *("-m", str(artifact.path), "-d", "CPU", "-api", "sync", "-t", str(SECONDS)),
            *("-shape", str(list(taken.shape))),
            *("-hint", "none", "-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    median, unit = re.findall(r"Median:\s+([0-9.]+) (ms|us)", done.stdout)[-1]
    return float(median) * {"ms": 1e6, "us": 1e3}[unit]


def runtimes(artifacts: dict[str, Artifact]) -> Iterator[Finding]:
    """Compare the runtimes on each artifact that there is for LiteRT too, in equal precision."""
    for name, plain in artifacts.items():
        for runtime in RUNTIMES:
            title = ABOUT[runtime].title
            other = artifacts.get(f"{name} for {title}")
            if other is None:
                continue
            ratios = ratios_in_turn(
                lambda artifact=plain: ours_ns(artifact, LITERT),
                lambda artifact=other, runtime=runtime: ours_ns(artifact, runtime),
                PAIRS,
            )
            yield Finding.of(f"{name}: LiteRT / {title}", "-", ratios)
            if runtime == OPENVINO:
                ratios = ratios_in_turn(
                    lambda artifact=other: ours_ns(artifact, OPENVINO),
                    lambda artifact=other: theirs_ns(artifact),
                    PAIRS,
                )
                what = f"{name}: our median of OpenVINO / benchmark_app's"
                yield Finding.of(what, "0.95 to 1.05", ratios)
