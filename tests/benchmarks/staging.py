"""What a job asks of the file system with its artifacts: `python -m tests.benchmarks.staging`.

The artifact's pages are dropped from memory before each job; what is then read from the disk is
what a node would read over the network.
"""

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.runs import run
from suite import Axes, Measure, ModelSpec, Sweep
from tests.test_staging import again, opens, start

TRIALS = 6
BLOCK_BYTES = 512


def jobs(work: Path) -> Iterator[tuple[str, float, float]]:
    """Yield what was asked for, how often the artifact was opened, and how often read in full."""
    sweep = Sweep(
        name="staging",
        axes=Axes(model=("resnet50",), quantization=("dynamic",), threads=(1,)),
        models={"resnet50": ModelSpec(source="keras:ResNet50", weights="seed:0")},
        measure=Measure(min_trials=TRIALS, max_trials=TRIALS),
    )
    folder = RunFolder(run(sweep, work / "run", console=Console(quiet=True)))
    [artifact] = Plan.read(folder.plan_file).artifacts.values()
    (work / "local").mkdir()
    for stage in ("", str(work / "local")):
        again(folder)
        drop(artifact.path)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock
        with opens(artifact.path) as opened:
            assert start(folder, stage).wait() == 0
        blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock - before
        yield stage and "staged", opened[0], blocks * BLOCK_BYTES / artifact.row.artifact_bytes


def drop(path: Path) -> None:
    """Drop a file's pages from memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Print the table."""
    print(f"| a job of {TRIALS} trials | opens the shared file | reads it from the disk |")
    print("|---|---:|---:|")
    with tempfile.TemporaryDirectory() as work:
        for what, opened, read in jobs(Path(work)):
            print(f"| {what or 'as it is'} | {opened} times | {read:.2f} times |")


if __name__ == "__main__":
    main()
