"""Load as pure functions: arrivals, queues, windows, and the search for the highest rate."""

import heapq
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analysis.tails import queries_needed
from suite.load.arrivals import (
    LEAST_QUERIES,
    MOST_QUERIES,
    QUERIES,
    Times,
    arrivals_ns,
    query_count,
    unit_arrivals,
)
from suite.load.queueing import Served, ends_ns, is_overloaded
from suite.load.search import TOLERANCE, UnattainableError, highest_rate, search
from suite.load.window import Timeline, rate_per_s

MS = 1_000_000
seeds = st.integers(0, 2**32 - 1)


def served(arrivals: Times, service_ns: Times, instances: int) -> Served:
    """Serve queries first come, first served, by keeping a list of who is free when."""
    free = [(0, number) for number in range(instances)]
    ends = np.empty_like(arrivals)
    by = np.empty_like(arrivals)
    for query, (arrival, service) in enumerate(zip(arrivals, service_ns, strict=True)):
        at, number = heapq.heappop(free)
        ends[query], by[query] = max(at, arrival) + service, number
        heapq.heappush(free, (int(ends[query]), number))
    return Served(arrivals, ends - service_ns, ends, by)


# Arrivals


@given(st.integers(1, 500), seeds)
def test_arrivals_are_ascending_and_reproducible(queries: int, seed: int) -> None:
    unit = unit_arrivals(queries, seed)
    assert len(unit) == queries
    assert (np.diff(unit) >= 0).all()
    assert 0 <= unit[0] <= unit[-1] <= queries
    assert (unit == unit_arrivals(queries, seed)).all()


def test_arrivals_are_a_poisson_process() -> None:
    unit = unit_arrivals(100_000, 0)
    gaps = np.diff(unit)
    assert gaps.mean() == pytest.approx(1, rel=0.01)
    assert gaps.std() == pytest.approx(1, rel=0.02)
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0, abs=0.02)
    # Counts in stretches of 10: their variance is their mean.
    counts = np.bincount((unit // 10).astype(int))
    assert counts.var() == pytest.approx(10, rel=0.05)


@given(st.floats(0.1, 1e5), st.floats(0.1, 1e5), seeds)
def test_another_rate_has_the_same_arrivals_on_another_scale(a: float, b: float, seed: int) -> None:
    unit = unit_arrivals(50, seed)
    assert arrivals_ns(unit, a) * a == pytest.approx(arrivals_ns(unit, b) * b, abs=a + b)


def test_how_many_queries_come() -> None:
    assert queries_needed(0.99) == QUERIES
    minute = 60e9
    assert query_count(100, 0, minute) == QUERIES
    assert query_count(1000, 0, minute) == 2000
    assert query_count(1000, 5e9, minute) == 5000
    assert query_count(5, 0, minute) == 300
    assert query_count(1, 0, minute) == LEAST_QUERIES
    assert query_count(1e6, 0, minute) == MOST_QUERIES


# Queues

queues = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=60)


@given(queues, st.integers(1, 5))
def test_the_queue_is_first_come_first_served(pairs: list[tuple[int, int]], k: int) -> None:
    gaps, service = np.array(pairs, np.int64).T
    arrivals = gaps.cumsum()
    found = served(arrivals, service, k)
    assert (ends_ns(arrivals, service, k) == found.end_ns).all()
    assert (np.diff(found.begin_ns) >= 0).all()
    assert (found.begin_ns >= arrivals).all()
    # What a query kept an instance for is what it was served for: nobody idles before a queue.
    assert (found.occupied_ns == service).all()


def test_one_instance_is_lindleys_recursion() -> None:
    rng = np.random.default_rng(0)
    arrivals = rng.integers(1, 20, 500).cumsum()
    service = rng.integers(1, 15, 500)
    wait, waits = 0, []
    for n in range(500):
        if n:
            wait = max(0, wait + int(service[n - 1]) - int(arrivals[n] - arrivals[n - 1]))
        waits.append(wait)
    assert (ends_ns(arrivals, service, 1) - service - arrivals == waits).all()


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_mean_wait_is_that_of_theory(load: float) -> None:
    """M/D/1: Poisson arrivals, one instance, a constant service time."""
    unit, service = unit_arrivals(400_000, 1), 1000
    arrivals = arrivals_ns(unit, load * 1e9 / service)
    ends = ends_ns(arrivals, np.full(len(unit), service), 1)
    wait = (ends - service - arrivals).mean()
    assert wait == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)


