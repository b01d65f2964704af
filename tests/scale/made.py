"""Sweeps, sites and runs of any size: made as a user's are, but for artifacts that nobody built."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from jobs.cluster.packing import Jobs, Mode, pack
from jobs.cluster.site import Container, CpuType, Mpi, Site, Slurm
from jobs.grid import Grid, lay_out
from jobs.plan import Plan, PlannedCell, Slice
from jobs.run_folder import RunFolder, open_run
from jobs.runs import make_plan
from suite.artifacts.build import Built
from suite.artifacts.store import Artifact
from suite.atomic import write_whole
from suite.canonical import canonical_json
from suite.sweep import Axes, Measure, ModelSpec, Sweep
from tests.rows import an_artifact

QUANTIZATIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
THREADS = tuple(range(1, 21))
CELLS_PER_BATCH = len(QUANTIZATIONS) * len(THREADS)
CPUS = 64
EVEN_S = 0.01
"""What each trial is expected to take, so that jobs have as many cells as they are to have."""
MEASURE = Measure(min_trials=2, max_trials=3, precision=0.01)
IDENTITY = {"run_id": "r", "packages": "{}"}


def a_sweep(cells: int, measure: Measure = MEASURE, cpu_type: str = "a") -> Sweep:
    """Return a sweep of so many cells: of some hundreds, or of fewer for fewer thread counts."""
    return Sweep(
        name="scale",
        axes=Axes(
            model=("m",),
            quantization=QUANTIZATIONS,
            threads=THREADS[: cells // len(QUANTIZATIONS)],
            cpu_type=(cpu_type,),
            batch=tuple(range(1, max(1, cells // CELLS_PER_BATCH) + 1)),
        ),
        models={"m": ModelSpec(source="keras:ResNet50")},
        measure=measure,
    )


def a_site(nodes: int = 1, submitted: int | None = None, array: int | None = None) -> Site:
    """Return a site whose jobs have so many nodes."""
    return Site(
        cpu_types={"a": CpuType(nodes=nodes, cpus=CPUS)},
        container=Container(runtime="none"),
        mpi=Mpi(type="pmi2"),
        slurm=Slurm(submitted=submitted, array=array),
    )


def built(grid: Grid, store: Path) -> dict[str, Built]:
    """Return an artifact for each that `grid` needs; all are one file in `store`."""
    path = store / "aa" / "artifact" / "model.tflite"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a model")
    rows = (an_artifact(key, source_digest="keras:ResNet50") for key in grid.artifact_keys)
    return {row.artifact_key: Artifact(path, row, rough_latency_ns=10**6) for row in rows}


def cut(
    cells: Sequence[PlannedCell], measure: Measure, site: Site, mode: Mode, per_job: int
) -> tuple[Slice, ...]:
    """Pack `cells`, so many in a job."""
    sharing = site.cpu_types["a"].nodes if mode == "partition" else 1
    target_s = (per_job + 0.5) * measure.min_trials * EVEN_S / sharing
    even = [replace(planned, trial_seconds=EVEN_S) for planned in cells]
    return pack(even, measure, site, Jobs(mode, target_s), {})


def planned(
    grid: Grid,
    store: Path,
    provenance: dict[str, str],
    site: Site,
    *,
    per_job: int,
    mode: Mode = "replicate",
) -> Plan:
    """Return the plan of `grid`, so many cells in a job."""
    cutting = partial(cut, measure=grid.sweep.measure, site=site, mode=mode, per_job=per_job)
    return make_plan(grid, built(grid, store), provenance, cutting)


def a_run(
    folder: Path, cells: int, site: Site, *, per_job: int, mode: Mode = "replicate"
) -> RunFolder:
    """Make a run's folder, planned and not submitted."""
    sweep = a_sweep(cells)
    grid = lay_out(sweep)
    with open_run(folder / "run", sweep) as run:
        write_whole(run.site_file, json.dumps(site.dump()) + "\n")
        provenance = {**run.identity(), "images": canonical_json({})}
        plan = planned(grid, folder / "store", provenance, site, per_job=per_job, mode=mode)
        plan.write(run.plan_file)
    return run


@contextmanager
def on_ram() -> Iterator[Path]:
    """Give a folder where an fsync costs nothing, if the machine has one."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as folder:
        yield Path(folder)
