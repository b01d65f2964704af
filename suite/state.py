"""The state of this machine, as far as it tells: what it does not offer is absent, never guessed.

`Machine` is what stays while a job runs, `State` what may change from one round to the next.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from suite.cgroup import Throttling, cpu_quota, cpuset, throttling
from suite.topology import Cpu, parse_cpu_list, read_cpus, text_of

T = TypeVar("T")

CPU = "sys/devices/system/cpu"
CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "scpi_sensors")
"""Drivers of hwmon that read CPUs' temperatures; the first sensor of each is the package's."""
CPU_ZONES = ("x86_pkg_temp", "cpu", "soc")
"""How the types of thermal zones on CPUs begin."""
NOT_OFFERED = "not offered here"


@dataclass(frozen=True)
class Machine:
    """What the machine is, and what of it this process may use; None is absent."""

    granted: tuple[int, ...]
    """The CPUs of this process's affinity, in the order in which threads take them."""
    online: tuple[int, ...] | None
    cpuset: tuple[int, ...] | None
    """The CPUs of its cgroup."""
    quota_cpus: float | None
    """CPUs' worth of time that its cgroups grant; infinite without a limit."""
    cpus: tuple[Cpu, ...] | None
    """Where the CPUs online sit."""
    numa_nodes: int | None
    """How many hold CPUs that are granted."""
    nominal_hz: float | None
    """What the CPU is sold for: what it holds without turbo."""
    clock_source: str | None
    huge_pages: str | None
    """When memory comes in transparent huge pages: always, madvise or never."""
    absent: Mapping[str, str]
    """What the machine does not tell, in words, and why."""


@dataclass(frozen=True)
class CpuTimes:
    """What a CPU has done since it was booted, in steps of the kernel's ticks (mostly 10 ms)."""

    busy_ns: float
    steal_ns: float
    """It was to work, and the hypervisor ran something else."""
    total_ns: float


@dataclass(frozen=True)
class State:
    """What the machine is like at a moment; None is absent."""

    unix_ns: int
    load: float | None
    """Tasks that run or wait to, on average over the last minute."""
    cpu_times: Mapping[int, CpuTimes] | None
    """Of the granted CPUs."""
    throttling: Throttling | None
    governor: str | None
    """Of the granted CPUs; several are separated by blanks."""
    turbo: bool | None
    frequency_hz: float | None
    """Of the first granted CPU."""
    temperature_degc: float | None
    """The highest of any package."""
    temperature_limit_degc: float | None
    swapped_bytes: int | None
    absent: Mapping[str, str]
    """What the machine does not tell, in words, and why."""

    @property
    def steal_ns(self) -> float | None:
        """What the hypervisor has taken from the granted CPUs."""
        return None if self.cpu_times is None else sum(t.steal_ns for t in self.cpu_times.values())


def read_machine(granted: Sequence[int], root: Path = Path("/")) -> Machine:
    """Read what does not change while a job runs.

    Parameters
    ----------
    granted
        The CPUs of this process's affinity, in the order in which threads take them.
    root
        Where `proc` and `sys` are found.
    """
    look = Look(root)
    first = f"{CPU}/cpu{granted[0]}"
    online = look("CPUs online", (f"{CPU}/online", _cpu_list))
    told = look("cores and SMT siblings", (f"{first}/topology/core_id", int)) is not None
    numa = look("NUMA nodes", ("sys/devices/system/node/online", _cpu_list)) is not None
    return Machine(
        granted=tuple(granted),
        online=online,
        cpuset=look.known("cpuset", cpuset(root)),
        quota_cpus=look.known("CPU quota", cpu_quota(root)),
        cpus=read_cpus(online, root / "sys") if told and online else None,
        numa_nodes=_numa_nodes(granted, root) if numa else None,
        nominal_hz=look(
            "nominal frequency",
            (f"{first}/cpufreq/base_frequency", _times(1e3)),
            (f"{first}/acpi_cppc/nominal_freq", _times(1e6)),
        ),
        clock_source=look(
            "clock source",
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", _word),
        ),
        huge_pages=look(
            "transparent huge pages", ("sys/kernel/mm/transparent_hugepage/enabled", _chosen)
        ),
        absent=look.absent,
    )


def read_state(granted: Sequence[int], root: Path = Path("/")) -> State:
    """Read what may change; the parameters are those of `read_machine`."""
    look = Look(root)
    first = f"{CPU}/cpu{granted[0]}"
    governor = look("frequency governor", (f"{first}/cpufreq/scaling_governor", _word))
    others = (text_of(root / f"{CPU}/cpu{n}/cpufreq/scaling_governor") for n in granted[1:])
    temperature_degc, limit_degc = _temperature(look)
    return State(
        unix_ns=time.time_ns(),
        load=look("load", ("proc/loadavg", lambda text: float(text.split()[0]))),
        cpu_times=look("CPU times and steal", ("proc/stat", lambda text: _times_of(text, granted))),
        throttling=look.known("throttling", throttling(root)),
        governor=governor and " ".join(sorted({governor, *others} - {""})),
        turbo=look(
            "turbo",
            (f"{CPU}/intel_pstate/no_turbo", lambda text: not _switch(text)),
            (f"{CPU}/cpufreq/boost", _switch),
        ),
        frequency_hz=look("frequency", (f"{first}/cpufreq/scaling_cur_freq", _times(1e3))),
        temperature_degc=temperature_degc,
        temperature_limit_degc=limit_degc,
        swapped_bytes=look("swap", ("proc/meminfo", _swapped_bytes)),
        absent=look.absent,
    )


