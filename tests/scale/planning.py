"""Planning: a grid laid out and hashed, packed, written and read, at up to a million cells."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.cluster.packing import Jobs, limit_minutes, pack
from jobs.grid import lay_out
from jobs.plan import Plan
from jobs.projection import planned_cells
from suite.artifacts.store import ArtifactStore
from suite.cells import expand
from tests.scale.growth import Table, Times, by_size, bytes_kept
from tests.scale.made import IDENTITY, THREADS, a_site, a_sweep, planned

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PER_JOB = 100


def steps(cells: int, folder: Path) -> Times:
    """Time each step of planning, and of what reads a plan."""
    times = Times()
    sweep, site, store = a_sweep(cells), a_site(), ArtifactStore(folder / "store")
    with times.of("cells and their ids"):
        assert len(expand(sweep, lambda name: "float32")) == cells
    with times.of("grid: cells, requests and keys"):
        grid = lay_out(sweep)
        assert len(grid.artifact_keys) == cells // len(THREADS)
    with times.of("a look in the store, projection"):
        found = planned_cells(grid, store)
    with times.of("packing"):
        slices = pack(found, sweep.measure, site, Jobs(), {})
    by_id = {each.cell.cell_id: each for each in found}
    with times.of("time limits"):
        for slice_ in slices:
            limit_minutes(slice_, [by_id[i] for i in slice_.cell_ids], sweep.measure, site)
    with times.of("plan, artifacts built"):
        plan = planned(grid, folder / "store", IDENTITY, site, per_job=PER_JOB)
    path = folder / "plan.json"
    with times.of("plan written"):
        plan.write(path)
    with times.of("plan read"):
        assert len(Plan.read(path).cells) == cells
    with times.of("slices read, by status"):
        assert Plan.read_slices(path)[1] == cells
    with times.of("a slice read, by its job"):
        assert len(Plan.read_slice(path, len(plan.slices) - 1).cells) == PER_JOB
    return times


def bytes_of(cells: int, folder: Path) -> dict[str, float]:
    """Return the bytes for each cell of what planning makes."""
    sweep = a_sweep(cells)
    grid = lay_out(sweep)
    plan = planned(grid, folder / "store", IDENTITY, a_site(), per_job=PER_JOB)
    path = folder / "plan.json"
    plan.write(path)
    laid_out, most = bytes_kept(lambda: lay_out(sweep))
    read, most_read = bytes_kept(lambda: Plan.read(path))
    seen, _ = bytes_kept(lambda: Plan.read_slices(path))
    found = {
        "grid in memory": laid_out,
        "the most while it is laid out": most,
        "plan.json": path.stat().st_size,
        "plan in memory": read,
        "the most while it is read": most_read,
        "slices in memory, for status": seen,
    }
    return {what: count / cells for what, count in found.items()}


def planning(sizes: Sequence[int] = SIZES) -> Iterator[Table]:
    """Yield the tables of docs/scale.md."""
    found = []
    for cells in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(steps(cells, Path(folder)).seconds)
    yield by_size("CPU seconds", sizes, found)
    held = []
    for cells in sizes[:-1]:
        with tempfile.TemporaryDirectory() as folder:
            held.append(bytes_of(cells, Path(folder)))
    yield by_size("bytes for each cell", sizes[:-1], held, "{:,.0f}")
