"""What a job does on its nodes: measure a slice, trial by trial, into journals and a shard."""

import errno
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import archspec.cpu

from jobs.collect import left_by, slice_results, write_shard
from jobs.grid import check_cpus, cpu_count
from jobs.meter import Meter
from jobs.plan import Plan, Slice
from jobs.profiles import profile_cells
from jobs.progress import TELL_EVERY_S, Teller, tell_of_the_dead
from jobs.provenance import package_versions
from jobs.run_folder import RunFolder
from jobs.shares import share_out, standing
from jobs.staging import staged
from jobs.vigil import PATIENCE_S, Vigil
from jobs.world import Alone, MpiWorld, World
from suite.atomic import sync
from suite.canonical import canonical_json
from suite.cgroup import cpu_quota
from suite.doctor import GLANCE_S, examine, warnings
from suite.energy import Power, find_counters, idle_power
from suite.errors import BROKEN, NO_ROOM, UserError
from suite.files import refuse_link, write_file
from suite.journal import Journal, read_journal
from suite.node import describe_node
from suite.process import is_running
from suite.results.merge import merge
from suite.results.read import read_results
from suite.results.rows import NodeRow, Results, TrialFlag
from suite.rounds import Progress, run_rounds, unfinished
from suite.topology import granted_cpus, pin_order, read_cpus
from suite.trial.instruments import Instruments
from suite.watch import Watch


@dataclass(frozen=True)
class Outcome:
    """How a job ended. It is returned, not raised: an executor may open a debugger on a raise."""

    mistake: str = ""
    """Of the user, or of the machine he chose: a message to act on."""
    fault: str = ""
    """Of ours: a traceback."""


def measure_slice(run_path: str, index: int, waiting: int | None = None) -> Outcome:
    """Measure the slice number `index` of the run in the folder `run_path`; raise nothing.

    Parameters
    ----------
    waiting
        The process that waits for the outcome: without it no trial is begun. By default our own.
    """
    try:
        folder = RunFolder(Path(run_path))
        plan = Plan.read_slice(folder.plan_file, index)
        waits = partial(is_running, waiting or os.getpid())
        _measure(folder, plan, index, Alone(), is_wanted=waits)
    except Exception as error:
        return _outcome(error, run_path)
    return Outcome()


def measure_on_cluster(run_path: str, index: int, mpi: bool, stage: str = "") -> None:
    """Do the same as one rank of a Slurm job; what goes wrong is written down and ends all ranks.

    Parameters
    ----------
    mpi
        Whether the job's ranks are to form one MPI world. Without, there is one.
    stage
        The folder of the node's own that artifacts are copied to; empty where they are not.
    """
    folder = RunFolder(Path(run_path))
    world: World = Alone()
    try:
        if mpi:
            world = MpiWorld(int(os.environ["SLURM_NTASKS"]))
        plan = Plan.read_slice(folder.plan_file, index)
        _check_release(plan)
        _measure(folder, plan, index, world, stage=stage, tell_every_s=TELL_EVERY_S)
    except Exception as error:
        # Whatever it is: a rank that only died would leave the others waiting.
        outcome = _outcome(error, run_path)
        text = outcome.mistake or outcome.fault
        # The disk may be what is wrong, and standard error is a file on it.
        with suppress(OSError):
            print(f"litesweep: {text}", file=sys.stderr, flush=True)
        with suppress(OSError):
            folder.job_logs(index).mkdir(parents=True, exist_ok=True)
            write_file(folder.word(index, platform.node()), text)
        world.abort()


def _outcome(error: Exception, run_path: str) -> Outcome:
    if isinstance(error, UserError):
        return Outcome(mistake=str(error))
    if isinstance(error, OSError) and error.errno in (
        *NO_ROOM,
        *BROKEN,
        *(errno.EROFS, errno.EACCES, errno.ENXIO),
    ):
        where = error.filename or run_path
        return Outcome(mistake=f"{where} cannot be read or written: {error.strerror}.")
    return Outcome(fault="".join(traceback.format_exception(error)))


