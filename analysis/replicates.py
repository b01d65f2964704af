"""What a comparison of two cells rests on: pairs of trials, trials, or nodes.

- Two cells of one run, on one node, whose rounds were run side by side: pairs of trials of a round.
- Trials of two runs on one node, or of rounds that were not side by side: unpaired trials.
- A CPU type: nodes. A node's trials tell about that node alone, so one node decides nothing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.differences import Difference, paired, unpaired
from analysis.naming import host_of
from analysis.noise import KINDS, STORED, SelfNoise
from suite.results.rows import LOCAL

UNKNOWN = SelfNoise(math.nan, 0)

Floats = npt.NDArray[np.float64]
Place = tuple[int, ...]


@dataclass(frozen=True)
class Trials:
    """The trials of a cell on one host: arrays of shape (node, round), NaN for no trial.

    A host that was described twice, as when its kernel changed, is several nodes, but one machine.
    """

    logs: Floats
    start_ns: Floats

    @property
    def known(self) -> Floats:
        """The logs that are there."""
        return self.logs[~np.isnan(self.logs)]


@dataclass(frozen=True)
class Side:
    """One side of a comparison; `logs` of trial medians and `start_ns` are (..., node, round)."""

    logs: Floats
    start_ns: Floats
    hosts: npt.NDArray[np.str_]
    """Of each node."""
    local: npt.NDArray[np.bool_]
    """Whether a cell is of this machine and no CPU type; of the shape of the cells."""
    noises: dict[bool, list[SelfNoise]]
    """Of each node, not paired and paired."""

    @classmethod
    def of(cls, results: xr.Dataset) -> "Side":
        """Take what a comparison needs; node and round are the last dimensions."""
        noises = {
            of_pairs: [*map(SelfNoise, *(results[f"{kind}_{of}"].values.tolist() for of in STORED))]
            for kind, of_pairs in KINDS.items()
        }
        local = (results["cpu_type"] == LOCAL).broadcast_like(results["status"])
        return cls(
            np.log(results["trial_median_ns"].values),
            results["start_unix_ns"].values,
            np.array([host_of(node) for node in results["node"].values]),
            local.transpose(*results["status"].dims).values,
            noises,
        )

    def by_host(self, place: Place) -> dict[str, Trials]:
        """Return the trials of a cell on each host that has any."""
        found = {
            str(host): Trials(self.logs[place][here], self.start_ns[place][here])
            for host in dict.fromkeys(self.hosts)
            for here in [self.hosts == host]
        }
        return {host: trials for host, trials in found.items() if trials.known.size}


@dataclass(frozen=True)
class Compared:
    """A cell that both sides have measured, not yet judged."""

    difference: Difference
    noise: SelfNoise
    trials: float
    """On each side."""
    replicate: str
    """`pair` of trials, `trial` or `node`."""
    reason: str = ""
    """Why nothing can be claimed, whatever the difference."""


def compared(a: Side, b: Side, place: Place, *, same_run: bool) -> Compared:
    """Compare one cell that has a trial on both sides, by the replicates that it has."""
    of_a, of_b = a.by_host(place), b.by_host(place)
    shared = [host for host in of_a if host in of_b]
    if not shared or (len(shared) == 1 and min(len(of_a), len(of_b)) > 1):
        return _on_nodes(a, b, of_a, of_b)

    both = [(of_a[host], of_b[host]) for host in shared]
    pairs = [_pairs(*trials) if same_run else np.empty(0) for trials in both]
    if in_pairs := all(map(len, pairs)):
        on_hosts = [*map(paired, pairs)]
        trials = float(sum(map(len, pairs)))
    else:
        on_hosts = [unpaired(x.known, y.known) for x, y in both]
        trials = sum(_as_pairs(x.known.size, y.known.size) for x, y in both)
    noise = _noise((a, b), shared, trials, in_pairs=in_pairs)
    if len(shared) > 1:
        of_nodes = paired([of_host.log_ratio for of_host in on_hosts])
        return Compared(of_nodes, noise, trials, "node")
    reason = "" if a.local[place] and b.local[place] else "single_node"
    return Compared(on_hosts[0], noise, trials, "pair" if in_pairs else "trial", reason)


def _on_nodes(a: Side, b: Side, of_a: dict[str, Trials], of_b: dict[str, Trials]) -> Compared:
    """Compare what was measured on nodes of the one side with nodes of the other."""
    means = ([trials.known.mean() for trials in of.values()] for of in (of_a, of_b))
    counts = (sum(trials.known.size for trials in of.values()) for of in (of_a, of_b))
    difference, trials = unpaired(*means), _as_pairs(*counts)
    noise = _noise((a, b), [*of_a, *of_b], trials, in_pairs=False)
    reason = "" if difference.replicates > 1 else "single_node"
    return Compared(difference, noise, trials, "node", reason)


def _pairs(a: Trials, b: Trials) -> Floats:
    """Return the log ratios of trials of one round; none where rounds were not side by side."""
    found = []
    for node in range(len(a.logs)):
        log_ratios = b.logs[node] - a.logs[node]
        both = ~np.isnan(log_ratios)
        starts = np.array([a.start_ns[node, both], b.start_ns[node, both]])
        if (starts.max(axis=0)[:-1] <= starts.min(axis=0)[1:]).all():
            found.append(log_ratios[both])
    return np.concatenate([np.empty(0), *found])


def _as_pairs(a: int, b: int) -> float:
    """Return how many pairs tell as much as so many trials of each side that are not paired."""
    return 2 / (1 / a + 1 / b)


def _noise(
    sides: Iterable[Side], hosts: Sequence[str], trials: float, *, in_pairs: bool
) -> SelfNoise:
    """Return the noise of the noisiest host, in the noisier of the runs."""
    known = (
        noise
        for side in sides
        for host, noise in zip(side.hosts, side.noises[in_pairs], strict=True)
        if host in hosts and noise.pairs > 0
    )
    return max(known, key=lambda noise: float(noise.floor(trials)), default=UNKNOWN)
