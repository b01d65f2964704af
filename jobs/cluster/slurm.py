"""Slurm, seen from where jobs are submitted: what it is asked, and what it answers."""

import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from jobs.cluster.batch import BEGINS, check_lines, srun_again
from jobs.cluster.container import python_command
from jobs.cluster.site import Site
from jobs.run_folder import RunFolder, check_ours
from jobs.worker import measure_on_cluster
from suite.errors import UserError
from suite.topology import parse_cpu_list

LOG = logging.getLogger(__name__)
ASK_TIMEOUT_S = 60
SIGNAL = "B:USR2@10"
"""submitit has Slurm signal a job before its time limit. Apptainer's process outside the container
would end by it, and there is nothing to save: every trial is in the journal when it ends. So only
the batch script gets it, and takes no notice."""
DEFAULT_MAX_ARRAY = 1001
"""Slurm's own default of MaxArraySize."""
DEFAULTS = ("SBATCH_", "SRUN_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SLURM_")
"""Variables that begin so change what Slurm's commands do, and go before an sbatch script: SBATCH_*
and so on are a user's defaults, SLURM_* are a job's that we are called from."""
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_ARGUMENT_BYTES = 100_000
"""Of one argument of a command; Linux takes 131,071."""
WHICH_CLUSTER = ("SLURM_CONF", "SLURM_CLUSTERS")
SUBMITTED_LIMITS = ("MaxSubmitJob", "MaxJobCount")
"""What sbatch names where too many jobs are submitted at a time."""


class SlurmError(UserError):
    """Slurm is not there, does not answer, or refuses."""


@dataclass(frozen=True)
class Request:
    """Jobs of one kind, for one array."""

    name: str
    cpu_type: str
    image: Path | None
    image_sha256: str
    nodes: int
    limit_min: int
    exclude: tuple[str, ...] = ()
    """Hosts that must not be among the nodes."""

    def __post_init__(self) -> None:
        # Of these some come from the run's folder, where anything may have been written.
        for word in (self.name, self.cpu_type, *self.exclude):
            if not WORD.fullmatch(word):
                raise UserError(f"{word!r} cannot be the name of a job, of nodes or of a host.")
        if self.image and not (
            SHA256.fullmatch(self.image_sha256) and str(self.image).isprintable()
        ):
            raise UserError(f"{str(self.image)!r} with sha256 {self.image_sha256!r} is no image.")


@dataclass(frozen=True)
class LiveJob:
    """A job that waits or runs."""

    job_id: str
    """`123`, or `123_4` for an element of an array."""
    name: str
    state: str
    reason: str


def send(
    folder: RunFolder,
    site: Site,
    request: Request,
    *,
    calls: Sequence[tuple[Any, ...]],
    writes: Iterable[Path] = (),
    reads: Iterable[Path] = (),
    function: Any = measure_on_cluster,
) -> list[str]:
    """Submit one job, or an array, in one call of sbatch.

    Parameters
    ----------
    calls
        The arguments of `function` for each job.
    writes, reads
        The folders that the jobs write to beside the run's, and that they only read.

    Returns
    -------
    list of str
        The jobs' ids.

    Raises
    ------
    UserError
        If there is no Slurm here, or sbatch refuses.
    """
    check_ours(folder)
    try:
        executor = submitit.AutoExecutor(
            folder=folder.logs / "slurm",
            cluster="slurm",
            slurm_python=python(site, request, (folder.path, *writes), reads),
        )
    except RuntimeError as error:
        raise UserError(
            f"There is no Slurm here: {error}", "Submit from a login node of the cluster."
        ) from error
    executor.update_parameters(**parameters(site, request))
    try:
        with as_the_site_says():
            jobs = executor.map_array(function, *zip(*calls, strict=True))
    except (RuntimeError, OSError) as error:  # submitit's FailedJobError is a RuntimeError
        said = _said(str(error))
        raise SlurmError(
            f"sbatch refuses the jobs for {request.cpu_type!r}: {said}.",
            "Set submitted under [slurm] in the site file: the rest is sent as jobs end."
            if any(limit in said for limit in SUBMITTED_LIMITS)
            else f"Correct [cpu_types.{request.cpu_type}] in the site file; "
            "`litesweep site check` tries each of its claims.",
        ) from error
    LOG.info("submitted %s jobs %r: %s and so on", len(jobs), request.name, jobs[0].job_id)
    return [str(job.job_id) for job in jobs]


def _said(text: str) -> str:
    """Return what sbatch said, out of what submitit made of it."""
    lines = re.findall(r"sbatch: (?:error: )?(.+)", text) or text.strip().splitlines()[-1:]
    return "; ".join(dict.fromkeys(line.strip().rstrip(".") for line in lines))


def python(
    site: Site, request: Request, writes: Iterable[Path] = (), reads: Iterable[Path] = ()
) -> str:
    """Return the command that starts Python on the nodes."""
    command = python_command(site.container, request.image, writes, reads, site.slurm.stage)
    if site.mpi.type != "mpirun":
        return command
    return f"{site.mpi.mpirun.replace('{ranks}', str(request.nodes))} {command}"


