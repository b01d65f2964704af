"""The control groups that this process is in: how much of the CPUs' time they grant, and granted.

In version 2 there is one tree, in version 1 one for each controller. What limits a process may be
its own group or any above it, so all of them are asked.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suite.topology import cpus_in, text_of


@dataclass(frozen=True)
class Throttling:
    """How often quotas have held back this process's groups, and for how long."""

    count: int
    throttled_ns: int
    """Summed over CPUs and groups."""


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many CPUs' time is granted: the least of all groups, infinite without a limit.

    None where no group says (`cpu.max` in version 2, `cpu.cfs_quota_us` in version 1).
    """
    quotas = []
    for group in _groups("cpu", root):
        v2 = text_of(group / "cpu.max").split()
        v1 = [text_of(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        quota, period = v2 if len(v2) == 2 else v1
        if quota in ("max", "-1"):
            quotas.append(math.inf)
        elif quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def throttling(root: Path = Path("/")) -> Throttling | None:
    """Return how the groups have been held back since they were made; none where none says."""
    counts, times_ns = [], []
    for group in _groups("cpu", root):
        lines = [line.split() for line in text_of(group / "cpu.stat").splitlines()]
        stat = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
        if "nr_throttled" in stat:
            counts.append(stat["nr_throttled"])
            times_ns.append(stat.get("throttled_time", 1000 * stat.get("throttled_usec", 0)))
    return Throttling(sum(counts), sum(times_ns)) if counts else None


def cpuset(root: Path = Path("/")) -> tuple[int, ...] | None:
    """Return the CPUs that the group may use, before any affinity; none where it does not say."""
    for group in _groups("cpuset", root):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            if cpus := cpus_in(group / name):
                return cpus
    return None


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folder of this process's own group, then those above it."""
    mounted = root / "sys/fs/cgroup"
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, colon, group = named.partition(":")
        if not colon or (controllers and controller not in controllers.split(",")):
            continue
        # Version 2 names no controllers. Version 1 may name them in another order than the folder.
        base = next(filter(Path.is_dir, (mounted / controllers, mounted / controller)), mounted)
        own = base / group.lstrip("/")
        yield own
        if own != base:
            above = own.parents
            yield from above[: above.index(base) + 1] if base in above else ()
