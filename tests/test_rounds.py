"""Rounds: which cell is measured when, and when it is enough."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.cells import Cell
from suite.results.rows import TrialRow
from suite.rounds import Progress, round_order, run_rounds, unfinished
from suite.stopping import GIVE_UP_AFTER, finished, trials_wanted
from suite.sweep import Measure

CELLS = [Cell("m", "float32", threads, "local", f"cell{threads}") for threads in range(1, 8)]


def trial(cell_id: str, number: int, latency_ns: float, wall_s: float = 1.0) -> TrialRow:
    samples = np.full(5, latency_ns, dtype="<u8")
    return TrialRow(
        trial_id=f"{cell_id}-{number}",
        cell_id=cell_id,
        node_id="n",
        round=number,
        order=0,
        attempt=0,
        status="ok" if latency_ns else "crashed",
        start_unix_ns=0,
        process_wall_ns=round(wall_s * 1e9),
        latency_ns=samples,
    )


class Machine:
    """A machine whose cells take the latencies it is told, one trial a second."""

    def __init__(self, latencies: dict[str, list[float]]) -> None:
        self.latencies = latencies
        self.trials: list[TrialRow] = []
        self.told: list[Progress] = []

    def measure(self, cell: Cell, number: int, order: int, sampling_ns: int) -> TrialRow:
        script = self.latencies.get(cell.cell_id, [1e6])
        taken = trial(cell.cell_id, number, script[number % len(script)])
        self.trials.append(taken)
        return taken

    def run(self, cells: list[Cell], measure: Measure, recorded: tuple[TrialRow, ...] = ()) -> None:
        run_rounds(cells, measure, recorded, self.measure, report=self.told.append, prior_s={})

    def counts(self) -> Counter[str]:
        return Counter(taken.cell_id for taken in self.trials)


@given(st.integers(1, 12), st.integers(0, 1000))
def test_every_cell_stands_at_every_place_and_follows_every_other_equally_often(
    n: int, seed: int
) -> None:
    cells = [Cell("m", "q", i + 1, "local", f"{i:02d}") for i in range(n)]
    rounds = [round_order(cells, number, seed) for number in range(n if n % 2 == 0 else 2 * n)]
    for order in rounds:
        assert sorted(order, key=lambda cell: cell.cell_id) == cells
    places = Counter((cell.cell_id, place) for order in rounds for place, cell in enumerate(order))
    assert set(places.values()) == {len(rounds) // n}
    follows = Counter((a.cell_id, b.cell_id) for order in rounds for a, b in pairwise(order))
    assert len(follows) == n * (n - 1)
    assert len(set(follows.values())) <= 1


def test_the_order_is_seeded_and_not_that_of_the_input() -> None:
    orders = {tuple(c.cell_id for c in round_order(CELLS, 0, seed)) for seed in range(20)}
    assert len(orders) > 10
    assert round_order(CELLS, 3, 7) == round_order(CELLS[::-1], 3, 7)


def test_quiet_cells_stop_at_the_least_and_noisy_ones_at_the_most() -> None:
    machine = Machine({"cell1": [1e6, 2e6]})
    machine.run(CELLS[:2], Measure(min_trials=6, max_trials=9))
    assert machine.counts() == {"cell1": 9, "cell2": 6}


def test_a_cell_that_always_fails_is_given_up_and_costs_no_other() -> None:
    machine = Machine({"cell1": [0]})
    machine.run(CELLS[:2], Measure())
    assert machine.counts() == {"cell1": GIVE_UP_AFTER, "cell2": 6}


def test_a_trial_that_fails_once_is_made_up_for() -> None:
    machine = Machine({"cell1": [0, *[1e6] * 9]})
    machine.run(CELLS[:1], Measure())
    assert machine.counts() == {"cell1": 7}


def test_the_budget_ends_between_rounds_and_never_before_the_first() -> None:
    machine = Machine({})
    machine.run(CELLS, Measure(budget=0.001))
    assert machine.counts() == {cell.cell_id: 1 for cell in CELLS}
    machine = Machine({})
    machine.run(CELLS, Measure(budget=3.0 * len(CELLS)))
    assert set(machine.counts().values()) == {3}


def test_what_is_left_of_the_budget_goes_to_the_least_resolved() -> None:
    noisy = {"cell1": [1e6, 1.1e6], "cell2": [1e6, 1.6e6], "cell3": [1e6, 1.3e6]}
    machine = Machine(noisy)
    machine.run(CELLS[:4], Measure(budget=6 * 4 + 2.0))
    # Six rounds of all; the quiet cell is done; there is time for two trials more.
    assert machine.counts() == {"cell1": 6, "cell2": 7, "cell3": 7, "cell4": 6}


@given(st.floats(0.5, 60), st.permutations(CELLS[:5]))
def test_what_is_left_to_measure_does_not_depend_on_the_order_of_cells(
    budget: float, others: list[Cell]
) -> None:
    machine = Machine({"cell1": [1e6, 2e6], "cell3": [1e6, 1.5e6]})
    rule = Measure(budget=budget)
    machine.run(CELLS[:5], rule)
    assert unfinished(others, rule, machine.trials) == []


@given(st.floats(0.5, 60), st.integers(0, 3))
def test_a_budget_is_overrun_by_half_a_trial_at_most(budget: float, seed: int) -> None:
    machine = Machine({"cell1": [1e6, 2e6], "cell3": [1e6, 1.5e6]})
    machine.run(CELLS[:4], Measure(budget=budget, seed=seed))
    taken = sum(machine.counts().values())
    assert taken <= max(4, budget + 0.5)


@given(st.integers(0, 30), st.integers(0, 3))
def test_a_slice_taken_up_again_does_what_it_would_have_done(cut: int, seed: int) -> None:
    script = {"cell1": [1e6, 1.5e6, 1.2e6], "cell3": [0], "cell4": [1e6, 1.04e6]}
    rule = Measure(max_trials=8, seed=seed)
    whole = Machine(script)
    whole.run(CELLS[:4], rule)
    resumed = Machine(script)
    done = tuple(whole.trials[:cut])
    resumed.run(CELLS[:4], rule, done)
    ids = [taken.trial_id for taken in whole.trials]
    assert [t.trial_id for t in done] + [t.trial_id for t in resumed.trials] == ids


def test_progress_counts_down() -> None:
    machine = Machine({})
    machine.run(CELLS, Measure())
    assert [*machine.told[0].left] == [cell.cell_id for cell in CELLS]
    assert machine.told[0].cells == len(CELLS)
    left = [progress.seconds_left for progress in machine.told]
    assert left[len(CELLS) :] == sorted(left[len(CELLS) :], reverse=True)
    assert [progress.trials for progress in machine.told] == list(range(len(machine.told)))


@pytest.mark.parametrize(
    ("latencies", "done"),
    [
        ([1e6] * 5, False),
        ([1e6] * 6, True),
        ([1e6, 1.2e6] * 3, False),
        ([1e6, 1.2e6] * 15, True),
        ([0, 0], True),
        ([0, 1e6], False),
    ],
)
def test_when_a_cell_is_done(latencies: list[float], done: bool) -> None:
    trials = [trial("c", number, latency) for number, latency in enumerate(latencies)]
    assert finished(trials, Measure()) is done
    assert (trials_wanted(trials, Measure()) == 0) is done


def test_a_noisier_cell_wants_more() -> None:
    quiet = [trial("c", i, 1e6 * (1 + 0.01 * (i % 2))) for i in range(4)]
    noisy = [trial("c", i, 1e6 * (1 + 0.04 * (i % 2))) for i in range(4)]
    assert trials_wanted(noisy, Measure()) > trials_wanted(quiet, Measure()) == 2


def test_trials_that_fail_are_told_by_name_and_a_fault_says_where_it_struck(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine({"cell1": [1e6], "cell2": [0.0]})
    machine.run(CELLS[:2], Measure(min_trials=2, max_trials=2))
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert all("m float32 2 threads" in line and "crashed" in line for line in caplog.messages)
    assert "round 0, trial cell2-0" in caplog.messages[0]

    def fails(*_: object) -> TrialRow:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError) as caught:
        run_rounds(CELLS[2:3], Measure(), (), fails, report=lambda _: None, prior_s={})
    assert caught.value.__notes__ == ["in the trial of m float32 3 threads on local, round 0"]
