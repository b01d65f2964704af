"""What of a run is sent to Slurm: the slices that lack something and have no job."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from jobs.cluster.container import check_folders
from jobs.cluster.images import checked_image
from jobs.cluster.packing import limit_minutes
from jobs.cluster.partitions import nodes_in_service
from jobs.cluster.sent import read_sent, record_answer, record_intent
from jobs.cluster.site import Site
from jobs.cluster.slurm import Request, SlurmError, max_array, send
from jobs.cluster.status import live_by_slice
from jobs.collect import has_shard, slice_results, write_shard
from jobs.display import Display
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.shares import nodes_wanted, standing
from jobs.stores import tell_stores
from suite.artifacts.store import store_of
from suite.errors import UserError

MOST_REFUSALS = 3
"""Calls of sbatch in a row. One that is not answered in time says nothing of the next."""


def send_missing(
    folder: RunFolder, site: Site, display: Display, only_unsent: bool = False
) -> tuple[int, SlurmError | None]:
    """Submit the slices that lack something and have no job.

    Returns
    -------
    int, SlurmError or None
        How many were submitted; and if Slurm refused others, what it said first.
    """
    plan = Plan.read(folder.plan_file)
    tell_stores(folder, plan)
    stores = {store_of(artifact.path) for artifact in plan.artifacts.values()}
    check_folders(site.container, (folder.path, *stores))
    sent = read_sent(folder)
    live = live_by_slice(folder, sent)
    known = {index for s in sent if not s.refused for index in s.slices} if only_unsent else set()
    waiting: dict[Request, list[int]] = {}
    for index in plan.slices:
        if index in live or index in known or has_shard(folder, index):
            continue
        if request := request_for(folder, plan, index, site):
            waiting.setdefault(request, []).append(index)
    room = site.slurm.submitted - len(live) if site.slurm.submitted else len(plan.slices)
    _check_files(plan, [index for indices in waiting.values() for index in indices], site)
    most = max_array(site) if waiting else 0
    groups = (
        (request, indices[first : first + most])
        for request, indices in avoiding_together(waiting, cache(partial(nodes_in_service, site)))
        for first in range(0, len(indices), most)
    )
    count, in_a_row = 0, 0
    refusal: SlurmError | None = None
    try:
        for number, (request, indices) in enumerate(groups, len(sent)):
            if count >= room or in_a_row == MOST_REFUSALS:
                break
            group = indices[: room - count]
            named = replace(request, name=f"{request.name}-{number}")
            try:
                _send(folder, site, named, group, stores)
                count, in_a_row = count + len(group), 0
            except SlurmError as error:
                refusal, in_a_row = refusal or error, in_a_row + 1
    finally:  # whatever ends it, what went before stays
        if count:
            display.say(f"submitted {count} job{'s' * (count > 1)} for {folder.path}")
    return count, refusal


def avoiding_together(
    waiting: Mapping[Request, list[int]], nodes_of: Callable[[str], int]
) -> list[tuple[Request, list[int]]]:
    """Join jobs that differ only in the nodes that they avoid: then each avoids those of all.

    They are joined as long as more than half of the nodes that they may go to are left to them, and
    enough for one of them. So on a few nodes they are not. What they measure stays the same.

    Parameters
    ----------
    waiting
        The slices of each kind of job.
    nodes_of
        Tells how many nodes jobs for a CPU type may go to; 0 if that is not known.
    """
    joined: dict[Request, list[int]] = {}
    last: dict[Request, Request] = {}
    for request in sorted(waiting, key=lambda request: request.exclude):
        alike, sent_as, indices = replace(request, exclude=()), request, waiting[request]
        if request.exclude and (before := last.get(alike)):
            avoided = {*before.exclude, *request.exclude}
            nodes = nodes_of(request.cpu_type)
            left = nodes - len(avoided)
            if 2 * left > nodes and left >= request.nodes:
                sent_as = replace(request, exclude=tuple(sorted(avoided)))
                indices = sorted([*joined.pop(before), *indices])
        if request.exclude:
            last[alike] = sent_as
        joined[sent_as] = indices
    return sorted(joined.items(), key=lambda item: item[1])


def request_for(folder: RunFolder, plan: Plan, index: int, site: Site) -> Request | None:
    """Return the job that finishes a slice; none where nothing is left to measure."""
    slice_ = plan.slices[index]
    left = slice_results(folder, plan, index)
    state = standing(plan, index, left)
    nodes = nodes_wanted(plan, index, state)
    if nodes == 0:  # it died between its last trial and its shard
        write_shard(folder, index, left)
        return None
    if slice_.cpu_type not in site.cpu_types:
        raise UserError(f"The site file has no [cpu_types.{slice_.cpu_type}], which the run needs.")
    if bool(slice_.image) != (site.image(slice_.cpu_type) is not None):
        raise UserError(
            f"The run was planned {f'in {slice_.image}' if slice_.image else 'without a container'}"
            f", and the site file says runtime = {site.container.runtime!r}.",
            "Elsewhere it is another run: submit the sweep to another folder with --out.",
        )
    return Request(
        name=f"litesweep-{plan.run_id}",
        cpu_type=slice_.cpu_type,
        image=Path(slice_.image) if slice_.image else None,
        image_sha256=slice_.image_sha256,
        nodes=nodes,
        limit_min=limit_minutes(slice_, plan.slice_cells(index), plan.measure, site),
        exclude=tuple(sorted(state.hosts_with_all)) if slice_.copies > 1 else (),
    )


def _send(
    folder: RunFolder,
    site: Site,
    request: Request,
    indices: Sequence[int],
    stores: Collection[Path],
) -> None:
    for index in indices:  # what was said of a job that died is not said of the next
        for path in folder.job_logs(index).glob("*.txt"):
            path.unlink()
    record_intent(folder, request.name, indices)
    mpi = site.mpi.type != "none"
    job_ids: list[str] = []
    try:
        job_ids = send(
            folder,
            site,
            request,
            calls=[(str(folder.path), index, mpi, site.slurm.stage or "") for index in indices],
            reads=stores,
        )
    finally:
        record_answer(folder, request.name, job_ids)


def _check_files(plan: Plan, indices: Sequence[int], site: Site) -> None:
    """Refuse to submit where an image or an artifact is not what the run was planned with."""
    images = {plan.slices[i].image: plan.slices[i].image_sha256 for i in indices}
    for image, planned in images.items():
        if image and (found := checked_image(Path(image), site)) != planned:
            raise UserError(
                f"The image {image} is not the one that the run was planned with (sha256 {found}, "
                f"not {planned}).",
                "Put the old one back, or submit the sweep to another folder with --out.",
            )
    keys = {cell.artifact_key for index in indices for cell in plan.slice_cells(index)}
    for artifact in (plan.artifacts[key] for key in sorted(keys)):
        if not artifact.path.exists():
            raise UserError(
                f"The artifact {artifact.path} is gone.",
                "Say where it is now with --store, or submit the sweep again with the same --out: "
                "it is built anew.",
            )
