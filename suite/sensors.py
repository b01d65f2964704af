"""How fast CPUs run and how hot they are, at a moment and while something else is timed."""

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Self

from suite.counters import read_counters
from suite.state import CPU, temperature_files

NAN = float("nan")
EVERY_S = 0.25
MOST_CPUS = 8
"""Of more, some that lie evenly among them tell their frequency: to ask may interrupt a CPU."""


@dataclass(frozen=True)
class Climate:
    """What sensors say; NaN where there is none."""

    frequency_hz: float = NAN
    """Mean of some CPUs."""
    temperature_degc: float = NAN
    """The highest of any package."""


@dataclass(frozen=True)
class Sensors:
    """The files of the frequencies of some CPUs, and of the packages' temperatures."""

    frequency: tuple[str, ...] = ()
    temperature: tuple[str, ...] = ()

    @classmethod
    def of(cls, cpus: Sequence[int], root: Path = Path("/")) -> Self:
        """Find those that there are."""
        some = [*cpus][:: -(-len(cpus) // MOST_CPUS)] if cpus else []
        frequency = [root / f"{CPU}/cpu{number}/cpufreq/scaling_cur_freq" for number in some]
        temperature = [root / value for value, _ in temperature_files(root)]
        return cls(
            *(
                tuple(str(path) for path in paths if path.exists())
                for paths in (frequency, temperature)
            )
        )

    def __bool__(self) -> bool:
        return bool(self.frequency or self.temperature)

    def read(self) -> Climate:
        """Read all of them now; a thousandth of a degree and a kilohertz are the kernel's units."""
        hz = [1e3 * value for value in read_counters(self.frequency) if value >= 0]
        degc = [1e-3 * value for value in read_counters(self.temperature) if value >= 0]
        return Climate(fmean(hz) if hz else NAN, max(degc, default=NAN))


@dataclass
class Lookout:
    """Reads sensors a few times a second on a CPU of its own, while the block runs.

    Where there are no sensors, or no such CPU, nothing is started: nothing but what is timed runs.
    """

    sensors: Sensors
    cpu: int | None
    every_s: float = EVERY_S
    seen: list[Climate] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        if self.sensors and self.cpu is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _look(self) -> None:
        assert self.cpu is not None
        os.sched_setaffinity(0, {self.cpu})  # of this thread alone
        while not self._ended.wait(self.every_s):
            self.seen.append(self.sensors.read())

    @property
    def during(self) -> Climate:
        """The median frequency and the highest temperature that were seen."""
        return Climate(
            _of(median, [climate.frequency_hz for climate in self.seen]),
            _of(max, [climate.temperature_degc for climate in self.seen]),
        )


def _of(summary: Callable[[list[float]], float], values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return summary(known) if known else NAN
