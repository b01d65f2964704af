"""What a container, MPI and Slurm cost; needs the cluster and the image of tests/cluster."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.cluster.packing import Jobs, pack
from jobs.cluster.site import Container, CpuType, Site
from jobs.plan import PlannedCell
from suite.artifacts.store import Artifact, store_of
from suite.cells import Cell
from suite.results.read import read_results
from suite.sweep import Measure
from suite.topology import granted_cpus
from suite.trial.launch import WORKER, TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding, ratios_in_turn

REPOSITORY = Path(__file__).parents[2]
IMAGE = REPOSITORY / "images" / "tflite.sif"
CLUSTER = REPOSITORY / "tests" / "cluster" / "throwaway-slurm"
PAIRS = 25
JOB_PAIRS = 6
CELLS = 10_000

SWEEP = """
name = "start"
axes.model = ["m"]
axes.quantization = ["float32", "int8"]
axes.threads = [1, 2]
axes.cpu_type = ["type_a"]
models.m.source = "keras:MobileNetV2"
models.m.input_shape = [96, 96, 3]
measure.min_trials = 3
measure.max_trials = 3
"""
SITE = """
[cpu_types.type_a]
constraint = "type_a"
cpus = 2
nodes = 1
[container]
{container}
[mpi]
type = "{mpi}"
[slurm]
setup = ["date +%s%N > {start}"]
"""

GATHER = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from jobs.world import MpiWorld
    from suite.results.write import write_results
    from tests.rows import a_cell, a_node, a_trial, some_results

    world = MpiWorld(4)
    rng = np.random.default_rng(world.rank)
    cells = [f"c{n:04}" for n in range(1000)]
    rows = tuple(a_cell(cell_id, threads=n) for n, cell_id in enumerate(cells))
    trials = tuple(
        a_trial(f"{world.rank}-{n}", rng.normal(1e7, 1e5, 1000), cell_id=cell_id,
                node_id=f"n{world.rank}", start_unix_ns=n)
        for n, cell_id in enumerate(cells)
    )
    mine = some_results(cells=rows, nodes=(a_node(f"n{world.rank}"),), trials=trials)
    world.wait(lambda: None)
    begin = time.perf_counter()
    whole = world.gather(mine)
    if whole:
        write_results(Path(sys.argv[1]), whole)
        both = time.perf_counter() - begin
        begin = time.perf_counter()
        write_results(Path(sys.argv[1]), whole)
        print(both / (time.perf_counter() - begin))
"""


def on_cluster(artifacts: dict[str, Artifact]) -> Iterator[Finding]:
    """Compare inside with outside: invocations, a job's start, its whole, the gather."""
    site = Site(
        cpu_types={name: CpuType(cpus=2) for name in "ab"}, container=Container(runtime="none")
    )
    many = [
        PlannedCell(Cell("m", "int8", 1, "ab"[n % 2], f"c{n}"), "a", "", 3.0) for n in range(CELLS)
    ]
    slices = pack(many, Measure(), site, Jobs(), {})
    calls = sum(-(-sum(s.cpu_type == name for s in slices) // 1001) for name in "ab")
    share = calls / 10
    yield Finding(f"calls of sbatch for {CELLS} cells / 10", share, share, share, "at most 1", 1)
    yield Finding.of("gather and shard, 4 ranks x 10^6 samples / the shard alone", "-", _gathers())
    for name in ("resnet50 float32", "resnet50 int8"):
        yield Finding.of(
            f"{name}: median in the container / outside",
            "0.99 to 1.01",
            ratios_in_turn(
                lambda artifact=artifacts[name]: _median_ns(artifact, inside=True),
                lambda artifact=artifacts[name]: _median_ns(artifact, inside=False),
                PAIRS,
            ),
        )
    with _cluster():
        inside = [_job(inside=True) for _ in range(JOB_PAIRS)]
        outside = [_job(inside=False) for _ in range(JOB_PAIRS)]
    ratios = [a[0] / b[0] for a, b in zip(inside, outside, strict=True)]
    what = "a job's start to its first invocation: in container and MPI / without"
    yield Finding.of(what, "-", ratios)
    whole = "a job's time / its trials', in container and MPI"
    yield Finding.of(whole, "-", [job[1] for job in inside])


def _median_ns(artifact: Artifact, inside: bool) -> float:
    request = TrialRequest(str(artifact.path), 1, granted_cpus()[:1], 0)
    shell = ("apptainer", "-q", "exec", "--bind", str(store_of(artifact.path)), str(IMAGE))
    command = (*shell, "python3", *WORKER[1:]) if inside else WORKER
    trial = run_trial(TrialName("b", "b", "b", 0, 0), request, timeout_s=120, command=command)
    if trial.status != "ok":
        raise RuntimeError(trial.error)
    return trial.median_ns


def _gathers() -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "gather.py"
        script.write_text(textwrap.dedent(GATHER))
        mpiexec = Path(sys.executable).with_name("mpiexec")
        command = [mpiexec, "-n", "4", sys.executable, script, f"{folder}/shard.h5"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return [
            float(subprocess.check_output(command, env=environment, text=True)) for _ in range(3)
        ]


@contextmanager
def _cluster() -> Iterator[None]:
    subprocess.run([CLUSTER, "start"], check=True)
    said = subprocess.check_output([CLUSTER, "env"], text=True)
    os.environ["SLURM_CONF"] = said.strip().partition("=")[2]
    try:
        yield
    finally:
        subprocess.run([CLUSTER, "stop"], check=True)


def _job(inside: bool) -> tuple[float, float]:
    """Run a sweep in one job; return the seconds to its first invocation, and whole over trials."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = f'runtime = "none"\npython = "{sys.executable}"'
        container = f'image = "{IMAGE}"' if inside else bare
        text = SITE.format(
            container=container, mpi="pmi2" if inside else "none", start=folder / "start"
        )
        (folder / "site.toml").write_text(text)
        (folder / "sweep.toml").write_text(SWEEP)
        command = [shutil.which("litesweep") or Path(sys.executable).with_name("litesweep")]
        command += ["submit", "sweep.toml", "--out", str(folder / "run"), "--wait"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        begin_ns = int((folder / "start").read_text())
        end_ns = next((folder / "run" / "shards").glob("*.h5")).stat().st_mtime_ns
        trials = read_results(folder / "run" / "results.h5").trials
        first = min(trials, key=lambda trial: trial.start_unix_ns)
        to_first_ns = first.start_unix_ns + first.import_ns + first.load_ns - begin_ns
        spent_ns = sum(trial.process_wall_ns for trial in trials)
        return to_first_ns / 1e9, (end_ns - begin_ns) / spent_ns
