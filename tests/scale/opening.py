"""Opening, summary and report of files of 10^7 to 10^9 samples, each in a process of its own.

Beside them: what h5py takes to read the samples once, and pandas for medians of the same from CSV.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analysis.blocks import USUAL_BYTES, processors
from tests.conftest import REPOSITORY
from tests.scale.growth import markdown
from tests.scale.large import write_large

SIZES = ((10_000, 1_000, 1), (100_000, 1_000, 1), (100_000, 10_000, 10))
"""Cells, samples of each, and how often latencies are repeated."""
MOST_AS_CSV = 2 * 10**7
"""Samples. Of 10^8 the CSV would take 5 GB, and pandas several times as much memory."""
MOST_AT_ONCE = 2 * 10**8
MIB = 2**20

PRELUDE = """
import json, os, resource, sys, time
file, scratch = sys.argv[1:]
def tell(**found):
    found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found))
def wall_and_cpu():
    return time.perf_counter(), time.process_time()
def since(begin):
    return [now - then for now, then in zip(wall_and_cpu(), begin)]
"""

READ = """
import h5py
with h5py.File(file) as opened:
    samples = opened["latency_ns"]
    step = 8 * samples.chunks[0]
    begin = wall_and_cpu()
    for first in range(0, len(samples), step):
        samples[first : first + step]
    tell(taken=since(begin), count=len(samples))
"""
"""Reads every sample once, eight chunks at a time, and keeps none."""

WHOLE = """
import h5py
with h5py.File(file) as opened:
    begin = wall_and_cpu()
    samples = opened["latency_ns"][:]
    tell(taken=since(begin))
"""
"""Reads them into one array, as docs/results.md does."""

NOTHING = """
import analysis.dataset
tell()
"""

SUMMARY = """
from analysis.dataset import CELL_VARIABLES, open_results
begin = wall_and_cpu()
results = open_results(file)
opened = since(begin)
begin = wall_and_cpu()
results[[*CELL_VARIABLES]].load()
tell(opened=opened, taken=since(begin), valid=int((results["verdict"] == "").sum()))
"""
"""Computes every variable over cells: medians, intervals, tails, verdicts, sizes, energy."""

REPORT = """
from jobs.cli import main
out = f"{scratch}/report.html"
sys.argv[1:] = ["report", file, "--out", out]
begin = wall_and_cpu()
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
tell(taken=since(begin), bytes=os.path.getsize(out))
"""

DASK = """
import dask
from analysis import samples
begin = wall_and_cpu()
latency = samples(file, warm_up=True, chunks={"sample": 1 << 22})
with dask.config.set(scheduler="threads"):
    found = dask.compute(latency.max(), (latency > 10**8).mean())
tell(taken=since(begin), slow=float(found[1]))
"""
"""A question of one's own over all samples."""

TO_CSV = """
import pandas as pd
from analysis import samples
latency = samples(file)
columns = ("model", "quantization", "threads", "cpu_type", "node", "round")
frame = pd.DataFrame({name: pd.Categorical(latency[name].values) for name in columns})
frame["latency_ns"] = latency.values
frame.to_csv(f"{scratch}/samples.csv", index=False)
tell(bytes=os.path.getsize(f"{scratch}/samples.csv"))
"""

PANDAS = """
import pandas as pd
begin = wall_and_cpu()
frame = pd.read_csv(f"{scratch}/samples.csv")
cell = ["model", "quantization", "threads", "cpu_type"]
of_trials = frame.groupby([*cell, "node", "round"], sort=False)["latency_ns"].median()
of_trials.groupby(cell, sort=False).median()
tell(taken=since(begin))
"""
"""Medians of trials, and of these: nothing else of what a summary has."""


def apart(script: str, file: Path, scratch: Path) -> dict[str, Any]:
    """Run a script in a process of its own and return what it tells."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, str(file), str(scratch)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def seconds(taken: tuple[float, float]) -> str:
    """Write wall time, and CPU time behind it."""
    return f"{taken[0]:.2f} s ({taken[1]:.2f})"


def opening(sizes: Sequence[tuple[int, int, int]] = SIZES) -> Iterator[list[str]]:
    """Yield the tables of docs/scale.md, one a size."""
    with TemporaryDirectory() as name:
        scratch = Path(name)
        base = apart(NOTHING, scratch, scratch)["rss"]
        yield [
            f"{processors()} CPUs, load average {os.getloadavg()[0]:.1f}. Wall time (CPU time). "
            f"Memory: the peak beyond the {base / MIB:.0f} MiB of Python and its packages, at the "
            f"usual setting of {USUAL_BYTES // MIB} MiB."
        ]
        for cells, samples, repeat in sizes:
            write_large(scratch / "large.h5", cells, samples, repeat)
            rows = [*_measured(cells, scratch, base)]
            if cells * samples <= MOST_AS_CSV:
                rows += _beside_pandas(scratch, base)
            yield markdown([f"{cells:,} cells, {rows.pop(0)} samples", "time", "memory"], rows)


def _measured(cells: int, scratch: Path, base: int) -> Iterator[Any]:
    file = scratch / "large.h5"
    read, found = apart(READ, file, scratch), apart(SUMMARY, file, scratch)
    assert found["valid"] == cells
    page, dask = apart(REPORT, file, scratch), apart(DASK, file, scratch)
    both = found["opened"][0] + found["taken"][0]
    yield f"{read['count']:,}"
    yield ["h5py reads the samples once", seconds(read["taken"]), _memory(read, base)]
    if read["count"] < MOST_AT_ONCE:
        whole = apart(WHOLE, file, scratch)
        name = "the same into one array, as docs/results.md does"
        yield [name, seconds(whole["taken"]), _memory(whole, base)]
    yield ["open", seconds(found["opened"]), ""]
    yield ["summary, all variables of all cells", seconds(found["taken"]), _memory(found, base)]
    yield ["open and summary over h5py", f"{both / read['taken'][0]:.2f}", ""]
    size = f"{page['bytes'] / 1e6:.2f} MB"
    yield [f"report, {size}", seconds(page["taken"]), _memory(page, base)]
    yield ["a maximum and a share by dask", seconds(dask["taken"]), _memory(dask, base)]


def _beside_pandas(scratch: Path, base: int) -> Iterator[list[str]]:
    csv = apart(TO_CSV, scratch / "large.h5", scratch)
    frame = apart(PANDAS, scratch / "large.h5", scratch)
    name = f"medians alone by pandas, of {csv['bytes'] / MIB:.0f} MiB of CSV"
    yield [name, seconds(frame["taken"]), _memory(frame, base)]


def _memory(found: dict[str, Any], base: int) -> str:
    return f"{max(0, found['rss'] - base) / MIB:.0f} MiB"
