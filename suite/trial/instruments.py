"""What a trial is watched with beside the clock: counters of energy, sensors of speed and heat."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite.energy import Counters, Power, Reading
from suite.sensors import Climate, Lookout, Sensors
from suite.topology import Cpu, elsewhere
from suite.trial.protocol import TrialAnswer


@dataclass(frozen=True)
class Instruments:
    """Those of a node. By default there are none."""

    counters: Counters = field(default_factory=Counters)
    idle: Power = field(default_factory=Power)
    """Of the node before the first trial."""
    cpus: Sequence[Cpu] = ()
    """That are granted; one that a trial leaves free can look at the sensors."""
    root: Path | None = None
    """Where `sys` with the sensors is found."""

    @contextmanager
    def watching(self, cpus: Sequence[int]) -> "Iterator[Surroundings]":
        """Look at the sensors before the block, during it and after it.

        Parameters
        ----------
        cpus
            Those that the trial is pinned to.
        """
        sensors = Sensors.of(cpus, self.root) if self.root else Sensors()
        seen = Surroundings(before=sensors.read())
        with Lookout(sensors, elsewhere(cpus, self.cpus)) as lookout:
            yield seen
        seen.during, seen.after = lookout.during, sensors.read()

    def energy_columns(self, answer: TrialAnswer, window_ns: int) -> dict[str, Any]:
        """Return a trial's energy, from what the counters said around its samples, and its lacks.

        Parameters
        ----------
        window_ns
            The time to state it for, at the power of the time between the two readings. It is that
            time, or the part of it that several instances have in common.
        """
        used = self.counters.between(
            Reading(0, answer.energy_begin_uj),
            Reading(answer.sampling_wall_ns, answer.energy_end_uj),
        )
        share = window_ns / max(1, answer.sampling_wall_ns)
        return {
            "package_energy_j": used.package_j * share,
            "dram_energy_j": used.dram_j * share,
            "energy_absent": used.absent,
            "idle_package_w": self.idle.package_w,
            "idle_dram_w": self.idle.dram_w,
        }


BARE = Instruments()


@dataclass
class Surroundings:
    """What the sensors have said of a trial."""

    before: Climate
    during: Climate = field(default_factory=Climate, init=False)
    after: Climate = field(default_factory=Climate, init=False)

    def columns(self) -> dict[str, Any]:
        """Return the same under the names of a trial's columns."""
        return {
            name.format(moment): value
            for moment in ("before", "during", "after")
            for climate in [getattr(self, moment)]
            for name, value in (
                ("frequency_{}_hz", climate.frequency_hz),
                ("temperature_{}_degc", climate.temperature_degc),
            )
        }
