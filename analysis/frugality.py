"""What a cell's trials use beside time: energy, memory; and how fast and hot the CPUs were."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.segments import (
    Array,
    Floats,
    Ints,
    Segments,
    among,
    changes,
    intervals,
    medians,
    pooled,
)
from suite.intervals import Intervals, median
from suite.results.stored import texts

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

Of = Callable[[str], Any]
"""Returns what a variable is of some trials, or of one."""


@dataclass(frozen=True)
class Used:
    """What an invocation of each trial used, in J; NaN where it was not counted."""

    package_j: Floats
    dram_j: Floats
    idle_package_j: Floats
    """Of it, what the idle node would have used in the same time."""
    idle_dram_j: Floats

    @classmethod
    def by(cls, of: Of, samples: npt.ArrayLike, batch: npt.ArrayLike) -> "Used":
        """Share what was counted among the invocations of that time.

        Parameters
        ----------
        samples
            How many there are after the warm-up.
        """
        package_j = np.asarray(of("package_energy_j"), np.float64)
        if np.isnan(package_j).all():  # most machines do not let it be read
            return cls(package_j, package_j, package_j, package_j)
        # Of several instances, or of queries, there is a window; else NaN.
        window_ns, wall_ns = (
            np.asarray(of(n), np.float64) for n in ("window_ns", "sampling_wall_ns")
        )
        windowed = window_ns > 0
        seconds = np.where(windowed, window_ns, wall_ns) / NS_PER_S
        invocations = np.asarray(samples) * np.asarray(of("inner_loops"), np.float64)
        served = of("throughput_per_s") * seconds / np.asarray(batch)
        invocations = np.where(windowed, served, invocations)
        invocations = np.where(invocations > 0, invocations, np.nan)
        return cls(
            package_j / invocations,
            of("dram_energy_j") / invocations,
            of("idle_package_w") * seconds / invocations,
            of("idle_dram_w") * seconds / invocations,
        )

    def in_all(self, memory: npt.NDArray[np.bool_]) -> Floats:
        """Return packages and, where it was counted, memory."""
        return np.where(memory, self.package_j + self.dram_j, self.package_j)

    def net(self, memory: npt.NDArray[np.bool_]) -> Floats:
        """Return the same without what the idle node uses."""
        idle_j = self.idle_package_j + self.idle_dram_j
        return self.in_all(memory) - np.where(memory, idle_j, self.idle_package_j)


def counts_memory(of: Of, cells: Segments) -> npt.NDArray[np.bool_]:
    """Say of each cell whether the memory was counted in every trial whose packages were."""
    lacks = ~np.isnan(of("package_energy_j")) & np.isnan(of("dram_energy_j"))
    counted: npt.NDArray[np.bool_] = among(cells, lacks).sizes == 0
    return counted


def energy_of(of: Of, used: Used, cells: Segments, batch: Array) -> dict[str, Array]:
    """Return the `ENERGY_VARIABLES` of each cell, and `energy_covers`, of trials in their order."""
    known = used.package_j > 0
    memory = counts_memory(of, cells)
    some = among(cells, known)
    of_trials = memory[cells.numbers]
    energy, net = (
        _interval(joules[known], some) for joules in (used.in_all(of_trials), used.net(of_trials))
    )
    covers = np.where(memory, PACKAGES_AND_MEMORY, PACKAGES).astype(object)
    return {
        "energy_covers": np.where(some.sizes > 0, covers, ""),
        **_named("energy{}_j", energy),
        **_named("net_energy{}_j", net),
        "package_energy_j": medians(used.package_j[known], some),
        "dram_energy_j": np.where(memory, medians(used.dram_j[known], some), np.nan),
        "images_per_joule": batch / energy.estimate,
        "images_per_joule_low": batch / energy.high,
        "images_per_joule_high": batch / energy.low,
    }


def medians_of(of: Of, cells: Segments) -> dict[str, Array]:
    """Return the `CLIMATE_VARIABLES` and `MEMORY_VARIABLES` of each cell: medians of its trials."""
    found = {}
    for name in (*CLIMATE_VARIABLES, *MEMORY_VARIABLES):
        values = of(name)
        known = ~np.isnan(values)
        found[name] = medians(values[known], among(cells, known))
    return found


def _interval(joules: Floats, cells: Segments) -> Intervals:
    """Estimate the median; without an interval where a value is not above zero, or not known.

    A node that was less idle before the job than it could be makes a net energy below zero.
    """

    def estimate(rows: Floats) -> Intervals:
        whole = ((rows > 0) & (rows < np.inf)).all(axis=1)
        found = np.full((3, len(rows)), np.nan)
        found[0] = np.median(rows, axis=1)
        of_whole = median(rows[whole])
        found[:, whole] = of_whole.estimate, of_whole.low, of_whole.high
        return Intervals(*found)

    return intervals(joules, cells, estimate)


def _named(pattern: str, found: Intervals) -> dict[str, Array]:
    ends = {"": found.estimate, "_low": found.low, "_high": found.high}
    return {pattern.format(end): value for end, value in ends.items()}


def lacks(said: Array, groups: Ints) -> tuple[Ints, npt.NDArray[np.object_]]:
    """Return what of the energy of trials is not known, and why, of each group of them.

    Parameters
    ----------
    said
        By the trials, encoded; parts are separated by semicolons.
    groups
        Of each trial its group, ascending.

    Returns
    -------
    groups, lacks
        The groups, and of each what its trials say; empty where all is known.
    """
    others = changes(said) | changes(groups)
    groups, values = groups[others], said[others].tolist()
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    codes = np.array([numbers[value] for value in values], np.int64)
    words = np.array([_once(text) for text in texts(np.array([*numbers]))], object)
    order, pools = pooled(groups, codes)
    firsts = order[pools.starts]
    those, starts, counts = np.unique(groups[firsts], return_index=True, return_counts=True)
    found = words[codes[firsts[starts]]] if len(those) else np.empty(0, object)
    for number in np.flatnonzero(counts > 1):
        several = codes[firsts[starts[number] : starts[number] + counts[number]]]
        found[number] = _once("; ".join(words[several]))
    return those, found


def _once(text: str) -> str:
    """Return the parts of a text, each once."""
    return "; ".join(dict.fromkeys(part for part in text.split("; ") if part))
