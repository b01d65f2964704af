"""Figures of cells drawn anew from their trials: how else they might have come out.

A bootstrap of nodes where there are several, then of their trials (Davison and Hinkley, Bootstrap
Methods and their Application, 1997, chapter 3.8). The same nodes and rounds are drawn of all cells,
so that what a node or a round does to all alike falls out, as it does of paired ratios. A figure
that is drawn from few varies too little: it is widened as Student's t is over the normal.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shares:
    """What is drawn of every cell, as shares from 0 to 1."""

    node: Floats
    """Shape (draws, nodes)."""
    trial: Floats
    """Shape (draws, nodes, rounds)."""
    width: Floats
    """Of what is wider than a draw, shape (draws,); none is 1."""

    @classmethod
    def drawn(cls, draws: int, nodes: int, rounds: int, rng: np.random.Generator) -> "Shares":
        """Draw them."""
        node, trial = rng.random((draws, nodes)), rng.random((draws, nodes, rounds))
        return cls(node, trial, rng.random(draws))

    def some(self, first: int, after: int) -> "Shares":
        """Return those of some draws."""
        return Shares(*(of[first:after] for of in (self.node, self.trial, self.width)))


class Cells:
    """The trials of cells.

    Parameters
    ----------
    values
        Shape (cells, nodes, rounds); NaN where there is no trial. Zero is none: it was not counted.
    otherwise
        What stands in for a cell without any, of shape (cells,), positive.
    """

    def __init__(self, values: Floats, otherwise: Floats) -> None:
        self.logs = np.log(np.where(values > 0, values, np.nan))
        self.trials = _Known(np.isfinite(self.logs))
        self.nodes = _Known(self.trials.counts > 0)
        estimate = _medians(self.logs.reshape(len(values), -1).copy(), self.trials.counts.sum(1))
        self.estimate = np.where(self.nodes.counts > 0, estimate, np.log(otherwise))

    def drawn(self, shares: Shares) -> Floats:
        """Return the logs of medians drawn anew, of shape (draws, cells)."""
        cells, nodes, rounds = self.logs.shape
        cell = np.arange(cells)[:, None]
        node = self.nodes.chosen(shares.node[:, None], cell)
        cell, node = cell[..., None], node[..., None]
        trial = self.trials.chosen(shares.trial[:, None], cell, node)
        values = self.logs[cell, node, trial]
        counts = self.trials.counts[cell, node]
        counts[:, np.arange(nodes) >= self.nodes.counts[:, None]] = 0
        values[np.arange(rounds) >= counts] = np.nan
        medians = _medians(values.reshape(*values.shape[:2], -1), counts.sum(axis=(2, 3)))
        off = np.where(self.nodes.counts > 0, medians - self.estimate, 0)
        found: Floats = self.estimate + off * self._wider(shares.width)
        return found

    def _wider(self, shares: Floats) -> Floats:
        """Return by how much Student's t is wider than the normal, of shape (draws, cells)."""
        several = self.nodes.counts > 1
        freedom = np.where(several, self.nodes.counts, self.trials.counts.max(axis=1)) - 1
        distinct, places = np.unique(freedom, return_inverse=True)
        some = distinct > 0
        wider = np.ones((len(shares), len(distinct)))
        wider[:, some] = np.sqrt(distinct[some] / chdtri(distinct[some], shares[:, None]))
        found: Floats = wider[:, places]
        return found


class _Known:
    """Which of the places along the last axis have something."""

    def __init__(self, known: Bools) -> None:
        self.known = known
        self.counts = known.sum(axis=-1)
        self.order = np.argsort(~known, axis=-1, kind="stable")

    def chosen(self, shares: Floats, *row: Ints) -> Ints:
        """Return the places that shares choose in rows: the same in all, where all have it."""
        at = shares * self.known.shape[-1]
        place = at.astype(np.int64)
        # Within its place a share is as good as a new one.
        other = self.order[(*row, ((at - place) * self.counts[row]).astype(np.int64))]
        found: Ints = np.where(self.known[(*row, place)], place, other)
        return found


def _medians(values: Floats, counts: Ints) -> Floats:
    """Return medians along the last axis, which is sorted in place, of so many that are not NaN."""
    values.sort(axis=-1)
    low, high = (
        np.take_along_axis(values, np.maximum(at, 0)[..., None], axis=-1)[..., 0]
        for at in ((counts - 1) // 2, np.minimum(counts // 2, values.shape[-1] - 1))
    )
    found: Floats = (low + high) / 2
    return found
