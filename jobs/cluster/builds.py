"""Building a run's artifacts in a job of the cluster, in an image that has TensorFlow."""

import json
import time
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console

from jobs.cluster.images import checked_image
from jobs.cluster.site import Site
from jobs.cluster.slurm import Request, cancel, live_jobs, send
from jobs.display import Building, Display, duration
from jobs.grid import Grid, lay_out
from jobs.run_folder import RunFolder
from jobs.stores import tell_store
from suite.artifacts.build import Built, build_artifacts
from suite.artifacts.store import ArtifactStore
from suite.atomic import write_whole
from suite.errors import UserError
from suite.files import read_file
from suite.models.source import EXAMPLE_DATA
from suite.sweep import Sweep

LOOK_EVERY_S = 2.0
PATIENCE_S = 10.0
"""For a file that another machine has written to be seen here."""

_BUILT = TypeAdapter(dict[str, Built])


def build_on_cluster(
    grid: Grid, store: ArtifactStore, folder: RunFolder, display: Display, site: Site
) -> dict[str, Built]:
    """Build the artifacts of `grid` in a Slurm job and wait for it.

    Raises
    ------
    UserError
        If the site has no `[build]`, Slurm refuses, or the job ends without having built.
    """
    image = site.build_image
    if site.build is None or image is None:
        raise UserError("The site file has no [build] table.")
    built_file = folder.path / "built.json"
    built_file.unlink(missing_ok=True)
    store.root.mkdir(parents=True, exist_ok=True)
    request = Request(
        name=f"litesweep-{folder.identity()['run_id']}-build",
        cpu_type=site.build.cpu_type,
        image=image,
        image_sha256=checked_image(image, site),
        nodes=1,
        limit_min=max(1, int(site.build.time_limit // 60)),
    )
    sources = {r.source for r in grid.requests.values()}
    paths = {path for s in sources for path in (s.path, s.weights_path, s.data_path) if path}
    ours = {path.parent for path in EXAMPLE_DATA.values()}  # the image has its own
    folders = {path.parent for path in paths} - ours | {grid.sweep.folder}
    [job_id] = send(
        folder,
        site,
        request,
        calls=[(str(folder.path), str(grid.sweep.folder), str(store.root))],
        writes=[store.root],
        reads=folders,
        function=build_run,
    )
    began = time.monotonic()
    try:
        with display.phase("building") as phase:
            while state := _state(request.name):
                elapsed = duration(time.monotonic() - began)
                phase.draw(0.0, f"job {job_id} {state}, {elapsed}")
                time.sleep(LOOK_EVERY_S)
    except BaseException:
        cancel([job_id])
        raise
    deadline = time.monotonic() + PATIENCE_S
    while not built_file.exists():
        if time.monotonic() > deadline:
            log = folder.logs / "slurm" / f"{job_id}_0_log.err"
            raise UserError(
                f"The job {job_id} was to build the artifacts, and ended without.",
                f"Its log: {log}",
            )
        time.sleep(LOOK_EVERY_S / 4)
    said = json.loads(read_file(built_file))
    if "mistake" in said:
        raise UserError(said["mistake"])
    by_cell = _BUILT.validate_python(said["built"])
    return {grid.requests[cell_id].key: built for cell_id, built in by_cell.items()}


def _state(name: str) -> str:
    """Return the state of the job, as long as it is not known to have ended; "" then."""
    try:
        job = next(iter(live_jobs([name])), None)
    except UserError as error:  # slurmctld is restarted, perhaps
        return f"unknown ({error.what})"
    return job.state.lower() if job else ""


def build_run(run_path: str, sweep_folder: str, store: str) -> None:
    """Build the artifacts of a run; the job's part of `build_on_cluster`."""
    folder = RunFolder(Path(run_path))
    built_file = folder.path / "built.json"
    try:
        grid = lay_out(Sweep.load(folder.sweep_file, Path(sweep_folder)))
        building = Building(Display(Console(stderr=True)))
        requests = {request.key: request for request in grid.requests.values()}
        tell_store(folder, ArtifactStore(Path(store)), requests.values())
        built = build_artifacts(
            requests.values(),
            ArtifactStore(Path(store)),
            building.tell,
            folder.logs / "build",
        )
    except UserError as error:
        write_whole(built_file, json.dumps({"mistake": str(error)}))
        return
    by_cell = {cell_id: built[request.key] for cell_id, request in grid.requests.items()}
    dumped = _BUILT.dump_python(by_cell, mode="json")
    write_whole(built_file, json.dumps({"built": dumped}, indent=1))
