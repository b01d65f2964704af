"""CPU time that was kept from a trial: by the hypervisor, or by the quota of a cgroup."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from suite.cgroup import throttling
from suite.state import cpu_times

NAN = float("nan")


@dataclass(frozen=True)
class Withheld:
    """What was kept from some CPUs and from this process's cgroups; NaN where nobody counts it."""

    steal_ns: float
    throttle_count: float
    throttled_ns: float

    @classmethod
    def so_far(cls, cpus: Collection[int], root: Path = Path("/")) -> "Withheld":
        """Return what has been kept since the machine was booted and the cgroups were made."""
        times, throttled = cpu_times(cpus, root), throttling(root)
        return cls(
            steal_ns=NAN if times is None else sum(cpu.steal_ns for cpu in times.values()),
            throttle_count=NAN if throttled is None else throttled.count,
            throttled_ns=NAN if throttled is None else throttled.throttled_ns,
        )

    def since(self, earlier: "Withheld") -> "Withheld":
        """Return what has been kept between."""
        return Withheld(
            self.steal_ns - earlier.steal_ns,
            self.throttle_count - earlier.throttle_count,
            self.throttled_ns - earlier.throttled_ns,
        )
