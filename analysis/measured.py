"""A file of results: its grid, and what is known of its trials, read when it is asked for.

The small dimensions are read as they are needed; the samples once, in blocks, for whatever follows
from them (see `analysis.invocations`).
"""

import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from analysis.blocks import Trials, Work, for_each_block, memory_bytes
from analysis.frugality import Used, counts_memory, lacks
from analysis.invocations import Found, of_samples
from analysis.naming import grid, node_names, results_file
from analysis.noise import noise_of
from analysis.segments import Array, Bools, Floats, Ints, Segments
from suite.results.stored import Stored, open_stored

AT_ONCE = threading.RLock()
"""What several threads ask for is computed by one of them."""


class Measured:
    """A file of results; what it returns of trials is of those that count, in their order."""

    def __init__(self, stored: Stored, memory: int) -> None:
        self.stored = stored
        self.memory = memory
        self.axes, self.places = grid(stored)
        """The values on each axis; of each cell its place among them."""
        self.nodes = node_names(stored)
        self.rounds = int(stored["round"].max(initial=-1)) + 1
        self._known: dict[str, Array] = {}

    def __deepcopy__(self, memo: object) -> "Measured":
        return self  # what it computes once does not change

    def __reduce__(self) -> Any:
        return measured, (self.stored.path, self.memory)

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.stored.rows["cell"]

    @cached_property
    def cell_at(self) -> Ints:
        """Of each point of the grid the number of its cell, -1 where there is none."""
        found = np.full(tuple(map(len, self.axes.values())), -1, np.int64)
        if self.axes:
            found[self.places] = np.arange(self.cells)
        return found

    @cached_property
    def point(self) -> Ints:
        """Of each cell its point of the grid, by number."""
        if not self.axes:
            return np.zeros(self.cells, np.int64)
        return np.ravel_multi_index(self.places, self.cell_at.shape).astype(np.int64)

    @cached_property
    def trials(self) -> Trials:
        """All trials, whether they count or not."""
        return Trials.of(self.stored)

    @cached_property
    def found(self) -> Found:
        """What the samples tell: this reads all of them."""
        return of_samples(self.stored, self.trials, self.memory)

    def read_samples(self, cells: Bools, work: Work) -> None:
        """Work on the samples of some cells; in the same reading as all else, if that is to come.

        `work` may run for several blocks at once.
        """
        if "found" in self.__dict__:
            for_each_block(self.stored, self.trials, cells, self.memory, work)
            return

        def also(samples: Array, first: int, trials: Ints) -> None:
            work(samples, first, trials[cells[self.trials.cell[trials]]])

        self.__dict__["found"] = of_samples(self.stored, self.trials, self.memory, also)

    @cached_property
    def counted(self) -> Ints:
        """The numbers of the trials that count."""
        return np.flatnonzero(self.found.figure_ns > 0)

    @cached_property
    def by_cell(self) -> Segments:
        """Which of them are a cell's."""
        cells = self.trials.cell[self.counted]
        return Segments.end_to_end(np.bincount(cells, minlength=self.cells))

    def once(self, name: str, compute: Callable[[], dict[str, Array]]) -> Array:
        """Return what is computed when it is first asked for, perhaps with others of its kind."""
        with AT_ONCE:
            if name not in self._known:
                self._known |= compute()
            return self._known[name]

    def column(self, name: str) -> Array:
        """Return a column as it is in the file."""
        whole = self.stored[name]
        return whole if len(self.counted) == len(whole) else whole[self.counted]

    def raw(self, name: str) -> Floats:
        """Return a column of numbers."""
        return self.column(name).astype(np.float64, copy=False)

    @property
    def figures(self) -> Floats:
        """What a trial says of its cell, see `suite.results.rows.TrialRow.figure_ns`."""
        return self.found.figure_ns[self.counted]

    @property
    def count_rate(self) -> npt.NDArray[np.bool_]:
        """Whether it is a rate that counts."""
        return ~np.isnan(self.trials.rate_ns[self.counted])

    @property
    def samples(self) -> Ints:
        """How many there are after the warm-up."""
        return self.trials.kept.sizes[self.counted]

    @cached_property
    def batch(self) -> Ints:
        """Examples in an invocation, of each cell."""
        if "batch" not in self.axes:
            return np.ones(self.cells, np.int64)
        return self.stored["batch"]

    @property
    def used(self) -> Used:
        """The energy of an invocation."""
        return Used.by(self.raw, self.samples, self.batch[self.by_cell.numbers])

    @property
    def throughput_is_its_own(self) -> npt.NDArray[np.bool_]:
        """Whether the throughput is not the inverse of the figure."""
        return ~self.count_rate & (self.raw("throughput_per_s") > 0)

    def of_trials(self, name: str) -> Array:
        """Return a variable of the Dataset over trials."""
        key = f"of trials: {name}"
        return self.once(key, lambda: {key: OWN[name](self) if name in OWN else self.raw(name)})


