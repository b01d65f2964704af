"""A sweep on a cluster: submitted, taken up again, cancelled and collected."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from jobs.cluster.builds import build_on_cluster
from jobs.cluster.container import check_folders
from jobs.cluster.images import checked_image
from jobs.cluster.packing import Jobs, check_budget, check_cpu_types, limit_minutes, pack
from jobs.cluster.partitions import check_time_limit, partitions
from jobs.cluster.sending import send_missing
from jobs.cluster.sent import read_sent, record_cancel
from jobs.cluster.site import Site, find_site
from jobs.cluster.slurm import SlurmError, cancel
from jobs.cluster.status import RunStatus, live_by_slice, status
from jobs.collect import collect
from jobs.display import Display, duration
from jobs.grid import Grid, check_runtimes, lay_out
from jobs.plan import Plan, PlannedCell, Slice
from jobs.projection import planned_cells
from jobs.run_folder import BusyError, RunFolder, default_folder, open_run, submitted, take_up
from jobs.runs import build, make_plan, take_up_plan
from suite.artifacts.store import ArtifactStore
from suite.atomic import write_whole
from suite.canonical import canonical_json
from suite.errors import UserError
from suite.sweep import Sweep

LOOK_EVERY_S = 5.0
LOOK_SHARE = 0.1
"""Of the time, at most: a look at ten thousand jobs asks the shared file system for a while."""
REFILLS = 8
"""Calls of sbatch for as many jobs as the site lets wait and run: fewer would leave nodes idle, and
more would be one for each job that ends."""


def submit(
    sweep: Sweep,
    site: Path | str | None = None,
    out: Path | str | None = None,
    *,
    jobs: Jobs | None = None,
    store: Path | str | None = None,
    console: Console | None = None,
) -> Path:
    """Submit a sweep to a Slurm cluster, or what is missing of a run that was submitted before.

    Parameters
    ----------
    site
        The site file, or its name in the user's configuration folder; by default `site.toml`
        beside the sweep, then there.
    out
        The run's folder, which the nodes must see too; by default `runs/NAME-HASH`.
    store
        The folder in which artifacts are kept, which the nodes must see too.

    Returns
    -------
    pathlib.Path
        The run's folder.

    Raises
    ------
    UserError
        If the sweep, a model, the site or the folder will not do, the budget would be exceeded,
        or sbatch refuses. What was sent before stays.
    """
    display = Display(console or Console(stderr=True))
    jobs = jobs or Jobs()
    artifacts = ArtifactStore.at(store)
    path = Path(out) if out is not None else default_folder(sweep)
    grid = lay_out(sweep)
    profile = Site.load(find_site(None if site is None else str(site), sweep.folder))
    check_folders(profile.container, (path.absolute(), artifacts.root))
    if not profile.build:  # else they are needed where artifacts are built, not here
        check_runtimes(grid.cells)
    digests = image_digests(grid, profile)

    known = partitions()

    def cut(cells: Sequence[PlannedCell]) -> tuple[Slice, ...]:
        slices = pack(cells, sweep.measure, profile, jobs, digests)
        check_budget(slices, jobs.budget_node_hours)
        by_id = {planned.cell.cell_id: planned for planned in cells}
        for slice_ in slices:
            mine = [by_id[cell_id] for cell_id in slice_.cell_ids]
            limit_min = limit_minutes(slice_, mine, sweep.measure, profile)
            check_time_limit(profile, slice_.cpu_type, limit_min, known)
        return slices

    # Before an hour goes into artifacts; again below, when it is known how long they take.
    cut(planned_cells(grid, artifacts))
    with open_run(path, sweep) as folder:
        if folder.plan_file.exists() and not folder.site_file.exists():
            raise UserError(
                f"{folder.path} holds a run of this machine, not of a cluster.",
                "Choose another folder with --out.",
            )
        write_whole(folder.site_file, json.dumps(profile.dump(), indent=1) + "\n")
        if any(not sent.refused for sent in read_sent(folder)):
            plan = take_up_plan(grid, artifacts, folder, display)
            slices = plan.slices.values()
            mode = "replicate" if any(s.copies > 1 for s in slices) else "partition"
            if mode != jobs.mode and any(s.nodes > 1 for s in slices):
                display.say(f"The run goes on as it was planned, in --mode {mode}.")
        else:
            if profile.build:
                built = build_on_cluster(grid, artifacts, folder, display, profile)
            else:
                built = build(grid, artifacts, folder, display)
            provenance = {**folder.identity(), "images": canonical_json(digests)}
            plan = make_plan(grid, built, provenance, cut)
            plan.write(folder.plan_file)
        _send_all(folder, profile, display)
        return folder.path


def resume(
    run: Path | str,
    site: Path | str | None = None,
    store: Path | str | None = None,
    console: Console | None = None,
) -> RunStatus:
    """Submit what is missing of a run, and nothing else: jobs that wait or run are left alone.

    Parameters
    ----------
    site
        A site file in place of the one that the run was submitted with.
    store
        Where artifacts are looked for that are not where they were; by default the user's.

    Raises
    ------
    UserError
        If this is no submitted run, Slurm cannot be asked or refuses, or an image has changed.
    """
    with take_up(Path(run)) as folder:
        if site is None:
            profile = Site.read(folder.site_file)
        else:
            profile = Site.load(find_site(str(site), Path.cwd()))
            write_whole(folder.site_file, json.dumps(profile.dump(), indent=1) + "\n")
        _find_again(folder, profile, ArtifactStore.at(store))
        _send_all(folder, profile, Display(console or Console(stderr=True)))
        return status(folder)


def _find_again(folder: RunFolder, site: Site, store: ArtifactStore) -> None:
    """Write down where the run's artifacts and images are, if it or they have been moved."""
    plan = Plan.read(folder.plan_file)
    gone = [key for key, artifact in plan.artifacts.items() if not artifact.path.exists()]
    files = {key: found.path for key in gone if (found := store.find(key))}
    images = {
        slice_.cpu_type: image
        for slice_ in plan.slices.values()
        if slice_.image and slice_.cpu_type in site.cpu_types
        if (image := site.image(slice_.cpu_type))
    }
    moved = plan.with_files(files).with_images(images)
    if moved != plan:
        moved.write(folder.plan_file)


