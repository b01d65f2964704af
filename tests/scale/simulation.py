"""Whole runs on a simulated machine, from plan to results, with faults.

Real are the plan, what is sent and when, status and resume, each rank from its first look at the
plan to its last word, rounds, journals, the gathering of ranks, shards and collecting. Not real are
Slurm, the trial's process, what a node says of itself, and MPI. Journals are on a RAM disk, where
an fsync costs nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from jobs.cluster.packing import Mode
from jobs.cluster.slurm import SlurmError
from jobs.cluster.submissions import collect_run, resume, wait
from jobs.collect import slice_results
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.shares import standing
from suite.results.read import read_results
from tests.scale.growth import Table, by_size, cpu_s_of_all, markdown
from tests.scale.loop import Task
from tests.scale.machine import FAULTS, JOB_S, LIVE, LOOK_EVERY_S, Faults, Machine
from tests.scale.made import MEASURE, a_run, a_site, on_ram
from tests.scale.submitting import QUIET

MOST_GOES = 40


def go_on_until_done(run: RunFolder, machine: Machine) -> None:
    """Do what a user does: submit, wait, look, resume, until all is there."""
    for _ in range(MOST_GOES):
        try:
            resume(run.path, console=QUIET)
        except SlurmError:  # later, then
            machine.loop.sleep(LOOK_EVERY_S)
            continue
        try:
            seen = wait(run.path, console=QUIET)
        except SlurmError:
            live = [job for job in machine.jobs.values() if job.state in LIVE]
            assert not live, "it gave up while there were jobs to wait for"
            continue
        if seen.count("done") == len(seen.jobs):
            return
    raise AssertionError(f"not done after {MOST_GOES} goes")


def simulate(
    folder: Path,
    nodes: int,
    *,
    per_node: int = 100,
    job_nodes: int = 10,
    job_cells: int = 2,
    mode: Mode = "replicate",
    faults: Faults = FAULTS,
    submitted: int | None = None,
    trial_s: float | None = None,
    seed: int = 0,
) -> Machine:
    """Take a run from its plan to its results on a machine; check that nothing is lost or twice.

    Parameters
    ----------
    per_node
        Jobs that each node takes part in.
    job_nodes, job_cells
        Of a job.
    submitted
        Most jobs that wait or run at a time.
    trial_s
        What a trial takes, about; by default such that a job takes `JOB_S` and more.
    """
    each = job_cells if mode == "replicate" else job_cells / job_nodes
    machine = Machine(nodes, faults, seed, trial_s or JOB_S / MEASURE.min_trials / each)
    cells = nodes * per_node // job_nodes * job_cells
    with machine.times.of("planned"):
        run = a_run(folder, cells, a_site(job_nodes, submitted), per_job=job_cells, mode=mode)

    def over(error: BaseException | None) -> None:
        if error:
            raise error

    with machine.standing_in(), redirect_stderr(StringIO()):
        Task(machine.loop, partial(go_on_until_done, run, machine), over)
        machine.loop.run()
    begin = cpu_s_of_all()
    path = collect_run(run.path)
    machine.times.seconds["collected"] = cpu_s_of_all() - begin
    found = [trial.trial_id for trial in read_results(path).trials]
    assert len({*found}) == len(found), "a trial is there twice"
    assert {*found} == {*machine.finished}, "a finished trial is lost"
    assert len({*machine.finished}) == len(machine.finished), "a trial was taken again"
    plan = Plan.read(run.plan_file)
    for index in plan.slices:
        assert not standing(plan, index, slice_results(run, plan, index)).wanted
    return machine


def growing(
    nodes: Sequence[int] = (10, 100, 1000),
    per_node: int = 100,
    cells: Sequence[int] = (10, 40, 160),
) -> Iterator[Table]:
    """Yield what each step takes by nodes and by the cells of a job, and what went wrong."""
    machines = [_simulated(count, per_node=per_node) for count in nodes]
    yield by_size("CPU seconds, by nodes", nodes, [m.times.seconds for m in machines])
    calls = [{**m.times.calls, **m.asked, "trials": len(m.finished)} for m in machines]
    yield by_size("how often, by nodes", nodes, calls, "{:,.0f}")
    told = [[what, f"{count:,}"] for what, count in sorted(machines[-1].happened.items())]
    yield markdown((f"fault, of {nodes[-1]:,} nodes", "times"), told)
    by_cells = [_simulated(nodes[0], per_node=10, job_cells=count) for count in cells]
    yield by_size("CPU seconds, by cells of a job", cells, [m.times.seconds for m in by_cells])


def _simulated(nodes: int, **options: Any) -> Machine:
    with on_ram() as folder:
        begin = cpu_s_of_all()
        machine = simulate(folder, nodes, **options)
        machine.times.seconds["all"] = cpu_s_of_all() - begin
        return machine