def _throughput(of: Measured) -> Array:
    """Return examples a second: what a trial's instances have done, or one without pause."""
    inverse = 1e9 * of.batch[of.by_cell.numbers] / of.figures
    return np.where(of.throughput_is_its_own, of.raw("throughput_per_s"), inverse)


def _energy(of: Measured) -> Array:
    memory = counts_memory(of.raw, of.by_cell)
    return of.used.in_all(memory[of.by_cell.numbers])


OWN: Mapping[str, Callable[[Measured], Array]] = {
    "trial_median_ns": lambda of: of.figures,
    "trial_throughput_per_s": _throughput,
    "trial_offered_per_s": lambda of: of.raw("offered_per_s"),
    "trial_peak_rss_bytes": lambda of: of.raw("peak_rss_bytes"),
    "trial_invocations": lambda of: of.samples * of.raw("inner_loops"),
    "trial_median_error": lambda of: of.found.median_error[of.counted],
    "trial_energy_j": _energy,
}
"""What is not a column of the file."""

_OPEN: WeakValueDictionary[tuple[Path, int], Measured] = WeakValueDictionary()
"""What one question has read is there for the next, as long as someone holds on to it."""


def measured(path: Path | str, memory: int | None = None, *, verify: bool = False) -> Measured:
    """Open a run's folder or a file of results, or return what is open of it already.

    Parameters
    ----------
    memory
        In bytes, see `analysis.blocks.memory_bytes`.
    verify
        Whether the digest of all content is checked, see `suite.results.stored.open_stored`.

    Raises
    ------
    UserError
        If there are no results, or they cannot be read.
    """
    file, bound = results_file(path), memory_bytes(memory)
    known = None if verify else _OPEN.get((file, bound))
    if known is None or not known.stored.is_current():
        known = _OPEN[file, bound] = Measured(open_stored(file, verify=verify), bound)
    return known


def energy_absent(of: Measured) -> Array:
    """Return for each node what of the energy of its trials is not known, and why."""
    nodes = of.stored["node_index"].astype(np.int64)
    by_node = np.argsort(nodes, kind="stable")
    found = np.full(len(of.nodes), "", object)
    those, said = lacks(of.stored["energy_absent"][by_node], nodes[by_node])
    found[those] = said
    return found


def noise(of: Measured) -> dict[str, Floats]:
    """Return the noise of each node, see `analysis.noise`."""
    nodes = of.trials.node[of.counted]
    ends = np.bincount(nodes, minlength=len(of.nodes)).cumsum()
    by_node = np.split(np.argsort(nodes, kind="stable"), ends)[: len(of.nodes)]
    return noise_of(_medians_on(of, trials) for trials in by_node)


def _medians_on(of: Measured, trials: Ints) -> Floats:
    """Return the medians of some of the trials that count: a row a cell, in the grid's order."""
    numbers = of.counted[trials]
    cells, rows = np.unique(of.point[of.trials.cell[numbers]], return_inverse=True)
    medians = np.full((len(cells), of.rounds), np.nan)
    medians[rows, of.trials.round[numbers]] = of.found.figure_ns[numbers]
    return medians