def cancel_run(run: Path | str) -> int:
    """End all jobs of a run that wait or run; return how many.

    Raises
    ------
    UserError
        If this is no submitted run, or Slurm cannot be asked.
    """
    folder = submitted(Path(run))
    live = [*live_by_slice(folder, read_sent(folder)).values()]
    by_name: dict[str, list[str]] = {}
    for job in live:
        by_name.setdefault(job.name, []).append(job.job_id)
    for name, job_ids in by_name.items():
        record_cancel(folder, name, job_ids)
    cancel([job.job_id for job in live])
    return len(live)


def collect_run(run: Path | str) -> Path:
    """Merge what the jobs of a run have left so far into its `results.h5`; return its path.

    Raises
    ------
    UserError
        If this is no run with a plan, or what was left contradicts itself.
    """
    folder = RunFolder(Path(run).absolute())
    if not folder.plan_file.exists():
        raise UserError(f"{run} is no run of litesweep that has a plan.")
    collect(folder)
    return folder.results_file


def wait(run: Path | str, console: Console | None = None) -> RunStatus:
    """Wait until no job of a run waits or runs, showing how it stands; send what had to wait.

    Where the site limits how many jobs may be submitted at a time, the rest goes as they end.
    """
    folder = submitted(Path(run))
    display = Display(console or Console(stderr=True))
    with display.phase("cluster") as phase:
        while True:
            began = time.monotonic()
            seen = status(folder)
            took_s = time.monotonic() - began
            live = seen.live
            refusal: SlurmError | None = None
            profile = Site.read(folder.site_file)
            if seen.count("waiting") and not seen.scheduler and _has_room(seen, profile):
                try:
                    with take_up(folder.path):
                        count, refusal = send_missing(folder, profile, display, only_unsent=True)
                    live += count
                except BusyError:  # another process is sending them
                    live += 1
                except SlurmError as error:
                    refusal = error
                if refusal and not live:  # nothing is left to wait for
                    raise refusal
            if not live and not seen.scheduler:
                if seen.count("failed"):  # a shared file system may show a last file late
                    time.sleep(LOOK_EVERY_S)
                return status(folder)
            share = seen.cells_done / max(1, sum(job.cells for job in seen.jobs))
            phase.draw(share, refusal.what if refusal else _in_a_line(seen))
            time.sleep(max(LOOK_EVERY_S, took_s / LOOK_SHARE))


def _has_room(seen: RunStatus, site: Site) -> bool:
    """Say whether a call of sbatch is worth it: for all that waits, or a share of what may."""
    most = site.slurm.submitted
    return not most or most - seen.live >= min(seen.count("waiting"), max(1, most // REFILLS))


def _in_a_line(seen: RunStatus) -> str:
    if seen.scheduler:
        return f"Slurm does not answer: {seen.scheduler}"
    states = ", ".join(
        f"{seen.count(state)} {state}"
        for state in ("done", "running", "pending", "failed", "waiting")
        if seen.count(state)
    )
    reasons = {job.reason for job in seen.jobs if job.state == "pending" and job.reason}
    why = f" (pending: {', '.join(sorted(reasons))})" if reasons else ""
    left = duration(seen.seconds_left)
    return f"{seen.cells_done} of {seen.cells} cells done, jobs: {states}{why}, about {left} left"


def image_digests(grid: Grid, site: Site) -> dict[str, str]:
    """Return the SHA-256 of each image that the sweep's jobs need, by its path.

    Raises
    ------
    UserError
        If an image is not there, or the site does not have a CPU type.
    """
    check_cpu_types(grid.cells, grid.sweep.measure, site)
    names = dict.fromkeys(cell.cpu_type for cell in grid.cells)
    images = dict.fromkeys(image for name in names if (image := site.image(name)))
    return {str(image): checked_image(image, site) for image in images}


def _send_all(folder: RunFolder, site: Site, display: Display) -> None:
    """Submit what is missing; raise what Slurm said where it refused some of it."""
    _, error = send_missing(folder, site, display)
    if error:
        raise error
