"""What of a node's state bears on a measurement, and what to do about it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suite.energy import Counters, find_counters
from suite.probe import Probe, run_probe
from suite.state import Machine, State, read_machine, read_state
from suite.topology import format_cpu_list

WATCH_S = 0.5
"""How long others are watched; the kernel counts in ticks of 10 ms."""
GLANCE_S = 0.05
"""The same before a job, whose time is for measuring."""
BUSY_SHARE = 0.5
STEAL_SHARE = 0.01
PROBE_SPREAD = 0.1
NOMINAL_SHARE = 0.9
NEAR_LIMIT_DEGC = 10
QUICK_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "timebase")
"""Those that a process reads without a system call."""


@dataclass(frozen=True)
class Finding:
    """Something about a node that makes its numbers worse, or other than one might think."""

    severity: Literal["warning", "note"]
    """A warning disturbs measurements; a note is to be known when numbers are compared."""
    name: str
    what: str
    advice: str


@dataclass(frozen=True)
class Examination:
    """What a node was like, and what others did on it while this process slept."""

    machine: Machine
    probe: Probe
    state: State
    """Just after the probe, so that its frequency is that of a CPU at work."""
    later: State
    """When this process has slept: what has happened since was others' doing."""
    counters: Counters


def examine(
    granted: Sequence[int],
    root: Path = Path("/"),
    *,
    watch_s: float = WATCH_S,
    sleep: Callable[[float], object] = time.sleep,
    probe: Callable[[int], Probe] = run_probe,
) -> Examination:
    """Examine this node.

    Parameters
    ----------
    granted
        The CPUs of this process's affinity, in the order in which threads take them.
    root
        Where `proc` and `sys` are found.
    watch_s
        How long others are watched; it takes little more in all.
    """
    machine = read_machine(granted, root)
    probed = probe(granted[0])
    state = read_state(granted, root)
    sleep(watch_s)
    later = read_state(granted, root)
    return Examination(machine, probed, state, later, find_counters(root, sleep))


def diagnose(seen: Examination) -> tuple[Finding, ...]:
    """Return what is to be said of a node, warnings first; of what is absent, nothing."""
    found = (*_cpus(seen.machine), *_time(seen), *_speed(seen), *_memory(seen), *_energy(seen))
    return tuple(sorted(found, key=lambda finding: finding.severity, reverse=True))


def warnings(seen: Examination, host: str) -> list[str]:
    """Return what disturbs measurements on a node, a line each."""
    findings = [finding for finding in diagnose(seen) if finding.severity == "warning"]
    return [f"{finding.name}: on {host} {finding.what}" for finding in findings]


def _warning(name: str, what: str, advice: str) -> Finding:
    return Finding("warning", name, what, advice)


def _note(name: str, what: str, advice: str) -> Finding:
    return Finding("note", name, what, advice)


def _cpus(machine: Machine) -> Iterator[Finding]:
    """Tell what is granted, and who else may be near."""
    granted = set(machine.granted)
    allowed = granted if machine.cpuset is None else granted | set(machine.cpuset)
    if machine.online and len(granted) < len(machine.online):
        yield _note(
            "shared_node",
            f"{len(granted)} of {len(machine.online)} CPUs are granted: others may use the rest",
            "Memory, caches and turbo are shared; for numbers of a whole node ask for all of it "
            "(Slurm: --exclusive).",
        )
    if granted < allowed:
        yield _note(
            "affinity",
            f"the affinity is {format_cpu_list(granted)}, the cgroup would allow "
            f"{format_cpu_list(allowed)}",
            "If that is not meant: srun --cpus-per-task, --cpu-bind=none, or no taskset.",
        )
    cores: dict[tuple[int, int], set[int]] = {}
    for cpu in machine.cpus or ():
        cores.setdefault((cpu.package, cpu.core), set()).add(cpu.number)
    ours = [core for core in cores.values() if core & granted]
    if strangers := set().union(*ours) - allowed:
        yield _warning(
            "sibling_not_ours",
            f"CPUs {format_cpu_list(strangers)} are SMT siblings of granted ones and not granted: "
            "others may run on the same cores",
            "Ask for whole cores (Slurm: --exclusive, or --hint=nomultithread).",
        )
    if any(len(core & granted) > 1 for core in ours):
        yield _note(
            "smt",
            f"{len(granted)} CPUs on {len(ours)} cores: more than {len(ours)} threads share cores",
            f"Threads take whole cores first; keep threads <= {len(ours)} under [axes], or mean it "
            "(Slurm: --hint=nomultithread).",
        )
    if machine.numa_nodes and machine.numa_nodes > 1:
        yield _note(
            "numa",
            f"the granted CPUs span {machine.numa_nodes} NUMA nodes",
            "Threads fill one node before the next; a cell that needs more reaches memory at two "
            "distances.",
        )


