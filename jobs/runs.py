"""The main job: from a sweep to its results on this machine."""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from jobs.checkup import check_up
from jobs.collect import collect, has_shard
from jobs.display import Building, Display, Measuring
from jobs.executors import EXECUTORS, ExecutorName, run_job
from jobs.grid import Grid, check_machine, lay_out
from jobs.plan import Plan, PlannedArtifact, PlannedCell, Slice
from jobs.projection import trial_seconds
from jobs.run_folder import RunFolder, default_folder, open_run
from jobs.stores import tell_store, tell_stores
from suite.artifacts.build import BuildFailure, Built, build_artifacts
from suite.artifacts.store import Artifact, ArtifactStore
from suite.cells import Cell, axes_of
from suite.doctor import GLANCE_S, warnings
from suite.errors import InternalError, UserError, nearest
from suite.files import read_end, write_file
from suite.sweep import Measure, Sweep


def run(
    sweep: Sweep,
    out: Path | str | None = None,
    executor: ExecutorName = "debug",
    store: Path | str | None = None,
    console: Console | None = None,
) -> Path:
    """Run a sweep on this machine, or go on with a run that was begun.

    Parameters
    ----------
    out
        The run's folder; by default `runs/NAME-HASH` below the current one.
    executor
        `debug` measures from this process, `local` from one of its own.
    store
        The folder in which artifacts are kept; by default the user's.
    console
        Where progress is shown; by default standard error.

    Returns
    -------
    pathlib.Path
        The run's folder, with `results.h5` in it.

    Raises
    ------
    UserError
        If the sweep, a model, the machine or the folder will not do.
    InternalError
        If a job ended by an error inside litesweep.
    """
    if executor not in EXECUTORS:  # submitit would take "slurm" for more than it is here
        raise UserError(f"There is no executor {executor!r}.", nearest(executor, EXECUTORS))
    display = Display(console or Console(stderr=True))
    grid = lay_out(sweep)
    check_machine(grid)
    path = Path(out) if out is not None else default_folder(sweep)
    with open_run(path, sweep) as folder:
        plan = _plan(grid, ArtifactStore.at(store), folder, display)
        for index in range(len(plan.slices)):
            _measure(folder, index, executor, display)
        collect(folder)
        return folder.path


def _plan(grid: Grid, store: ArtifactStore, folder: RunFolder, display: Display) -> Plan:
    """Return the run's plan, with every artifact of it built."""
    if folder.plan_file.exists():
        return take_up_plan(grid, store, folder, display)
    built = build(grid, store, folder, display)
    plan = make_plan(grid, built, folder.identity(), lambda cells: one_slice(cells, grid.sweep))
    plan.write(folder.plan_file)
    return plan


def take_up_plan(grid: Grid, store: ArtifactStore, folder: RunFolder, display: Display) -> Plan:
    """Return the plan that the run has, with artifacts that are gone built again."""
    plan = Plan.read(folder.plan_file)
    check_sources(grid, plan)
    gone = {key for key, artifact in plan.artifacts.items() if not artifact.path.exists()}
    found = build(grid, store, folder, display, gone).items()
    if moved := {key: a.path for key, a in found if isinstance(a, Artifact)}:
        plan = plan.with_files(moved)
        plan.write(folder.plan_file)
    tell_stores(folder, plan)
    return plan


def make_plan(
    grid: Grid,
    built: dict[str, Built],
    provenance: dict[str, str],
    cut: Callable[[Sequence[PlannedCell]], tuple[Slice, ...]],
) -> Plan:
    """Put cells and artifacts together, and `cut` the cells that can be measured into slices."""
    cells = [
        _planned(cell, built[grid.requests[cell.cell_id].key], grid.sweep.measure)
        for cell in grid.cells
    ]
    return Plan(
        provenance=provenance,
        measure=grid.sweep.measure,
        axes=axes_of(grid.cells),
        cells=tuple(cells),
        artifacts={
            artifact.key: PlannedArtifact(artifact.path, artifact.row)
            for artifact in built.values()
            if isinstance(artifact, Artifact)
        },
        slices=dict(enumerate(cut([planned for planned in cells if not planned.build_error]))),
    )


def one_slice(cells: Sequence[PlannedCell], sweep: Sweep) -> tuple[Slice, ...]:
    """Cut nothing: this machine measures all that there is."""
    cell_ids = tuple(planned.cell.cell_id for planned in cells)
    return (Slice(cell_ids, sweep.measure.budget),) if cells else ()


def _planned(cell: Cell, built: Built, measure: Measure) -> PlannedCell:
    if isinstance(built, BuildFailure):
        return PlannedCell(cell, artifact_key="", build_error=built.reason, trial_seconds=0.0)
    seconds = trial_seconds(cell, built, measure)
    return PlannedCell(cell, built.key, build_error="", trial_seconds=seconds)


def check_sources(grid: Grid, plan: Plan) -> None:
    """Refuse to go on with a run whose models have changed.

    Raises
    ------
    UserError
        If one has.
    """
    for planned in plan.cells:
        source = grid.requests[planned.cell.cell_id].source
        artifact = plan.artifacts.get(planned.artifact_key)
        if artifact and artifact.row.source_digest != source.digest:
            raise UserError(
                f"The model {planned.cell.model!r} ({artifact.row.source}) is not the one that "
                "this run began with.",
                "Give the changed model a run of its own with --out.",
            )


def build(
    grid: Grid,
    store: ArtifactStore,
    folder: RunFolder,
    display: Display,
    keys: set[str] | None = None,
) -> dict[str, Built]:
    """Build the artifacts of the grid, or those of `keys` alone."""
    requests = {request.key: request for request in grid.requests.values()}
    wanted = [r for key, r in requests.items() if keys is None or key in keys]
    if not wanted:
        return {}
    tell_store(folder, store, wanted)
    building = Building(display)
    with display.phase("building") as phase, phase.following(building.look):
        return build_artifacts(wanted, store, building.tell, folder.logs / "build")


def _measure(folder: RunFolder, index: int, executor: ExecutorName, display: Display) -> None:
    if has_shard(folder, index):
        return
    for warning in warnings(check_up(GLANCE_S), "this machine"):
        display.say(f"{warning} (see litesweep doctor)")
    measuring = Measuring(folder.progress(index, platform.node()))
    with display.phase("measuring") as phase, phase.following(measuring.look):
        outcome = run_job(folder, index, executor)
    if outcome.mistake:
        raise UserError(outcome.mistake)
    if outcome.fault:
        log = folder.logs / f"fault-{index:05d}.log"
        write_file(log, outcome.fault)
        raise InternalError(f"A job ended by an error inside litesweep; {log} has all of it.")
    for line in read_end(folder.unprofiled(index, platform.node())).splitlines():
        display.say(line)