@given(seeds, st.integers(1, 4), st.floats(0.1, 0.95))
def test_the_tail_rises_with_the_rate(seed: int, k: int, share: float) -> None:
    unit = unit_arrivals(200, seed)
    service = np.random.default_rng(seed).integers(1, 2 * MS, 200)
    tails = [
        served(arrivals_ns(unit, rate * k * 1000), service, k).tail_ns() for rate in (share, 1.0)
    ]
    assert tails[0] <= tails[1] + 2


def test_an_overload_is_one() -> None:
    unit, service = unit_arrivals(500, 0), np.full(500, MS)
    for k in (1, 3):
        for share, expected in ((0.9, False), (1.1, True)):
            rate = share * k * 1000
            assert is_overloaded(served(arrivals_ns(unit, rate), service, k), rate, k) is expected


# Windows


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 9), st.data())
def test_work_in_parts_of_a_window_adds_up(
    durations: list[int], start: int, data: st.DataObject
) -> None:
    took = np.array(durations, np.int64)
    timeline = Timeline(start + took.cumsum(), took)
    last = int(timeline.end_ns[-1])
    a, b, c = sorted(data.draw(st.integers(0, last)) for _ in range(3))
    assert timeline.work(0, last) == pytest.approx(len(took))
    assert timeline.work(a, b) + timeline.work(b, c) == pytest.approx(timeline.work(a, c))
    inside = len(timeline.within(a, c))
    # At either edge one invocation is cut, and counts by its share.
    assert inside <= timeline.work(a, c) + 1e-9 <= inside + 2 + 1e-6


def test_throughput_is_that_of_the_invocations_whatever_the_window() -> None:
    """A window that counted whole invocations would be off by up to one in five here."""
    timelines = [Timeline(offset + np.arange(1, 60) * 10, np.full(59, 10)) for offset in (0, 3)]
    for begin, end in ((100, 150), (104, 151), (107, 144)):
        assert rate_per_s(timelines, begin, end) == pytest.approx(2 / 10 * 1e9)


# The search


def a_server(
    unit: npt.NDArray[np.float64],
    service_ns: Times,
    instances: int,
    slower: float = 0.0,
) -> tuple["list[float]", "object"]:
    """Return the rates that were run, and what runs one; services may get slower with the rate."""
    rates: list[float] = []
    capacity = instances * 1e9 / service_ns.mean()

    def serve(rate: float) -> Served:
        rates.append(rate)
        service = (service_ns * (1 + slower * rate / capacity)).astype(np.int64)
        return served(arrivals_ns(unit, rate), service, instances)

    return rates, serve


def highest_by_brute_force(serve: object, instances: int, bound_ns: float) -> float:
    """Try a thousand rates, one after the other."""
    held = 0.0
    for rate in np.geomspace(0.02, 1.1, 1000) * instances * 1000:
        run = serve(float(rate))  # type: ignore[operator]
        if run.tail_ns() <= bound_ns and not is_overloaded(run, rate, instances):
            held = float(rate)
    return held