def _time(seen: Examination) -> Iterator[Finding]:
    """Tell who or what takes CPU time from us."""
    machine, state = seen.machine, seen.state
    if machine.quota_cpus is not None and machine.quota_cpus < len(machine.granted):
        yield _warning(
            "quota",
            f"a cgroup grants the time of {machine.quota_cpus:g} CPUs, the affinity "
            f"{len(machine.granted)}: more threads are stopped now and then",
            "Grant CPUs, not time (docker --cpuset-cpus, Kubernetes static CPU manager), or keep "
            f"threads <= {math.floor(machine.quota_cpus)} under [axes].",
        )
    if state.throttling and state.throttling.count:
        yield _note(
            "throttled",
            f"the quota has held this cgroup back {state.throttling.count} times, for "
            f"{state.throttling.throttled_ns / 1e9:.3g} s in all",
            "Trials that it hits are marked quota_throttled.",
        )
    busy = {n: share for n, share in _busy_share(state, seen.later).items() if share > BUSY_SHARE}
    if busy:
        yield _warning(
            "busy",
            f"others used CPUs {format_cpu_list(busy)} for up to {max(busy.values()):.0%} of "
            "the time while we slept",
            "Find who else runs here (top, squeue -w), or ask for the node alone (Slurm: "
            "--exclusive). Trials that suffer are marked noisy_node.",
        )
    total_ns = sum(times.total_ns for times in (state.cpu_times or {}).values())
    if state.steal_ns and state.steal_ns > STEAL_SHARE * total_ns:
        yield _warning(
            "steal",
            f"the hypervisor has kept {state.steal_ns / total_ns:.1%} of the granted CPUs' time "
            "for others since boot",
            "Use a machine with CPUs of its own (dedicated or bare metal), or expect wide "
            "intervals.",
        )


def _busy_share(state: State, later: State) -> dict[int, float]:
    """Return the share of the time between that each CPU was busy, or stolen."""
    if state.cpu_times is None or later.cpu_times is None:
        return {}
    shares = {}
    for cpu, now in later.cpu_times.items():
        then = state.cpu_times[cpu]
        used_ns = now.busy_ns + now.steal_ns - then.busy_ns - then.steal_ns
        shares[cpu] = used_ns / max(1.0, now.total_ns - then.total_ns)
    return shares


def _speed(seen: Examination) -> Iterator[Finding]:
    """Tell what makes a CPU's speed other than it should be, or change."""
    nominal_hz, state, probe = seen.machine.nominal_hz, seen.state, seen.probe
    if state.governor and state.governor != "performance":
        yield _warning(
            "governor",
            f"the frequency governor is {state.governor}: frequency follows the load",
            "cpupower frequency-set -g performance (Slurm: --cpu-freq=performance).",
        )
    if state.turbo:
        yield _note(
            "turbo",
            "turbo is on: frequency depends on temperature and on how many cores are busy",
            "Good for speed as users see it; to compare nodes or thread counts at one frequency "
            "turn it off (intel_pstate/no_turbo, cpufreq/boost).",
        )
    if state.frequency_hz and nominal_hz and state.frequency_hz < NOMINAL_SHARE * nominal_hz:
        yield _warning(
            "frequency",
            f"a busy CPU ran at {state.frequency_hz / 1e9:.2f} GHz, nominal are "
            f"{nominal_hz / 1e9:.2f}",
            "Look for limits of power or heat, and at the governor (cpupower frequency-info).",
        )
    degc, limit_degc = state.temperature_degc, state.temperature_limit_degc
    if degc and limit_degc and degc > limit_degc - NEAR_LIMIT_DEGC:
        yield _warning(
            "temperature",
            f"the CPU is at {degc:.0f} °C, its limit at {limit_degc:.0f}: it will slow down",
            "Let it cool, look at the fans, measure on another node.",
        )
    if probe.spread > PROBE_SPREAD:
        yield _warning(
            "probe",
            f"the same work takes {probe.spread:.0%} longer than at best on CPU {probe.cpu}",
            "Something disturbs this CPU or changes its frequency: see the other findings, and "
            "look again.",
        )
    clock = seen.machine.clock_source
    if clock and clock not in QUICK_CLOCKS:
        yield _warning(
            "clock",
            f"the clock source is {clock}: each reading is a system call",
            "Boot with clocksource=tsc if the machine can; short latencies are taken in loops.",
        )


def _memory(seen: Examination) -> Iterator[Finding]:
    """Tell what makes memory's speed other than it should be."""
    if seen.machine.huge_pages == "always":
        yield _note(
            "huge_pages",
            "transparent huge pages come where the kernel finds them, from process to process",
            "Nodes to be compared should agree: madvise or never in "
            "/sys/kernel/mm/transparent_hugepage/enabled.",
        )
    if seen.state.swapped_bytes:
        yield _note(
            "swap",
            f"{seen.state.swapped_bytes / 2**20:.0f} MiB are swapped out",
            "Free memory; major_faults of a trial tells whether it was hit.",
        )


def _energy(seen: Examination) -> Iterator[Finding]:
    """Tell how energy could be measured that is not."""
    absent = seen.counters.absent
    if "energy_uj" in absent and "does not rise" not in absent:
        yield _note(
            "energy",
            f"there are energy counters, and not all can be read: {absent}",
            "As root, until the next boot: chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj "
            "(they can be used to spy on others: on nodes of one user at a time).",
        )
