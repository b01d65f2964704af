"""How the work grows, in operations, which are the same on any machine: see docs/scale.md."""

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cluster.packing import Jobs, Mode, limit_minutes, pack
from jobs.cluster.slurm import cancel, ended_jobs, live_jobs
from jobs.cluster.status import print_status, status
from jobs.cluster.submissions import REFILLS
from jobs.grid import lay_out
from jobs.plan import Plan
from jobs.projection import planned_cells
from suite.artifacts.store import ArtifactStore
from suite.sweep import Measure
from tests.scale.growth import bytes_kept
from tests.scale.machine import Faults
from tests.scale.made import IDENTITY, a_run, a_site, a_sweep, on_ram, planned
from tests.scale.simulation import simulate
from tests.scale.submitting import (
    QUIET,
    FakeSlurm,
    leave_traces,
    submitted,
    submitted_by_and_by,
)
from tests.test_packing import planned as planned_cell
from tests.test_packing import site

FEW, MANY = 400, 4000
LINEAR = 1.15
"""By which more of an operation there may be than in proportion."""


def operations(function: Callable[..., Any], *arguments: Any) -> int:
    """Return how many functions a call takes, Python's and C's."""
    profile = cProfile.Profile()
    profile.runcall(function, *arguments)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_planning_takes_as_many_times_longer_as_there_are_cells(tmp_path: Path) -> None:
    def plan(cells: int) -> None:
        grid = lay_out(a_sweep(cells))
        planned_cells(grid, ArtifactStore(tmp_path / "store"))
        made = planned(grid, tmp_path / "store", IDENTITY, a_site(), per_job=20)
        made.write(tmp_path / "plan.json")
        assert len(Plan.read(tmp_path / "plan.json").cells) == cells
        assert Plan.read_slices(tmp_path / "plan.json")[1] == cells

    plan(FEW)  # what is done once
    assert operations(plan, MANY) < LINEAR * MANY / FEW * operations(plan, FEW)


def test_a_cell_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    grid = lay_out(a_sweep(MANY))
    planned(grid, tmp_path / "store", IDENTITY, a_site(), per_job=100).write(path)
    for make in (lambda: lay_out(a_sweep(MANY)), lambda: Plan.read(path)):
        make()
        kept, most = bytes_kept(make)
        assert kept < 1000 * MANY
        assert most < 2500 * MANY


def test_a_job_reads_its_own_slice_alone(tmp_path: Path) -> None:
    def write(cells: int) -> Path:
        path = tmp_path / f"{cells}.json"
        grid = lay_out(a_sweep(cells))
        planned(grid, tmp_path / "store", IDENTITY, a_site(), per_job=20).write(path)
        return path

    few, many = map(write, (FEW, MANY))
    Plan.read_slice(few, 7)
    assert operations(Plan.read_slice, many, 7) == operations(Plan.read_slice, few, 7)
    whole, part = Plan.read(many), Plan.read_slice(many, 7)
    assert part.cells == part.slice_cells(7) == whole.slice_cells(7)
    assert part.slices == {7: whole.slices[7]}
    assert part.artifacts.keys() == {cell.artifact_key for cell in part.cells}
    assert (part.measure, part.axes, part.run_id) == (whole.measure, whole.axes, whole.run_id)
    assert Plan.read_slices(many) == (whole.slices, MANY)


@pytest.mark.parametrize("profile", [False, True])
def test_jobs_of_a_cpu_type_differ_little_in_their_limits(profile: bool) -> None:
    """Jobs of one limit go in one array: one call of sbatch."""
    measure = Measure(min_trials=6, max_trials=6, precision=0.9, profile=profile)
    lengths_s = [0.5 + n % 37 for n in range(1000)] + [300.0 + n for n in range(1000)]
    many = {p.cell.cell_id: p for p in map(planned_cell, range(2000), lengths_s)}
    slices = pack(list(many.values()), measure, site(), Jobs(), {})
    limits = [limit_minutes(s, [many[i] for i in s.cell_ids], measure, site()) for s in slices]
    assert len({*limits}) <= 4


