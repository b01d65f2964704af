"""The CPUs of this machine: which are granted, which share a core, in what order to use them."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
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


def read_cpus(numbers: Iterable[int], sys: Path = Path("/sys")) -> tuple[Cpu, ...]:
    """Read where the CPUs `numbers` sit.

    A machine that does not say (some virtual ones) gets the plainest answer: one NUMA node, one
    package, every CPU a core of its own.
    """
    numa_nodes = {
        cpu: int(folder.name.removeprefix("node"))
        for folder in sys.glob("devices/system/node/node[0-9]*")
        for cpu in cpus_in(folder / "cpulist")
    }
    cpus = []
    for number in numbers:
        topology = sys / f"devices/system/cpu/cpu{number}/topology"
        package = _number_in(topology / "physical_package_id", 0)
        core = _number_in(topology / "core_id", number)
        cpus.append(Cpu(numa_nodes.get(number, 0), package, core, number))
    return tuple(cpus)


def pin_order(cpus: Iterable[Cpu]) -> tuple[int, ...]:
    """Return CPU numbers in the order in which threads take them.

    Physical cores before SMT siblings, and within each one NUMA node until it is full: the first
    n CPUs are where n threads disturb each other least and reach the same memory.
    """
    return tuple(cpu.number for _, cpu in _ranked(cpus))


def place_instances(
    cpus: Iterable[Cpu], threads: int, instances: int
) -> tuple[tuple[int, ...], ...]:
    """Return the CPUs of each of several instances.

    CPUs are taken in the order of `pin_order`, but an instance stays on one NUMA node if it can:
    it passes over what is left of a node that is too small for it. Where there are too few CPUs for
    all, instances take those that there are in turn.
    """
    ranked = _ranked(cpus)
    free: dict[int, list[Cpu]] = {}
    for sibling, cpu in ranked:
        free.setdefault(sibling, []).append(cpu)
    if threads * instances > len(ranked):
        numbers = cycle(cpu.number for _, cpu in ranked)
        return tuple(tuple(islice(numbers, min(threads, len(ranked)))) for _ in range(instances))
    return tuple(_taken(free, threads) for _ in range(instances))


def _taken(free: dict[int, list[Cpu]], threads: int) -> tuple[int, ...]:
    """Take CPUs for an instance: of one NUMA node, else of one rank of siblings, else any."""
    for of_rank in free.values():
        nodes = {node: [c for c in of_rank if c.numa_node == node] for node in _nodes(of_rank)}
        whole = [cpus for cpus in nodes.values() if len(cpus) >= threads]
        found = [*whole, *([of_rank] if len(of_rank) >= threads else [])]
        if found:
            break
    else:
        found = [[cpu for of_rank in free.values() for cpu in of_rank]]
    taken = found[0][:threads]
    for of_rank in free.values():
        of_rank[:] = [cpu for cpu in of_rank if cpu not in taken]
    return tuple(cpu.number for cpu in taken)


def _nodes(cpus: Iterable[Cpu]) -> list[int]:
    return [*dict.fromkeys(cpu.numa_node for cpu in cpus)]


def _ranked(cpus: Iterable[Cpu]) -> list[tuple[int, Cpu]]:
    """Return CPUs in pin order, each with how many siblings of its core come before it."""
    seen: dict[tuple[int, int], int] = {}
    ranked = []
    for cpu in sorted(cpus):
        sibling = seen.setdefault((cpu.package, cpu.core), 0)
        seen[cpu.package, cpu.core] += 1
        ranked.append((sibling, cpu))
    return sorted(ranked)


def elsewhere(taken: Collection[int], cpus: Iterable[Cpu]) -> int | None:
    """Return one of `cpus` that shares no core with the CPUs `taken`; None where there is none."""
    all_cpus = tuple(cpus)
    at_work = {(cpu.package, cpu.core) for cpu in all_cpus if cpu.number in taken}
    free = [cpu for cpu in all_cpus if (cpu.package, cpu.core) not in at_work]
    return max(free).number if free else None


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


def text_of(path: Path) -> str:
    """Return what a file of the kernel's says, without blanks around it; "" where it is absent."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number_in(path: Path, default: int) -> int:
    try:
        return int(text_of(path))
    except ValueError:
        return default


def cpus_in(path: Path) -> tuple[int, ...]:
    """Return the list of CPUs in a file of the kernel's; none where there is no such list."""
    try:
        return parse_cpu_list(text_of(path))
    except ValueError:
        return ()
