"""The cluster's partitions: what a job in one of them may ask for."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.cluster.site import Site
from jobs.cluster.slurm import SlurmError, ask
from suite.errors import UserError

IN_SERVICE = ("idle", "mixed", "allocated", "completing", "planned", "reserved")
"""States of nodes that take jobs, now or later."""
SAVING = "~#-+"
"""What sinfo adds to them where a node is asleep, wakes up, or is kept for a job to come."""


@dataclass(frozen=True)
class Partition:
    """A partition, as sinfo tells of it."""

    name: str
    is_default: bool
    nodes: int
    limit_min: int | None
    """Most minutes that a job may take; none where there is no limit."""


def partitions() -> list[Partition]:
    """Return the partitions of the cluster.

    Raises
    ------
    UserError
        If Slurm cannot be asked.
    """
    lines = ask("sinfo", "-h", "-o", "%P|%D|%l").splitlines()
    return [
        Partition(name.rstrip("*"), name.endswith("*"), int(nodes), _minutes(limit))
        for name, nodes, limit in (line.split("|") for line in lines if line.count("|") == 2)
    ]


def _minutes(limit: str) -> int | None:
    """Read `30:00`, `1:00:00` or `2-00:00:00`; anything else is no limit."""
    days, _, clock = limit.rpartition("-")
    try:
        *hours, minutes, _ = map(int, clock.split(":"))
        return (int(days or 0) * 24 + (hours[0] if hours else 0)) * 60 + minutes
    except ValueError:
        return None


def meant(site: Site, name: str, known: Sequence[Partition]) -> list[Partition]:
    """Return the partitions that jobs for a CPU type may go to."""
    asked = site.cpu_types[name].partition
    if asked is None:
        return [partition for partition in known if partition.is_default]
    return [partition for partition in known if partition.name in asked.split(",")]


def check_time_limit(site: Site, name: str, limit_min: int, known: Sequence[Partition]) -> None:
    """Refuse a job that its partition would keep waiting for ever.

    sbatch takes it all the same, unless the cluster has EnforcePartLimits. A quality of service may
    go over a partition's limit: with `qos` nothing is refused.

    Raises
    ------
    UserError
        If it is one.
    """
    limits = [partition.limit_min for partition in meant(site, name, known)]
    allowed = max((limit for limit in limits if limit is not None), default=limit_min)
    if limit_min > allowed and None not in limits and site.cpu_types[name].qos is None:
        raise UserError(
            f"A job for {name!r} is to have {limit_min} min; its partition allows {allowed} min, "
            "and Slurm would keep it waiting for ever.",
            f'Set time_limit = "{allowed} min" under [cpu_types.{name}] in the site file: the jobs '
            "become shorter.",
        )


def nodes_in_service(site: Site, name: str) -> int:
    """Return how many nodes jobs for a CPU type may go to; 0 if that cannot be told.

    It cannot where Slurm does not answer, the site file names several partitions or gives further
    options of sbatch, or the constraint is more than features that a node must have.
    """
    cpu_type = site.cpu_types[name]
    if cpu_type.sbatch:
        return 0
    try:
        lines = ask("sinfo", "-h", "-o", "%P|%D|%T|%c|%f").splitlines()
    except SlurmError:
        return 0
    wanted = {*cpu_type.constraint.split("&")} if cpu_type.constraint else set()
    asked = cpu_type.partition
    return sum(
        int(nodes)
        for partition, nodes, state, cpus, features in (
            line.split("|", 4) for line in lines if line.count("|") >= 4
        )
        if (partition.rstrip("*") == asked if asked else partition.endswith("*"))
        and state.rstrip(SAVING) in IN_SERVICE
        and cpus.isdigit()
        and int(cpus) >= cpu_type.cpus
        and wanted <= {*features.split(",")}
    )
