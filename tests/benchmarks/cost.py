"""The time to an interval of ±2 % for the ResNet50 grid: ours, pyperf's, fixed repetition.

Ours and pyperf's measurements of a cell are taken in turn, each by its own command line and
defaults. Fixed repetition is what our trials would have cost if every cell had taken as many as the
cell that needed most: who fixes a number beforehand must fix that one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from suite.allocation import sampling_time_ns
from suite.artifacts.store import Artifact
from suite.intervals import median
from suite.results.rows import TrialRow
from suite.stopping import finished
from suite.sweep import Measure
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding

PYPERF = """
import numpy, pyperf
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path={path!r}, num_threads={threads})
interpreter.allocate_tensors()
for tensor in interpreter.get_input_details():
    values = numpy.random.default_rng(0).random(tensor["shape"], dtype=numpy.float32)
    interpreter.set_tensor(tensor["index"], values)
pyperf.Runner().bench_func("invoke", interpreter.invoke)
"""
RULE = Measure()


def ours_s(artifact: Artifact, threads: int) -> tuple[float, list[TrialRow]]:
    """Measure a cell until it is done; return the seconds it took, and its trials."""
    trials: list[TrialRow] = []
    begin = time.perf_counter()
    while not finished(trials, RULE):
        request = TrialRequest(
            artifact_path=str(artifact.path),
            threads=threads,
            cpus=granted_cpus()[:threads],
            seed=0,
            sampling_ns=sampling_time_ns(trials, RULE.precision),
        )
        name = TrialName("bench", "cell", "node", len(trials), 0)
        trials.append(run_trial(name, request, timeout_s=300))
    return time.perf_counter() - begin, trials


def pyperf_s(artifact: Artifact, threads: int) -> tuple[float, list[float]]:
    """Run pyperf with its defaults on the same CPUs; return seconds, and its processes' means."""
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "bench.py", Path(folder) / "out.json"
        script.write_text(PYPERF.format(path=str(artifact.path), threads=threads))
        affinity = ",".join(map(str, granted_cpus()[:threads]))
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, script, "-o", out, "--affinity", affinity],
            check=True,
            capture_output=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        taken = time.perf_counter() - begin
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
    return taken, [float(np.mean(run["values"])) for run in runs if "values" in run]


def cost(artifacts: dict[str, Artifact]) -> Iterator[Finding]:
    """Compare over a grid: each artifact at each number of threads."""
    cells = [
        (name, artifact, threads)
        for name, artifact in artifacts.items()
        for threads in range(1, len(granted_cpus()) + 1)
        if not (name.endswith("int16x8") and threads > 1)
    ]
    ours, theirs, counts, each, widths = 0.0, 0.0, [], [], []
    for number, (name, artifact, threads) in enumerate(cells):
        turns = [ours_s, pyperf_s] if number % 2 == 0 else [pyperf_s, ours_s]
        taken = {turn.__name__: turn(artifact, threads) for turn in turns}
        seconds, trials = taken["ours_s"]
        ours += seconds
        theirs += taken["pyperf_s"][0]
        counts.append(len(trials))
        each.append(seconds / len(trials))
        widths.append(float(median([t.median_ns for t in trials]).relative_half_width))
        said = float(median(taken["pyperf_s"][1]).relative_half_width)
        print(
            f"{name}, {threads} threads: {seconds:.1f} s, {len(trials)} trials, "
            f"±{100 * widths[-1]:.1f} %; pyperf {taken['pyperf_s'][0]:.1f} s, "
            f"±{100 * said:.1f} % over its processes",
            flush=True,
        )
    yield _once("resnet50 grid: our time to ±2 % / pyperf's defaults", "at most 0.5", ours / theirs)
    fixed = max(counts) * sum(each)
    yield _once("resnet50 grid: our time to ±2 % / fixed repetition", "at most 1", ours / fixed)
    resolved = float(np.mean([width <= RULE.precision for width in widths]))
    yield _once("share of its cells that are within ±2 %", "-", resolved)


def _once(what: str, wanted: str, ratio: float) -> Finding:
    return Finding(what, ratio, ratio, ratio, wanted, 1)
