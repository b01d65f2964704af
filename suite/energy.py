"""Energy counters of the CPUs (RAPL), through Linux powercap: joules of packages and their memory.

A package's counter is of the whole socket, and not of the cores that a trial is pinned to: what
neighbours do on the socket is in it. The counters are read and nothing is put in their place: what
the machine does not count, or does not let us read, is NaN, and `Counters.absent` says why.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from suite.counters import read_counters
from suite.state import NOT_OFFERED, Look
from suite.topology import text_of

NAN = float("nan")
POWERCAP = "sys/class/powercap"
LEAST_WINDOW_NS = 100_000_000
"""The counters step about once in a millisecond (Hähnel et al., SIGMETRICS PER 40(3), 2012), so
either end of a window is off by up to one: in less than this they would make more than 2 %."""
MOST_W = 1000
"""No package takes as much, nor its memory. In a window in which this would fill a counter's range
it may have gone around more than once, and tells nothing."""
STILL_S = 0.05
"""A counter that has not risen in this time is none: some are there, and are always 0."""
STRETCHES = 6
STRETCH_S = 0.5


@dataclass(frozen=True)
class Energy:
    """What was used in a window; NaN where it was not counted."""

    package_j: float
    dram_j: float
    absent: str
    """What is NaN, and why; empty where nothing is."""


@dataclass(frozen=True)
class Power:
    """What a node uses in a second; NaN where it is not counted."""

    package_w: float = NAN
    dram_w: float = NAN


@dataclass(frozen=True)
class Counter:
    """A counter of microjoules, which begins anew behind `range_uj`."""

    path: str
    range_uj: int


@dataclass(frozen=True)
class Reading:
    """What counters said at a moment: one value each, -1 where it could not be read."""

    wall_ns: int
    values_uj: Sequence[int]


@dataclass(frozen=True)
class Counters:
    """The counters of a node: one of each package, and of each package's memory."""

    package: tuple[Counter, ...] = ()
    dram: tuple[Counter, ...] = ()
    absent: str = NOT_OFFERED
    """What is not counted, and why; empty where both are."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files to be read, in the order of a reading's values."""
        return tuple(counter.path for counter in (*self.package, *self.dram))

    def read(self, clock: Callable[[], int] = time.perf_counter_ns) -> Reading:
        """Read all counters now."""
        values = read_counters(self.paths)
        return Reading(clock(), values)

    def between(self, begin: Reading, end: Reading) -> Energy:
        """Return what was used between two readings, summed over the packages.

        NaN where nothing counts it, a counter could not be read, or the window is too short or so
        long that a counter may have gone around more than once.
        """
        wall_ns = end.wall_ns - begin.wall_ns
        counters = (*self.package, *self.dram)
        used = [
            risen_j(counter, before_uj, after_uj, wall_ns)
            for counter, before_uj, after_uj in zip(
                counters, begin.values_uj, end.values_uj, strict=True
            )
        ]
        count = len(self.package)
        package_j, packages = _sum(used[:count])
        dram_j, memory = _sum(used[count:])
        lacks = {"packages": packages, "memory": memory}
        absent = [f"{what}: {lack}" for what, lack in lacks.items() if lack]
        return Energy(package_j, dram_j, "; ".join(filter(None, (self.absent, *absent))))


def risen_j(counter: Counter, begin_uj: int, end_uj: int, wall_ns: int) -> float | str:
    """Return by how much a counter has risen in a window, in J, or why that is not known."""
    if min(begin_uj, end_uj) < 0:
        return f"{counter.path} could not be read"
    if wall_ns < LEAST_WINDOW_NS:
        return f"sampled for less than {LEAST_WINDOW_NS / 1e9:g} s"
    if MOST_W * wall_ns / 1e9 >= counter.range_uj / 1e6:
        return "sampled for so long that a counter may have gone around twice"
    return (end_uj - begin_uj) % (counter.range_uj + 1) / 1e6


def find_counters(
    root: Path = Path("/"), sleep: Callable[[float], object] = time.sleep
) -> Counters:
    """Find the counters that can be read, and that count.

    Only the zones `package-N` and their `dram` are taken: `psys` holds the packages, `core` and
    `uncore` are parts of them, and `intel-rapl-mmio` is the same counter by another way. AMD's
    counters stand under the same names, without memory.

    Parameters
    ----------
    root
        Where `sys` is found.
    sleep
        Called once, and only where there are counters, to see whether they rise.
    """
    zones = sorted(root.glob(f"{POWERCAP}/intel-rapl:*"))
    names = {zone: text_of(zone / "name") for zone in zones}
    # Docker leaves the links and hides what they lead to.
    why = NOT_OFFERED if all(map(Path.exists, zones)) else "hidden from this container"
    found = {
        "packages": _readable([z for z in zones if names[z].startswith("package")], root, why),
        "memory": _readable([z for z in zones if names[z] == "dram"], root, why),
    }
    found |= _rising({w: said for w, said in found.items() if not isinstance(said, str)}, sleep)
    reasons = [f"{what}: {said}" for what, said in found.items() if isinstance(said, str)]
    package, memory = (() if isinstance(said, str) else said for said in found.values())
    return Counters(package, memory, "; ".join(reasons) if names else why)


def _readable(zones: list[Path], root: Path, why: str) -> tuple[Counter, ...] | str:
    """Return the counters of all zones, or why one of them cannot be read: a part is no sum."""
    counters = []
    for zone in zones:
        look, name = Look(root), zone.relative_to(root)
        value = look("energy", (f"{name}/energy_uj", int))
        range_uj = look("range", (f"{name}/max_energy_range_uj", _positive))
        if value is None or range_uj is None:
            return ", ".join(look.absent.values())
        counters.append(Counter(str(zone / "energy_uj"), range_uj))
    return tuple(counters) or why


def _rising(
    found: Mapping[str, tuple[Counter, ...]], sleep: Callable[[float], object]
) -> dict[str, tuple[Counter, ...] | str]:
    """Return what has been found, or, where a counter does not rise, that it does not."""
    if not found:
        return {}
    paths = [counter.path for counters in found.values() for counter in counters]
    before = read_counters(paths)
    sleep(STILL_S)
    still = {p for p, a, b in zip(paths, before, read_counters(paths), strict=True) if a == b}
    return {
        what: next((f"{c.path} does not rise" for c in counters if c.path in still), counters)
        for what, counters in found.items()
    }


def idle_power(
    counters: Counters,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Power:
    """Return the power of the node while this process sleeps: the median of some stretches.

    It takes three seconds where there are counters, and none where there are not.
    """
    if not counters.paths:
        return Power()
    readings = [counters.read(clock)]
    for _ in range(STRETCHES):
        sleep(STRETCH_S)
        readings.append(counters.read(clock))
    stretches = [(counters.between(a, b), b.wall_ns - a.wall_ns) for a, b in pairwise(readings)]
    return Power(
        median(energy.package_j / wall_ns * 1e9 for energy, wall_ns in stretches),
        median(energy.dram_j / wall_ns * 1e9 for energy, wall_ns in stretches),
    )


def _positive(text: str) -> int:
    if int(text) <= 0:
        raise ValueError("no range")
    return int(text)


def _sum(used: Sequence[float | str]) -> tuple[float, str]:
    """Return the sum, and what it lacks: with a part missing, or without any part, it is NaN."""
    lack = next((said for said in used if isinstance(said, str)), "")
    joules = [value for value in used if not isinstance(value, str)]
    return (NAN if lack or not joules else sum(joules)), lack
