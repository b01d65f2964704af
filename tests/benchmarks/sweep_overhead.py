"""The share of a sweep's wall time that is spent outside trial processes."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from suite.results.read import read_results
from tests.benchmarks.paired import Finding

ROUNDS = 3


def outside_share(sweep: Path, executor: str) -> float:
    """Return 1 plus the share: the command's wall time over that of its trials' processes."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter_ns()
        subprocess.run(
            [
                *(str(Path(sys.executable).with_name("litesweep")), "run", str(sweep)),
                *("--out", f"{folder}/run", "--executor", executor),
            ],
            check=True,
            capture_output=True,
        )
        wall_ns = time.perf_counter_ns() - begin
        trials = read_results(Path(folder) / "run" / "results.h5").trials
        return wall_ns / sum(trial.process_wall_ns for trial in trials)


def sweep_overhead(sweep: Path) -> Iterator[Finding]:
    """Run `sweep`, whose artifacts are built, from start to end under both executors."""
    for executor in ("debug", "local"):
        shares = [outside_share(sweep, executor) for _ in range(ROUNDS)]
        yield Finding.of(
            f"wall time of `run --executor {executor}` / its trials'", "at most 1.03", shares
        )
