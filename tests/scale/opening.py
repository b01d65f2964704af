"""Opening, summary and report of files of 10^7, 10^8 and 10^9 samples, each in a process of its own.

Beside them: what h5py takes to read the samples once, and pandas for the same medians from CSV.
"""

SIZES = ((10_000, 1_000), (100_000, 1_000), (100_000, 10_000))
"""Cells, and samples of each."""
MOST_AS_CSV = 10**7
"""Samples; ten times as many make a file of 5 GB, for which pandas needs more memory than there is."""
MIB = 2**20

PRELUDE = """
import json, resource, sys, time
file, scratch = sys.argv[1:]
def told(**values):
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**values, "rss": rss}))
"""

READ = """
import h5py
with h5py.File(file) as opened:
    samples = opened["latency_ns"]
    step = 8 * samples.chunks[0]
    begin = time.perf_counter()
    for first in range(0, len(samples), step):
        samples[first : first + step]
told(seconds=time.perf_counter() - begin, samples=len(samples))
"""
"""Reads every sample once, and keeps none."""

IMPORT = """
import analysis
from analysis.dataset import open_results
told()
"""

SUMMARY = """
import analysis
from analysis.dataset import CELL_VARIABLES, open_results
begin = time.perf_counter()
results = open_results(file)
opened = time.perf_counter()
results[[*CELL_VARIABLES]].load()
told(open=opened - begin, summary=time.perf_counter() - opened,
     valid=int((results["verdict"] == "").sum()))
"""
"""Every variable over the cells: medians, intervals, tails, verdicts, energy, sizes ..."""

REPORT = """
import os
from jobs.cli import main
begin = time.perf_counter()
out = scratch + "/report.html"
try:
    main(["report", file, "--out", out])
except SystemExit as ended:
    assert not ended.code, ended.code
told(seconds=time.perf_counter() - begin, bytes=os.path.getsize(out))
"""
