"""The CPUs of this machine: which are granted, which share a core, in what order to use them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Cpu:
    """A logical CPU and where it sits."""

    numa_node: int
    package: int
    core: int
    number: int


def granted_cpus() -> tuple[int, ...]:
    """Return the logical CPUs that the operating system lets this process run on, ascending."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many CPUs' time the cgroup grants; none where it does not say.

    The least of the quotas from this process's group up to the root, in cgroup v2 (`cpu.max`) and
    v1 (`cpu.cfs_quota_us`).
    """
    quotas = []
    for line in _read(root / "proc/self/cgroup", "").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / controllers  # v2 has no controllers here
        for folder in (base / group.lstrip("/"), *(base / group.lstrip("/")).parents):
            if controllers:
                quota = _read(folder / "cpu.cfs_quota_us", "-1")
                period = _read(folder / "cpu.cfs_period_us", "100000")
            else:
                quota, _, period = _read(folder / "cpu.max", "max 100000").partition(" ")
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
            if folder == base:
                break
    return min(quotas, default=None)


def read_cpus(numbers: Iterable[int], sys: Path = Path("/sys")) -> tuple[Cpu, ...]:
    """Read where the CPUs `numbers` sit.

    A machine that does not say (some virtual ones) gets the plainest answer: one NUMA node, one
    package, every CPU a core of its own.
    """
    numa_nodes = {
        cpu: int(folder.name.removeprefix("node"))
        for folder in sys.glob("devices/system/node/node[0-9]*")
        for cpu in parse_cpu_list(_read(folder / "cpulist", ""))
    }
    cpus = []
    for number in numbers:
        topology = sys / f"devices/system/cpu/cpu{number}/topology"
        package = int(_read(topology / "physical_package_id", "0"))
        core = int(_read(topology / "core_id", str(number)))
        cpus.append(Cpu(numa_nodes.get(number, 0), package, core, number))
    return tuple(cpus)


def pin_order(cpus: Iterable[Cpu]) -> tuple[int, ...]:
    """Return CPU numbers in the order in which threads take them.

    Physical cores before SMT siblings, and within each one NUMA node until it is full: the first
    n CPUs are where n threads disturb each other least and reach the same memory.
    """
    seen: dict[tuple[int, int], int] = {}
    ranked = []
    for cpu in sorted(cpus):
        sibling = seen.setdefault((cpu.package, cpu.core), 0)
        seen[cpu.package, cpu.core] += 1
        ranked.append((sibling, cpu))
    return tuple(cpu.number for _, cpu in sorted(ranked))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's list form: `"0-2,8"` is (0, 1, 2, 8)."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def format_cpu_list(numbers: Iterable[int]) -> str:
    """Write the kernel's list form: (0, 1, 2, 8) is `"0-2,8"`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)


def _read(path: Path, default: str) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return default