def cpu_times(cpus: Collection[int], root: Path = Path("/")) -> Mapping[int, CpuTimes] | None:
    """Return what CPUs have done so far; none where the machine does not say."""
    return Look(root)("CPU times", ("proc/stat", lambda text: _times_of(text, cpus)))


class Look:
    """Reads files of the kernel's, and takes note of what is absent and why."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.absent: dict[str, str] = {}

    def __call__(self, what: str, *tries: tuple[str, Callable[[str], T]]) -> T | None:
        """Return what the first of some files that makes sense says, each with how to read it."""
        why = []
        for path, parse in tries:
            try:
                return parse((self.root / path).read_text().strip())
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                why.append(f"/{path}: {error.strerror}")
            except (ValueError, LookupError):
                why.append(f"/{path} makes no sense")
        return self.known(what, None, ", ".join(why))

    def known(self, what: str, value: T | None, why: str = "") -> T | None:
        """Return `value`, having noted it if it is absent."""
        if value is None:
            self.absent.setdefault(what, why or NOT_OFFERED)
        return value


def _temperature(look: Look) -> tuple[float | None, float | None]:
    """Return the temperature of the hottest package, and what that one is not to reach."""
    read = []
    for value, limit in temperature_files(look.root):
        degc = look("temperature", (value, _times(1e-3)))
        if degc is not None:
            read.append((degc, look("temperature limit", (limit, _times(1e-3)))))
    if not read:
        return look.known("temperature", None), None
    return max(read, key=lambda pair: pair[0])


def temperature_files(root: Path = Path("/")) -> list[tuple[str, str]]:
    """Return, of each package, the files of its temperature and of its limit, without `root`."""
    return [*_hwmon(root)] or [*_thermal_zones(root)]


def _hwmon(root: Path) -> Iterator[tuple[str, str]]:
    """Yield, of each package, the files of its temperature and of its limit."""
    for name in sorted(root.glob("sys/class/hwmon/hwmon*/name")):
        inputs = [path.name for path in name.parent.glob("temp*_input")]
        if text_of(name) in CPU_SENSORS and inputs:
            first = min(inputs, key=lambda text: (len(text), text))
            folder = name.parent.relative_to(root)
            yield f"{folder}/{first}", f"{folder}/{first.replace('input', 'crit')}"


def _thermal_zones(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the same where the kernel has zones instead."""
    for kind in sorted(root.glob("sys/class/thermal/thermal_zone*/type")):
        if text_of(kind).startswith(CPU_ZONES):
            folder = kind.parent.relative_to(root)
            trips = sorted(kind.parent.glob("trip_point_*_type"))
            critical = [trip.name for trip in trips if text_of(trip) == "critical"]
            limit = critical[0].replace("type", "temp") if critical else "trip_point_0_temp"
            yield f"{folder}/temp", f"{folder}/{limit}"


def _numa_nodes(cpus: Sequence[int], root: Path) -> int:
    return len({cpu.numa_node for cpu in read_cpus(cpus, root / "sys")})


def _times_of(stat: str, cpus: Collection[int]) -> dict[int, CpuTimes]:
    """Read /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, and parts of user."""
    tick_ns = 1e9 / os.sysconf("SC_CLK_TCK")
    found = {}
    for name, *fields in map(str.split, stat.splitlines()):
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cpus:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[:8])
            busy = user + nice + system + irq + softirq
            total = busy + idle + iowait + steal
            found[int(name[3:])] = CpuTimes(busy * tick_ns, steal * tick_ns, total * tick_ns)
    if len(found) < len(cpus):
        raise ValueError("not all CPUs are there")
    return found


def _swapped_bytes(meminfo: str) -> int:
    kib = {line.split(":")[0]: line.split()[1] for line in meminfo.splitlines()}
    return 1024 * (int(kib["SwapTotal"]) - int(kib["SwapFree"]))


def _times(unit: float) -> Callable[[str], float]:
    return lambda text: int(text) * unit


def _word(text: str) -> str:
    if len(text.split()) != 1:
        raise ValueError("not one word")
    return text


def _switch(text: str) -> bool:
    return ("0", "1").index(text) == 1


def _chosen(text: str) -> str:
    """Read a choice: `always [madvise] never` is madvise."""
    return text[text.index("[") + 1 : text.index("]")]


def _cpu_list(text: str) -> tuple[int, ...]:
    if not (cpus := parse_cpu_list(text)):
        raise ValueError("an empty list")
    return cpus