def _measure(
    folder: RunFolder,
    plan: Plan,
    index: int,
    world: World,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
    stage: str = "",
    tell_every_s: float = 0.0,
) -> None:
    slice_ = plan.slices[index]
    planned = {cell.cell.cell_id: cell for cell in plan.slice_cells(index)}
    counters = find_counters()
    node = describe_node()
    places = read_cpus(granted_cpus())
    cpus = pin_order(places)
    journals = folder.journal(index, node.host).parent
    for mine in (folder.job_logs(index), journals):
        refuse_link(mine)
        mine.mkdir(parents=True, exist_ok=True)
    sync(journals.parent)  # a journal in a folder that a power cut takes away is no journal
    flags = _check_node(node, slice_, cpus, folder.warning(index, node.host))
    hosts = world.share(node.host)
    if len({*hosts}) < len(hosts):
        raise UserError(f"Two ranks are on one node: {', '.join(hosts)}.")

    shares, finished = world.from_first(partial(_shared_out, folder, plan, index, hosts))
    cells = [planned[cell_id].cell for cell_id in shares[node.host]]
    for cell in cells:
        check_cpus(cell, len(cpus), plan.measure, f"{node.host} grants {cpu_count(len(cpus))}")
    measure = plan.measure.model_copy(update={"budget": slice_.budget_s})
    ours = {*shares[node.host], *finished.get(node.host, ())}
    teller = Teller(folder.progress(index, node.host), [*planned], ours, tell_every_s)
    # What was measured before may still lack its profile.
    touched = [*planned] if measure.profile else [cell.cell_id for cell in cells]
    shared = {cell_id: plan.artifacts[planned[cell_id].artifact_key] for cell_id in touched}
    with (
        staged(shared, stage, folder.unstaged(index, node.host)) as artifacts,
        Journal(folder.journal(index, node.host), plan.run_id) as journal,
    ):
        content = read_journal(folder.journal(index, node.host))
        if content.nodes[-1:] != (node,):
            journal.append(node)
        recorded = [trial for trial in content.trials if trial.node_id == node.node_id]
        idle = Power()
        if counters.paths and unfinished(cells, measure, recorded):
            left, now = shares[node.host], "the idle node"
            teller.tell(Progress(len(cells), left, len(recorded), 0, now, measure.budget))
            idle = idle_power(counters)
        watch = Watch(plan.run_id, index, node.node_id, cpus, journal.append)
        meter = Meter(
            plan,
            cpus,
            artifacts,
            journal=journal,
            watch=watch,
            flags=flags,
            is_wanted=is_wanted,
            instruments=Instruments(counters, idle, places, Path("/")),
        )
        run_rounds(
            cells=cells,
            measure=measure,
            recorded=recorded,
            run_trial=meter.measure,
            report=teller.tell,
            prior_s={cell_id: cell.trial_seconds for cell_id, cell in planned.items()},
        )
        watch.after()
        if measure.profile:
            content = read_journal(folder.journal(index, node.host))
            lacks = profile_cells(
                [cell.cell for cell in planned.values()],
                artifacts,
                trials=[trial for trial in content.trials if trial.node_id == node.node_id],
                recorded=[o for o in content.operators if o.operator_node_id == node.node_id],
                meter=meter,
                report=teller.tell,
            )
            write_file(folder.unprofiled(index, node.host), "\n".join(lacks))
        teller.tell_the_end(len(cells))
    world.wait(_vigil(folder, plan, index, hosts, world.rank).look)
    gathered = world.gather(slice_results(folder, plan, index, [node.host], _job(slice_)))
    if gathered is not None:
        _leave_shard(folder, plan, index, gathered, hosts)


def _shared_out(
    folder: RunFolder, plan: Plan, index: int, hosts: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, set[str]]]:
    """Return the `cell_id`s that each host measures, and those that each has finished before."""
    cells = plan.slice_cells(index)
    left = _merged(slice_results(folder, plan, index, []), left_by(folder, plan, index))
    state = standing(plan, index, left)
    seconds = {planned.cell.cell_id: planned.trial_seconds for planned in cells}
    finished = {host: state.finished_by(host) for host in folder.journal_hosts(index)}
    for host in finished.keys() - {*hosts}:
        tell_of_the_dead(folder.progress(index, host), [*seconds], finished[host])
    return share_out([planned.cell for planned in cells], seconds, state, hosts), finished