def parameters(site: Site, request: Request) -> dict[str, Any]:
    """Return submitit's parameters for a request: what becomes the sbatch script."""
    cpu_type = site.cpu_types[request.cpu_type]
    options: dict[str, Any] = {"signal": SIGNAL}
    if cpu_type.exclusive:
        options["mem"] = 0
    options |= cpu_type.sbatch
    wanted = {
        "slurm_partition": cpu_type.partition,
        "slurm_constraint": cpu_type.constraint,
        "slurm_account": cpu_type.account,
        "slurm_qos": cpu_type.qos,
        "slurm_exclude": ",".join(request.exclude) or None,
        "slurm_exclusive": cpu_type.exclusive or None,
        "slurm_array_parallelism": site.slurm.parallel or 100_000,
        "slurm_additional_parameters": options,
        "slurm_use_srun": site.mpi.type != "mpirun",
    }
    return {
        "name": request.name,
        "timeout_min": request.limit_min,
        "nodes": request.nodes,
        "tasks_per_node": 1,
        "cpus_per_task": cpu_type.cpus,
        # The host's would shadow the image's packages, or be looked for in it in vain.
        "slurm_setup": [
            BEGINS,
            'trap "" USR2',
            "unset PYTHONPATH PYTHONHOME",
            *site.slurm.setup,
            *check_lines(request.image, request.image_sha256),
            *(srun_again() if site.mpi.type in ("pmi2", "pmix") else ()),
        ],
        "slurm_srun_args": srun_arguments(site, cpu_type.cpus),
        **{key: value for key, value in wanted.items() if value is not None},
    }


def srun_arguments(site: Site, cpus: int) -> list[str]:
    """Return what srun is given beside what the job has."""
    # srun does not inherit --cpus-per-task from sbatch since Slurm 22.05. And a rank that dies
    # must end the others, which would wait for it for ever.
    arguments = ["--kill-on-bad-exit=1", f"--cpus-per-task={cpus}"]
    if site.mpi.type in ("pmi2", "pmix"):
        arguments.insert(0, f"--mpi={site.mpi.type}")
    if site.slurm.cpu_bind:
        arguments.append(f"--cpu-bind={site.slurm.cpu_bind}")
    return [*arguments, *site.slurm.srun]


@contextmanager
def as_the_site_says() -> Iterator[None]:
    """Keep what the environment tells Slurm from the commands that the block calls."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(DEFAULTS) and name not in WHICH_CLUSTER:
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def ask(*command: str) -> str:
    """Return what a command of Slurm prints.

    Raises
    ------
    SlurmError
        If there is no such command, or it fails.
    """
    LOG.info("asked: %s", shlex.join(command))
    try:
        with as_the_site_says():
            said = subprocess.run(
                command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
            )
    except FileNotFoundError:
        raise SlurmError(
            f"There is no {command[0]!r} here.", "Work from a login node of the cluster."
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} does not answer within {ASK_TIMEOUT_S} s.") from None
    if said.returncode:
        words = said.stderr.strip().splitlines() or [f"exit code {said.returncode}"]
        raise SlurmError(f"{command[0]} fails: {words[-1]}.", "Is the cluster up?")
    return said.stdout


def live_jobs(names: Iterable[str], owner: int | None = None) -> list[LiveJob]:
    """Return the jobs of these names that wait or run, elements of arrays one by one.

    Parameters
    ----------
    owner
        The user id whose jobs they are; by default ours.
    """
    wanted = {*names}
    if not wanted:
        return []
    # Not by their names: thousands do not fit in an argument, and slurmctld would send the jobs
    # of all users for squeue to choose from.
    user = os.geteuid() if owner is None else owner
    text = ask("squeue", "-h", "-r", f"--user={user}", "-o", "%i|%j|%T|%r")
    found = (LiveJob(*line.split("|", 3)) for line in text.splitlines() if line.count("|") >= 3)
    return [job for job in found if job.name in wanted]


def ended_jobs(job_ids: Iterable[str], since: str, owner: int | None = None) -> dict[str, str]:
    """Return the last state of jobs by id, as far as the accounting knows; it may know nothing.

    Parameters
    ----------
    since
        When the first of them was submitted, as sacct takes it.
    owner
        The user id whose jobs they are; by default ours.
    """
    wanted = sorted({job_id.partition("_")[0] for job_id in job_ids if job_id})
    if not wanted or not shutil.which("sacct"):
        return {}
    listed = ",".join(wanted)
    user = os.geteuid() if owner is None else owner
    which = ("-j", listed) if len(listed) <= MOST_ARGUMENT_BYTES else ("-u", str(user))
    try:
        text = ask("sacct", "-n", "-X", "-P", "-S", since, "-o", "JobID,State", *which)
    except UserError:
        return {}
    pairs = (line.split("|", 1) for line in text.splitlines() if "|" in line)
    return {one: state.partition(" ")[0] for job_id, state in pairs for one in _each(job_id)}


def _each(job_id: str) -> list[str]:
    """Return the ids in `12_[0-2,5]`, as the accounting names elements that have not started."""
    array, bracket, elements = job_id.partition("_[")
    if not bracket:
        return [job_id]
    numbers = parse_cpu_list(elements.partition("]")[0].partition("%")[0])
    return [f"{array}_{number}" for number in numbers]


def cancel(job_ids: Iterable[str]) -> None:
    """End jobs, whatever they are at; of an array all elements, whichever of them is named."""
    # One by one, those of many arrays would not fit in a command.
    if wanted := sorted({job_id.partition("_")[0] for job_id in job_ids}):
        ask("scancel", *wanted)


def max_array(site: Site) -> int:
    """Return how many jobs an array may have here: what the cluster allows, or the site file."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    allowed = max(1, int(found[1]) if found else DEFAULT_MAX_ARRAY)
    return min(allowed, site.slurm.array or allowed)
