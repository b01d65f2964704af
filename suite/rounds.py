"""Rounds: passes over a slice's cells, one trial each, until every cell is done."""

import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from suite.allocation import sampling_time_ns
from suite.cells import Cell
from suite.results.rows import TrialRow
from suite.stopping import finished, imprecision, trials_wanted
from suite.sweep import Measure
from suite.verdict import reasons

LOG = logging.getLogger(__name__)

RunTrial = Callable[[Cell, int, int, int], TrialRow]
"""Measures a cell, in a round, at a place in its order, sampling for a time in ns."""

History = dict[str, list[TrialRow]]
"""The trials of each cell so far, by `cell_id`."""


@dataclass(frozen=True)
class Progress:
    """How far a slice has come, told before each trial."""

    cells: int
    left: Collection[str]
    """The `cell_id`s of those that are not done."""
    trials: int
    round: int
    now: str
    """The cell that is measured now."""
    seconds_left: float


def run_rounds(
    cells: Sequence[Cell],
    measure: Measure,
    recorded: Sequence[TrialRow],
    run_trial: RunTrial,
    *,
    report: Callable[[Progress], None],
    prior_s: Mapping[str, float],
) -> None:
    """Measure `cells` until each is finished or the budget is spent.

    All decisions are taken between rounds, from the trials of the rounds before, so that a slice
    that is taken up again does what it would have done.

    Parameters
    ----------
    recorded
        Trials that were finished before, in any order; they are not run again.
    run_trial
        Runs and records a trial.
    prior_s
        Expected seconds of a trial by `cell_id`, for cells without a trial.
    """
    known = {(trial.cell_id, trial.round): trial for trial in recorded}
    history: History = {cell.cell_id: [] for cell in cells}
    for number in count():
        active = next_round(cells, history, measure)
        if not active:
            return
        left = [cell.cell_id for cell in active]
        left_s = seconds_left(active, history, measure, prior_s)
        taken = sum(map(len, history.values()))
        this_round: list[TrialRow] = []
        spent_s = 0.0
        for order, cell in enumerate(round_order(active, number, measure.seed)):
            trial = known.get((cell.cell_id, number))
            if trial is None:
                report(
                    Progress(
                        cells=len(cells),
                        left=left,
                        trials=taken + order,
                        round=number,
                        now=str(cell),
                        seconds_left=max(0.0, left_s - spent_s),
                    )
                )
                sampling_ns = sampling_time_ns(history[cell.cell_id], measure.precision)
                try:
                    trial = run_trial(cell, number, order, sampling_ns)
                except Exception as error:
                    error.add_note(f"in the trial of {cell}, round {number}")
                    raise
                _log(cell, trial)
            this_round.append(trial)
            spent_s += _seconds(trial)
        for trial in this_round:
            history[trial.cell_id].append(trial)


def _log(cell: Cell, trial: TrialRow) -> None:
    """Tell of a trial by its name; on a cluster of those alone that have failed."""
    name = f"{cell}, round {trial.round}, trial {trial.trial_id}"
    if trial.status == "ok":
        LOG.info("%s: %s", name, ", ".join(reasons(trial.validity)) or "valid")
    else:
        LOG.warning("%s: %s: %s", name, trial.status, trial.error)


def next_round(cells: Sequence[Cell], history: History, measure: Measure) -> list[Cell]:
    """Return the cells that the next round measures: none where all are done, or time is up.

    Where the budget has no room for all that are not done, it goes to the least resolved of them.
    The first round is always run: a sweep without a single trial tells nothing.
    """
    active = [cell for cell in cells if not finished(history[cell.cell_id], measure)]
    if not any(history.values()):
        return active

    def need(cell: Cell) -> tuple[float, int, str]:
        trials = history[cell.cell_id]
        return -imprecision(trials, measure), len(trials), cell.cell_id  # whatever their order

    room_s = measure.budget - _spent_s(history)
    fitting = set()
    for cell in sorted(active, key=need):
        trial_s = _seconds(history[cell.cell_id][-1])
        if trial_s / 2 <= room_s:  # to overrun by less than to fall short
            fitting.add(cell.cell_id)
            room_s -= trial_s
    return [cell for cell in active if cell.cell_id in fitting]


def unfinished(cells: Sequence[Cell], measure: Measure, recorded: Sequence[TrialRow]) -> list[Cell]:
    """Return the cells that `run_rounds`, given the same, would still measure."""
    known = {(trial.cell_id, trial.round): trial for trial in recorded}
    history: History = {cell.cell_id: [] for cell in cells}
    number = 0
    while active := next_round(cells, history, measure):
        if not all((cell.cell_id, number) in known for cell in active):
            break
        for cell in active:
            history[cell.cell_id].append(known[cell.cell_id, number])
        number += 1
    taken: History = {cell.cell_id: [] for cell in active}
    for trial in recorded:
        if trial.cell_id in taken:
            taken[trial.cell_id].append(trial)
    return [cell for cell in active if not finished(taken[cell.cell_id], measure)]


def round_order(cells: Sequence[Cell], number: int, seed: int) -> list[Cell]:
    """Return the cells in the order of round `number`: seeded, and balanced over rounds.

    The rows of a Williams square (J. Aust. J. Sci. Res. A 2, 1949): over n rounds of n cells, 2n
    for odd n, each cell stands at each place equally often and follows each other one equally
    often, so that neither a drift of the node nor what a cell leaves behind favours any.
    """
    shuffled = sorted(cells, key=lambda cell: cell.cell_id)
    random.Random(seed).shuffle(shuffled)
    n = len(shuffled)
    row, mirrored = number % n, n % 2 == 1 and number // n % 2 == 1
    steps = [(row + (place + 1) // 2 * (1 if place % 2 else -1)) % n for place in range(n)]
    return [shuffled[step] for step in (reversed(steps) if mirrored else steps)]


def seconds_left(
    active: Sequence[Cell], history: History, measure: Measure, prior_s: Mapping[str, float]
) -> float:
    """Estimate the time until the slice is done, from the trials so far."""
    wanted_s = 0.0
    for cell in active:
        trials = history[cell.cell_id]
        trial_s = _seconds(trials[-1]) if trials else prior_s.get(cell.cell_id, 1.0)
        wanted_s += trial_s * trials_wanted(trials, measure)
    return max(0.0, min(wanted_s, measure.budget - _spent_s(history)))


def _spent_s(history: History) -> float:
    return sum(trial.process_wall_ns for trials in history.values() for trial in trials) / 1e9


def _seconds(trial: TrialRow) -> float:
    return trial.process_wall_ns / 1e9
