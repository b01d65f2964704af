"""What `litesweep doctor` says of a node."""

import math
import platform
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from suite.doctor import WATCH_S, Examination, diagnose, examine
from suite.energy import Counters
from suite.topology import format_cpu_list, granted_cpus, pin_order, read_cpus

T = TypeVar("T")
COLOURS = {"warning": "yellow", "note": "cyan"}


def check_up(watch_s: float = WATCH_S) -> Examination:
    """Examine this node as a job that begins here would find it."""
    return examine(pin_order(read_cpus(granted_cpus())), watch_s=watch_s)


def to_json(seen: Examination) -> dict[str, Any]:
    """Return an examination as JSON types: what is absent is null, and `absent` says why."""
    said = asdict(seen)
    for part in ("machine", "state"):
        del said[part]["absent"]
    if math.isinf(seen.machine.quota_cpus or 0):
        said["machine"]["quota_cpus"] = "unlimited"
    return {
        "host": platform.node(),
        "findings": [asdict(finding) for finding in diagnose(seen)],
        "absent": absent(seen),
        **{name: said[name] for name in ("machine", "state", "probe")},
        "energy": {name: list(said["counters"][name]) for name in ("package", "dram")},
    }


def print_check_up(seen: Examination, console: Console) -> None:
    """Print an examination for people: what is there, what is absent, what to do."""
    table = Table(title=platform.node(), title_justify="left", show_header=False, box=None)
    for name, text in facts(seen).items():
        table.add_row(name, text)
    for name, why in absent(seen).items():
        table.add_row(name, f"absent: {why}", style="dim")
    console.print(table, markup=False, highlight=False)
    findings = diagnose(seen)
    for finding in findings:
        console.print(f"[{COLOURS[finding.severity]}]{finding.severity}[/]", end=" ")
        text = f"{finding.name}: {finding.what}.\n    {finding.advice}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if not findings:
        console.print("Nothing was found that bears on a measurement.")


def absent(seen: Examination) -> dict[str, str]:
    """Return what a node does not tell, and why."""
    energy = {"energy": seen.counters.absent} if seen.counters.absent else {}
    return {**seen.machine.absent, **seen.state.absent, **energy}


def facts(seen: Examination) -> dict[str, str]:
    """Return what is known of a node, in words."""
    machine, state, probe = seen.machine, seen.state, seen.probe
    known = {
        "CPUs granted": format_cpu_list(machine.granted),
        "CPUs online": _say(machine.online, format_cpu_list),
        "cpuset": _say(machine.cpuset, format_cpu_list),
        "CPU quota": _say(machine.quota_cpus, lambda n: f"{n:g}" if n < math.inf else "no limit"),
        "cores granted": _say(
            machine.cpus,
            lambda cpus: str(
                len({(cpu.package, cpu.core) for cpu in cpus if cpu.number in machine.granted})
            ),
        ),
        "NUMA nodes granted": _say(machine.numa_nodes, str),
        "frequency governor": state.governor,
        "turbo": _say(state.turbo, lambda on: "on" if on else "off"),
        "frequency": _say(state.frequency_hz, _gigahertz),
        "nominal frequency": _say(machine.nominal_hz, _gigahertz),
        "temperature": _say(state.temperature_degc, _degrees),
        "temperature limit": _say(state.temperature_limit_degc, _degrees),
        "load": _say(state.load, str),
        "steal since boot": _say(state.steal_ns, _seconds),
        "throttled so far": _say(
            state.throttling, lambda t: f"{t.count} times, {_seconds(t.throttled_ns)}"
        ),
        "clock source": machine.clock_source,
        "transparent huge pages": machine.huge_pages,
        "swapped out": _say(state.swapped_bytes, lambda n: f"{n / 2**20:.0f} MiB"),
        "energy counted": _counted(seen.counters),
        "probe": f"{probe.median_ns / 1e3:.0f} µs, at least {probe.least_ns / 1e3:.0f}",
    }
    return {name: text for name, text in known.items() if text is not None}


def _say(value: T | None, text: Callable[[T], str]) -> str | None:
    return None if value is None else text(value)


def _counted(counters: Counters) -> str | None:
    parts = {"packages": counters.package, "memory": counters.dram}
    return ", ".join(f"{what} ({len(found)})" for what, found in parts.items() if found) or None


def _gigahertz(hz: float) -> str:
    return f"{hz / 1e9:.2f} GHz"


def _degrees(degc: float) -> str:
    return f"{degc:.0f} °C"


def _seconds(ns: float) -> str:
    return f"{ns / 1e9:.3g} s"
