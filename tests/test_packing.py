"""Packing cells into jobs, and sharing a job's cells out over its nodes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cluster.packing import Jobs, Mode, check_budget, limit_minutes, node_hours, pack
from jobs.cluster.site import Container, CpuType, Site
from jobs.plan import Plan, PlannedCell, Slice
from jobs.shares import nodes_wanted, share_out, standing
from suite.cells import AXES, Cell
from suite.errors import UserError
from suite.results.rows import Results
from suite.sweep import Measure
from tests.rows import a_node, a_trial

MEASURE = Measure(min_trials=6, max_trials=6, precision=0.9)


def site(nodes: int = 2, **values: object) -> Site:
    return Site(
        cpu_types={
            name: CpuType(nodes=nodes, cpus=4, **values)  # type: ignore[arg-type]
            for name in ("a", "b")
        },
        container=Container(runtime="none"),
    )


def planned(number: int, seconds: float = 1.0, cpu_type: str = "a") -> PlannedCell:
    cell = Cell("m", "float32", 1 + number % 4, cpu_type, f"c{number:04}")
    return PlannedCell(cell, "a0", "", seconds)


cells = st.lists(
    st.tuples(st.floats(0.1, 500), st.sampled_from("ab")), min_size=1, max_size=40
).map(lambda drawn: [planned(n, s, t) for n, (s, t) in enumerate(drawn)])


@given(cells, st.sampled_from(["replicate", "partition"]), st.floats(10, 5000))
def test_every_cell_is_in_one_slice_of_its_type_in_the_grids_order(
    drawn: list[PlannedCell], mode: str, target_s: float
) -> None:
    slices = pack(drawn, MEASURE, site(), Jobs(mode, target_s), {})  # type: ignore[arg-type]
    for cpu_type in "ab":
        mine = [c.cell.cell_id for c in drawn if c.cell.cpu_type == cpu_type]
        packed = [i for s in slices if s.cpu_type == cpu_type for i in s.cell_ids]
        assert packed == mine
    for slice_ in slices:
        assert len(slice_.cell_ids) == 1 or slice_.seconds <= min(target_s, MEASURE.budget)
        assert slice_.copies == (2 if mode == "replicate" else 1)


@pytest.mark.parametrize("mode", ["replicate", "partition"])
def test_ten_thousand_cells_are_few_arrays(mode: Mode) -> None:
    lengths_s = random.Random(0).choices((0.8, 1.5, 3.0, 8.0, 20.0, 40.0), k=10_000)
    many = {p.cell.cell_id: p for p in map(planned, range(10_000), lengths_s)}
    slices = pack(list(many.values()), MEASURE, site(), Jobs(mode), {})
    assert 100 < len(slices) < 1000
    limits = {limit_minutes(s, [many[i] for i in s.cell_ids], MEASURE, site()) for s in slices}
    assert len(limits) == 1


def test_time_limits_hold_the_budget_and_a_round() -> None:
    [slice_] = pack([planned(0, 60)], Measure(budget=600), site(), Jobs(), {})
    assert 11 <= limit_minutes(slice_, [planned(0, 60)], Measure(budget=600), site()) <= 20
    short = site(time_limit=300)
    [slice_] = pack([planned(0, 60)], Measure(budget=600), short, Jobs(), {})
    assert slice_.budget_s < 300
    assert limit_minutes(slice_, [planned(0, 60)], Measure(budget=600), short) == 5
    least = site(time_limit=60)
    [slice_] = pack([planned(0, 60)], Measure(budget=600), least, Jobs(), {})
    assert 0 < slice_.budget_s < 60


def test_the_budget() -> None:
    slices = pack([planned(0, 600)], Measure(min_trials=6), site(), Jobs(), {})
    assert node_hours(slices) == pytest.approx(2.0)
    check_budget(slices, None)
    check_budget(slices, 2.1)
    with pytest.raises(UserError, match=r"2 node-hours, above the 1\.9"):
        check_budget(slices, 1.9)


def test_what_the_site_cannot_measure() -> None:
    with pytest.raises(UserError, match="Did you mean 'a'"):
        pack([planned(0, cpu_type="aa")], MEASURE, site(), Jobs(), {})
    wide = PlannedCell(Cell("m", "float32", 5, "a", "c"), "a0", "", 1.0)
    with pytest.raises(
        UserError, match="asks for 5 threads, but the site file says cpus = 4 for 'a'"
    ):
        pack([wide], MEASURE, site(), Jobs(), {})


def plan(count: int, nodes: int, copies: int) -> Plan:
    mine = tuple(planned(n) for n in range(count))
    ids = tuple(p.cell.cell_id for p in mine)
    slices = {0: Slice(ids, 1e6, "a", nodes=nodes, copies=copies)}
    return Plan({"run_id": "r"}, MEASURE, AXES, mine, {}, slices)


def measured(trials: dict[tuple[str, str], int]) -> Results:
    """Results with so many trials of a cell on a host."""
    hosts = sorted({host for _, host in trials})
    rows = [
        a_trial(f"{cell}-{host}-{n}", [100], cell_id=cell, node_id=host, round=n)
        for (cell, host), count in trials.items()
        for n in range(count)
    ]
    return Results((), (), tuple(a_node(h, host=h) for h in hosts), tuple(rows), {})


@given(
    st.integers(1, 8),
    st.integers(1, 4),
    st.booleans(),
    st.dictionaries(
        st.tuples(st.integers(0, 7), st.sampled_from(["h0", "h1", "h2", "h3"])), st.integers(1, 6)
    ),
)
def test_whatever_died_before_each_cell_ends_up_on_as_many_nodes_as_wanted(
    count: int, nodes: int, replicate: bool, before: dict[tuple[int, str], int]
) -> None:
    copies = nodes if replicate else 1
    made = plan(count, nodes, copies)
    done = {(f"c{n:04}", host): t for (n, host), t in before.items() if n < count}
    for _ in range(count + 1):  # jobs, one after the other
        state = standing(made, 0, measured(done))
        wanted = nodes_wanted(made, 0, state)
        if not wanted:
            break
        hosts = [h for h in ("h0", "h1", "h2", "h3") if h not in state.hosts_with_all][:wanted]
        seconds = {p.cell.cell_id: p.trial_seconds for p in made.cells}
        shares = share_out([p.cell for p in made.cells], seconds, state, hosts)
        assert sum(map(len, shares.values())) > 0
        for host, mine in shares.items():
            assert len(set(mine)) == len(mine)
            assert not [c for c in mine if done.get((c, host), 0) >= MEASURE.min_trials]
            done |= {(cell_id, host): MEASURE.min_trials for cell_id in mine}
    assert not standing(made, 0, measured(done)).wanted


def test_cells_are_shared_out_evenly() -> None:
    made = plan(8, 4, 1)
    state = standing(made, 0, measured({}))
    seconds = {p.cell.cell_id: float(n + 1) for n, p in enumerate(made.cells)}
    hosts = ["h0", "h1", "h2", "h3"]
    shares = share_out([p.cell for p in made.cells], seconds, state, hosts)
    assert sorted(c for mine in shares.values() for c in mine) == sorted(seconds)
    assert {sum(seconds[c] for c in mine) for mine in shares.values()} == {9.0}


def test_a_node_goes_on_with_what_it_has_begun() -> None:
    made = plan(2, 2, 1)
    state = standing(made, 0, measured({("c0000", "h1"): 2}))
    cells_, seconds = [p.cell for p in made.cells], dict.fromkeys(state.wanted, 1.0)
    shares = share_out(cells_, seconds, state, ["h0", "h1"])
    assert shares == {"h0": ("c0001",), "h1": ("c0000",)}