def test_as_few_calls_of_sbatch_as_the_site_allows(tmp_path: Path) -> None:
    slurm = FakeSlurm(tmp_path / "bin", max_array=150)
    run = a_run(tmp_path, 4000, a_site(), per_job=10)
    with slurm.standing_in():
        calls = submitted(run, slurm)
        assert calls["sbatch"] == 3
        assert submitted(run, slurm)["sbatch"] == 0


def test_where_the_site_limits_jobs_the_rest_goes_in_few_calls(tmp_path: Path) -> None:
    slurm = FakeSlurm(tmp_path / "bin", max_array=150, max_submitted=40)
    run = a_run(tmp_path, 1000, a_site(submitted=40), per_job=10)
    with slurm.standing_in():
        calls = submitted_by_and_by(run, slurm, end_at_a_time=2)
    assert 100 / 40 <= calls["sbatch"] <= 1 + 60 * REFILLS / 40 < 30


def test_status_asks_squeue_and_sacct_once(tmp_path: Path) -> None:
    found = []
    for name, jobs in (("few", 100), ("many", 1000)):
        slurm = FakeSlurm(tmp_path / name / "bin")
        (tmp_path / name).mkdir()
        run = a_run(tmp_path / name, 10 * jobs, a_site(), per_job=10)
        with slurm.standing_in():
            submitted(run, slurm)
            slurm.end(jobs // 2)
            leave_traces(run, range(jobs // 2))
            status(run)
            slurm.calls()
            found.append(operations(status, run))
            assert slurm.calls() == {"squeue": 1, "sacct": 1}
            seen = status(run)
        assert [seen.count(s) for s in ("done", "failed", "running")] == [
            *(-(-jobs // 8), jobs // 2 - -(-jobs // 8), jobs // 4)
        ]
        reasons = {job.reason for job in seen.jobs if job.state == "failed"}
        assert reasons == {"There is no room.", "The job reached its time limit."}
        print_status(seen, QUIET)
    assert found[1] < LINEAR * 10 * found[0]


def test_no_number_of_jobs_is_too_long_for_a_command(tmp_path: Path) -> None:
    """Linux takes 128 KiB in an argument, and 2 MiB in all."""
    slurm = FakeSlurm(tmp_path / "bin")
    names = [f"litesweep-0123456789abcdef-{n}" for n in range(20_000)]
    ids = [f"{n}" for n in range(1_000_000, 1_050_000)]
    with slurm.standing_in():
        (slurm.folder / "jobs").write_text("".join(f"{n} 0 1 {name}\n" for n, name in
                                                   zip(ids, names, strict=False)))  # fmt: skip
        assert len(live_jobs(names)) == 20_000
        slurm.end(10_000)
        assert len(ended_jobs(ids, "2026-01-01T00:00:00")) == 10_000
        cancel([f"{job_id}_{n}" for job_id in ids[:100] for n in range(2000)])
        assert slurm.calls() == {"squeue": 1, "sacct": 1, "scancel": 1}


HARD = Faults(0.4, 0.4, 0.3, 0.3, 0.4, 0.1)


@pytest.mark.parametrize("mode", ["replicate", "partition"])
@pytest.mark.parametrize("seed", range(2))
def test_on_a_simulated_machine_nothing_is_lost_or_twice(mode: Mode, seed: int) -> None:
    """The checks are in `simulate`; here, that the faults that it is about have happened."""
    with on_ram() as folder:
        machine = simulate(
            *(folder, 4),
            per_node=2,
            job_nodes=2,
            job_cells=25,
            mode=mode,
            faults=HARD,
            submitted=4,
            seed=seed,
        )
    assert machine.happened.total() > 5
    assert machine.asked["sbatch"] >= 2