def _vigil(folder: RunFolder, plan: Plan, index: int, hosts: Sequence[str], rank: int) -> Vigil:
    """Have the first rank watch all others, and all others the first."""
    watched = hosts[:1] if rank else hosts[1:]
    return Vigil(
        folder.progress(index, hosts[rank]),
        {host: folder.progress(index, host) for host in watched},
        2 * plan.measure.trial_timeout + PATIENCE_S,
    )


def _leave_shard(
    folder: RunFolder, plan: Plan, index: int, gathered: Results, hosts: Sequence[str]
) -> None:
    """Write the slice's shard, from what this job's nodes have gathered and dead ones have left.

    Raises
    ------
    UserError
        If more nodes must measure a cell than there were.
    """
    # Of this slice, too: what a job that died before has left, and a twin of this one.
    whole = _merged(gathered, left_by(folder, plan, index, known=hosts))
    if missing := standing(plan, index, whole).wanted:
        raise UserError(
            f"{len(missing)} cells are still to be measured on another node than "
            f"{', '.join(hosts)}.",
            "`litesweep resume` asks for one.",
        )
    write_shard(folder, index, whole)


def _merged(first: Results, more: Iterable[Path | Results]) -> Results:
    return merge([first, *(p if isinstance(p, Results) else read_results(p) for p in more)])


def _check_node(node: NodeRow, slice_: Slice, cpus: tuple[int, ...], warning: Path) -> TrialFlag:
    """Hold the node against what the job asked for; return what is to be said of its trials.

    What disturbs its measurements is written to the file `warning`.

    Raises
    ------
    UserError
        If fewer CPUs are granted than were asked for.
    """
    quota = cpu_quota()
    for granted, by in ((len(cpus), "affinity"), (quota, "cgroup quota")):
        if granted is not None and granted < slice_.cpus:
            raise UserError(
                f"{node.host} grants {granted:g} CPUs by its {by}; the site file says "
                f"cpus = {slice_.cpus} for {slice_.cpu_type!r}.",
                "Correct cpus there, or what srun is given: --cpus-per-task, --cpu-bind.",
            )
    said, flags = warnings(examine(cpus, watch_s=GLANCE_S), node.host), TrialFlag(0)
    if slice_.expect and not is_microarchitecture(node.microarchitecture, slice_.expect):
        flags = TrialFlag.CPU_TYPE_MISMATCH
        said.append(
            f"cpu_type_mismatch: {node.host} is {node.microarchitecture}, and the site file "
            f"expects {slice_.expect} for {slice_.cpu_type!r}: its trials are not valid."
        )
    if said:
        write_file(warning, "\n".join(said))
    return flags


def is_microarchitecture(found: str, expected: str) -> bool:
    """Say whether a node is what is expected: that one, or of a generic level such as x86_64_v3."""
    if found == expected:
        return True
    level: Any = archspec.cpu.TARGETS.get(expected)
    node: Any = archspec.cpu.TARGETS.get(found)
    return bool(level and node and level.vendor == "generic" and level in node.ancestors)


def _check_release(plan: Plan) -> None:
    ours, theirs = version("litesweep"), json.loads(plan.provenance["packages"])["litesweep"]
    if ours != theirs:
        raise UserError(
            f"litesweep {ours} runs on the nodes, and {theirs} has planned the run.",
            "Build the image anew, or install the same release in both places.",
        )


def _job(slice_: Slice) -> dict[str, str]:
    """Return the provenance of this job: where it ran, and in what."""
    image = f" in {slice_.image} (sha256 {slice_.image_sha256})" if slice_.image else ""
    job_id = os.environ.get("SLURM_JOB_ID")
    said = {"job_packages": canonical_json(package_versions())}
    if job_id:
        nodes = os.environ.get("SLURM_JOB_NODELIST", "?")
        said["job_slurm"] = f"{job_id} on {nodes}, {slice_.cpu_type}{image}"
    return said
