"""The A/A floor: how far a cell seems to differ from itself on a node, measured in the run itself.

From the differences between a cell's trials in rounds next to each other, 0 and 1, 2 and 3 ...:
each compares the cell with itself, and leaves slow drift out (von Neumann et al., Ann. Math. Stat.
12, 1941). Drift falls out of a comparison within rounds, but not of one between two runs: there,
how far a run's rounds wander from its middle tells how far another run may be off.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, stdtrit

CONFIDENCE = 0.95
WANDERING = 2.0
"""How many times the standard deviation within a run the difference between the means of two runs
varies, for a random walk that the second run goes on with."""

KINDS = {"self_noise": False, "self_noise_paired": True}
"""The two noises of a node, and whether each is of trials of one round."""
STORED = ("sd", "pairs", "drift_sd")
NOISE_VARIABLES = tuple(f"{kind}_{of}" for kind in KINDS for of in STORED)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SelfNoise:
    """How much the log ratio of a cell's trial to another trial of the same cell varies."""

    sd: float
    """NaN where no cell has two trials in rounds next to each other."""
    pairs: float
    """How many such ratios, free of each other, it was estimated from."""
    drift_sd: float = 0.0
    """Of what all cells of a round have in common, over rounds, beyond what noise explains."""

    def floor(self, trials: npt.ArrayLike) -> Floats:
        """Return what a log ratio of a cell to itself exceeds in 5 of 100 cases.

        Parameters
        ----------
        trials
            How many on each side are compared: noise falls with their square root, drift does not.

        Returns
        -------
        numpy.ndarray
            Of the shape of `trials`; NaN where the noise is not known.
        """
        certain = 0.5 + CONFIDENCE / 2
        noise = stdtrit(self.pairs, certain) * self.sd / np.sqrt(trials)
        drift = stdtrit(np.inf, certain) * WANDERING * self.drift_sd
        floor: Floats = np.hypot(noise, drift)
        return floor


def noise_of_nodes(trial_median_ns: npt.ArrayLike) -> dict[str, Floats]:
    """Return `NOISE_VARIABLES` along node, from trial medians of shape (..., node, round)."""
    medians = np.asarray(trial_median_ns, np.float64)
    *cells, nodes, rounds = medians.shape
    return noise_of(medians[..., n, :].reshape(math.prod(cells), rounds) for n in range(nodes))


def noise_of(nodes: Iterable[Floats]) -> dict[str, Floats]:
    """Return the same from the trial medians of each node, of shape (cells, rounds)."""
    found: dict[str, list[float]] = {name: [] for name in NOISE_VARIABLES}
    for medians in nodes:
        logs = np.log(medians)
        for kind, paired in KINDS.items():
            noise = self_noise(logs, paired=paired)
            for of in STORED:
                found[f"{kind}_{of}"].append(getattr(noise, of))
    return {name: np.array(values, np.float64) for name, values in found.items()}


def self_noise(log_medians: npt.ArrayLike, *, paired: bool) -> SelfNoise:
    """Measure the noise of a node.

    The node's noise is the median over its cells: one restless cell must not hide differences of
    the others (its own interval is wide), and one that was quiet by luck is held to what is usual.

    Parameters
    ----------
    log_medians
        Shape (cells, rounds): logs of trial medians on one node, NaN for no trial.
    paired
        Whether trials of one round are compared with each other, so that what hits a whole round
        falls out of the comparison: it is then taken out here too.
    """
    logs = np.asarray(log_medians, np.float64)
    logs = logs[~np.isnan(logs).all(axis=1)]
    even = logs.shape[1] // 2 * 2
    steps = logs[:, 1:even:2] - logs[:, 0:even:2]
    known = (~np.isnan(steps)).sum(axis=0, dtype=np.float64)
    if paired:
        with np.errstate(divide="ignore", invalid="ignore"):  # a cell alone in its round: no pair
            steps = (steps - np.nansum(steps, axis=0) / known) * np.sqrt(known / (known - 1))
    pairs = (~np.isnan(steps)).sum(axis=1)
    squares = np.nansum(steps**2, axis=1)[pairs > 0]
    if not squares.size:
        return SelfNoise(math.nan, 0)
    # Over the median of chi squared, so that the median cell is that of the noise.
    sd = math.sqrt(np.median(squares / chdtri(pairs[pairs > 0], 0.5)))
    if paired:  # of the steps of a round, one follows from the others
        return SelfNoise(sd, float((known - 1)[known > 1].sum()))
    return SelfNoise(sd, float(pairs.sum()), _drift_sd(logs, sd))


def _drift_sd(logs: Floats, noise_sd: float) -> float:
    """Measure how far rounds wander, by the median over their cells."""
    centred = logs - np.nanmedian(logs, axis=1, keepdims=True)
    cells = (~np.isnan(logs)).sum(axis=0)
    of_rounds = np.nanmedian(centred[:, cells > 0], axis=0)
    # The variance of a median of normals over that of their mean: 1 of two, pi / 2 of many.
    of_medians = np.where(cells > 2, np.pi / 2, 1)[cells > 0] / cells[cells > 0]
    explained = noise_sd**2 / 2 * of_medians.mean()
    return math.sqrt(max(0.0, of_rounds.var(ddof=1) - explained))
