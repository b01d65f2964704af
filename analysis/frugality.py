"""What a cell's trials use beside time: energy, memory; and how fast and hot the CPUs were."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median as middle

import numpy as np

from suite.intervals import Intervals, median
from suite.results.rows import TrialRow

NAN = math.nan
NS_PER_S = 1e9

ENERGY_VARIABLES = {
    **{f"{of}{end}_j": "J" for of in ("energy", "net_energy") for end in ("", "_low", "_high")},
    "package_energy_j": "J",
    "dram_energy_j": "J",
    **{f"images_per_joule{end}": "J-1" for end in ("", "_low", "_high")},
}
"""Of an invocation, and how many examples a joule is enough for."""

CLIMATE_VARIABLES = {"frequency_during_hz": "Hz", "temperature_during_degc": "degC"}
MEMORY_VARIABLES = dict.fromkeys(
    ("steady_rss_bytes", "load_rss_bytes", "weights_rss_bytes", "arena_bytes"), "byte"
)
PACKAGES = "packages"
PACKAGES_AND_MEMORY = "packages and memory"


@dataclass(frozen=True)
class Used:
    """What an invocation of a trial used, in J; NaN where it was not counted."""

    package_j: float
    dram_j: float
    idle_package_j: float
    """Of it, what the idle node would have used in the same time."""
    idle_dram_j: float

    @classmethod
    def by(cls, trial: TrialRow, batch: int) -> "Used":
        """Share what was counted among the invocations of that time."""
        seconds = trial.sampling_wall_ns / NS_PER_S
        invocations: float = (len(trial.latency_ns) - trial.warmup_count) * trial.inner_loops
        if trial.window_ns > 0:  # of several instances, or of queries; else NaN
            seconds = trial.window_ns / NS_PER_S
            invocations = trial.throughput_per_s * seconds / batch
        if not invocations > 0:
            return cls(NAN, NAN, NAN, NAN)
        return cls(
            trial.package_energy_j / invocations,
            trial.dram_energy_j / invocations,
            trial.idle_package_w * seconds / invocations,
            trial.idle_dram_w * seconds / invocations,
        )

    def in_all(self, *, memory: bool) -> float:
        """Return packages and, if asked for, memory."""
        return self.package_j + self.dram_j if memory else self.package_j

    def net(self, *, memory: bool) -> float:
        """Return the same without what the idle node uses."""
        idle_j = self.idle_package_j + self.idle_dram_j if memory else self.idle_package_j
        return self.in_all(memory=memory) - idle_j


def counts_memory(trials: Sequence[TrialRow]) -> bool:
    """Say whether the memory was counted in every trial whose packages were."""
    counted = [trial for trial in trials if not math.isnan(trial.package_energy_j)]
    return not any(math.isnan(trial.dram_energy_j) for trial in counted)


def energy_absent(trials: Sequence[TrialRow]) -> str:
    """Return what of the energy of trials is not known, and why; empty where all is."""
    said = [part for trial in trials for part in trial.energy_absent.split("; ") if part]
    return "; ".join(dict.fromkeys(said))


def energy_of(trials: Sequence[TrialRow], batch: int) -> dict[str, float | str]:
    """Return the `ENERGY_VARIABLES` of a cell, and `energy_covers`; nothing where none is known."""
    used = [by for trial in trials if (by := Used.by(trial, batch)).package_j > 0]
    if not used:
        return {}
    memory = counts_memory(trials)
    energy = _interval([by.in_all(memory=memory) for by in used])
    net = _interval([by.net(memory=memory) for by in used])
    return {
        "energy_covers": PACKAGES_AND_MEMORY if memory else PACKAGES,
        **_named("energy{}_j", energy),
        **_named("net_energy{}_j", net),
        "package_energy_j": middle(by.package_j for by in used),
        "dram_energy_j": middle(by.dram_j for by in used) if memory else NAN,
        "images_per_joule": batch / energy.estimate.item(),
        "images_per_joule_low": batch / energy.high.item(),
        "images_per_joule_high": batch / energy.low.item(),
    }


def medians_of(trials: Sequence[TrialRow]) -> dict[str, float]:
    """Return the `CLIMATE_VARIABLES` and `MEMORY_VARIABLES` of a cell: medians of its trials."""
    found = {}
    for name in (*CLIMATE_VARIABLES, *MEMORY_VARIABLES):
        known = [value for trial in trials if not math.isnan(value := getattr(trial, name))]
        found[name] = middle(known) if known else NAN
    return found


def _interval(joules: Sequence[float]) -> Intervals:
    """Estimate the median; without an interval where a value is not above zero, or not known.

    A node that was less idle before the job than it could be makes a net energy below zero.
    """
    values = np.asarray(joules, float)
    if ((values > 0) & (values < np.inf)).all():
        return median(values)
    nothing = np.array(NAN)
    return Intervals(np.median(values), nothing, nothing)


def _named(pattern: str, found: Intervals) -> dict[str, float]:
    ends = {"": found.estimate, "_low": found.low, "_high": found.high}
    return {pattern.format(end): value.item() for end, value in ends.items()}