@pytest.mark.parametrize("slower", [0.0, 0.2])
@pytest.mark.parametrize("bound", [2, 5, 50])
@pytest.mark.parametrize(("instances", "spread"), [(1, 0.0), (1, 0.2), (4, 0.2)])
def test_the_search_finds_what_a_thousand_runs_find(
    instances: int, spread: float, bound: float, slower: float
) -> None:
    rng = np.random.default_rng(1)
    unit = unit_arrivals(700, 3)
    service = (MS * rng.lognormal(-(spread**2) / 2, spread, 700)).astype(np.int64)
    rates, serve = a_server(unit, service, instances, slower)
    found = search(serve, MS, instances, bound * MS)  # type: ignore[arg-type]
    assert found.converged
    assert found.served.tail_ns() <= bound * MS
    assert found.rate_per_s == rates[found.run]
    assert found.runs == len(rates) <= 8
    brute = highest_by_brute_force(serve, instances, bound * MS)
    assert found.rate_per_s == pytest.approx(brute, rel=2 * TOLERANCE)


def test_runs_that_something_disturbs_are_outvoted() -> None:
    shares = []
    for seed in range(20):
        rng, unit = np.random.default_rng(seed), unit_arrivals(1000, seed)
        quiet = served(arrivals_ns(unit, 700), np.full(1000, MS), 1)

        def serve(
            rate: float, rng: np.random.Generator = rng, unit: npt.NDArray[np.float64] = unit
        ) -> Served:
            service = np.full(1000, MS)
            if rng.random() < 0.3:
                service[rng.integers(0, 1000, 3)] += 15 * MS
            return served(arrivals_ns(unit, rate), service, 1)

        found = search(serve, MS, 1, 5 * MS)
        shares.append(found.rate_per_s / highest_rate(quiet, 700, 1, 5 * MS))
    low, middle = np.quantile(shares, [0.1, 0.5])
    assert middle == pytest.approx(1, abs=TOLERANCE)
    assert low > 1 - 2 * TOLERANCE


def test_where_service_times_stay_a_run_tells_the_rate() -> None:
    unit = unit_arrivals(700, 0)
    _, serve = a_server(unit, np.full(700, MS), 2)
    expected = highest_rate(serve(1400.0), 1400.0, 2, 5 * MS)  # type: ignore[operator]
    assert expected == pytest.approx(highest_rate(serve(700.0), 700.0, 2, 5 * MS), rel=1e-3)  # type: ignore[operator]


def test_a_bound_below_one_invocation() -> None:
    _, serve = a_server(unit_arrivals(700, 0), np.full(700, 12 * MS), 1)
    said = "one invocation alone takes 12 ms, more than the bound of 10 ms"
    with pytest.raises(UnattainableError, match=said):
        search(serve, 12 * MS, 1, 10 * MS)  # type: ignore[arg-type]


def test_a_bound_that_the_slowest_invocations_break_alone() -> None:
    service = np.where(np.arange(700) % 20 == 0, 9 * MS, MS)
    rates, serve = a_server(unit_arrivals(700, 0), service, 1)
    with pytest.raises(UnattainableError, match="one invocation in a hundred takes 9 ms"):
        search(serve, MS, 1, 5 * MS)  # type: ignore[arg-type]
    assert len(rates) == 2


def test_a_search_ends_when_its_time_does() -> None:
    rates, serve = a_server(unit_arrivals(700, 0), np.full(700, MS), 1, slower=0.5)
    with pytest.raises(UnattainableError, match="no rate"):
        search(serve, MS, 1, 2 * MS, may_run=lambda rate: False)  # type: ignore[arg-type]
    assert len(rates) == 1


@given(seeds, st.integers(1, 3), st.floats(1.5, 20))
def test_what_the_search_reports_has_held(seed: int, instances: int, bound: float) -> None:
    rng = np.random.default_rng(seed)
    service = (MS * rng.lognormal(0, 0.3, 150)).astype(np.int64)
    _, serve = a_server(unit_arrivals(150, seed), service, instances)
    try:
        found = search(serve, float(np.median(service)), instances, bound * MS)  # type: ignore[arg-type]
    except UnattainableError:
        assume(False)
    assert found.served.tail_ns() <= bound * MS
    assert not is_overloaded(found.served, found.rate_per_s, instances)
    assert math.isfinite(found.rate_per_s)
