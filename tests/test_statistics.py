"""What the statistics claim, tried on data whose truth is known: tails, components, noise, t."""

import doctest
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

import analysis.tails
from analysis import components, tail
from analysis.differences import ALPHA, Difference, holm, outcome, paired, unpaired
from analysis.invocations import median_error
from analysis.noise import SelfNoise, self_noise
from analysis.tails import effective_count, overlatency, queries_needed
from suite.intervals import geometric_mean
from tests.conftest import Opened
from tests.rows import a_cell, a_node, a_run, a_trial, some_results
from tests.simulated import Floats, Machine

P_VALUES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=8)


@pytest.fixture
def random() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(4)


# Tails


def test_the_examples_are_right() -> None:
    assert doctest.testmod(analysis.tails) == (0, 4)


def test_the_least_queries_are_those_of_mlperf() -> None:
    assert (queries_needed(0.9), queries_needed(0.99)) == (64, 662)


@given(st.integers(1, 20_000), st.sampled_from([0.9, 0.95, 0.99]))
def test_overlatency_is_the_binomials_tail(queries: int, quantile: float) -> None:
    count = overlatency(queries, quantile)
    assert not count or binom.cdf(count, queries, 1 - quantile) <= 0.01
    assert count + 1 >= queries or binom.cdf(count + 1, queries, 1 - quantile) > 0.01
    assert bool(count) == (queries >= queries_needed(quantile))


def test_a_tail_without_evidence_says_what_it_lacks() -> None:
    few = [range(100, 110)] * 4
    assert math.isnan(tail([few], 0.9).value_ns)
    assert tail([few], 0.9).lack == "needs 244 invocations, has 40"
    assert tail([[range(1000)]], 0.9).lack == "needs 2 trials, has 1"
    assert tail([[range(100)] * 20, few], 0.9).lack == "needs 244 invocations, has 40"


def test_the_slowest_nodes_tail_is_the_cells() -> None:
    fast, slow = [range(1, 101)] * 9, [range(1001, 1101)] * 9
    assert tail([fast, slow], 0.9) == tail([slow], 0.9)


def test_alike_invocations_count_as_fewer(random: np.random.Generator) -> None:
    apart = [*random.exponential(size=(10, 200))]
    alike = [np.repeat(trial[:10], 20) for trial in apart]
    assert effective_count(apart, 2) > 500
    assert effective_count(alike, 2) < 200


@pytest.mark.parametrize(("trial", "told"), [(0.0, 1.0), (0.02, 0.4), (0.05, 0.02)])
def test_one_cell_of_a_hundred_has_a_tail_that_is_too_low(
    random: np.random.Generator, trial: float, told: float
) -> None:
    """However many are told: nearly all where trials are alike, few where they are not."""
    machine = Machine(trial=trial, invocations=100)
    truth = np.quantile(machine.latencies(random, 1, 1, 20_000), 0.9)
    cells = machine.latencies(random, 1500, 1, 10)[:, 0]
    bounds = np.array([tail([[*cell]], 0.9).value_ns for cell in cells])
    assert (~np.isnan(bounds)).mean() == pytest.approx(told, abs=0.15)
    assert (bounds < truth).mean() < 0.015


def test_a_tail_holds_where_trials_differ(random: np.random.Generator) -> None:
    machine = Machine(trial=0.03, invocations=200)
    truth = np.quantile(machine.latencies(random, 1, 1, 20_000), 0.9)
    cells = machine.latencies(random, 200, 1, 30)[:, 0]
    found = [tail([[*trials]], 0.9) for trials in cells]
    values = np.array([of_cell.value_ns for of_cell in found if not of_cell.lack])
    assert len(values) > 100
    assert (values >= truth).mean() > 0.97  # 99 % of the time, within chance
    pooled = [np.quantile(trials, 0.9) for trials in cells]
    assert (np.array(pooled) >= truth).mean() < 0.6  # what pooling alone would do


def test_a_mean_of_many_invocations_has_no_tail(opened: Opened) -> None:
    trials = tuple(a_trial(f"t{n}", range(1, 400), round=n, inner_loops=n + 1) for n in range(6))
    results = opened(some_results(trials=trials))
    assert np.isnan(results["p90_ns"]).all()
    assert results["p90_lack"].item() == "each sample is the mean of 6 invocations"


def test_of_all_invocations(opened: Opened) -> None:
    trials = tuple(
        a_trial(f"t{n}", [900, *range(1, 101)], round=n, warmup_count=1) for n in range(9)
    )
    results = opened(some_results(trials=trials)).squeeze()
    assert results["min_ns"] == 1
    assert results["spread"] == pytest.approx(0.98, abs=0.01)
    assert 90 < results["p90_ns"] <= 100
    assert results["p99_lack"].item() == "needs 1027 invocations, has 900"
    assert (results["trial_invocations"] == 100).all()


# Components


def opened_run(opened: Opened, latencies: Floats) -> xr.Dataset:
    """Write and open a run of one cell from latencies of shape (node, round, invocation)."""
    nodes, rounds, _ = latencies.shape
    trials = tuple(
        a_trial(f"{n}-{r}", latencies[n, r].astype(int), node_id=f"n{n}", round=r)
        for n in range(nodes)
        for r in range(rounds)
    )
    names = tuple(a_node(f"n{n}", host=f"host{n}") for n in range(nodes))
    return opened(some_results(cells=(a_cell(),), nodes=names, trials=trials))


def test_each_level_is_found(opened: Opened, random: np.random.Generator) -> None:
    machine = Machine(node=0.08, trial=0.03, invocation=0.05, invocations=400)
    found = components(opened_run(opened, machine.latencies(random, 1, 30, 10)[0])).squeeze()
    assert found["node_sd"] == pytest.approx(0.08, rel=0.3)
    assert found["trial_sd"] == pytest.approx(0.03, rel=0.15)
    # An AR(1) of correlation r is sqrt((1 + r) / (1 - r)) = 3 times as bad as independent
    # samples, and a median of many normals 1.25 times as bad as their mean; batches of 40 see a
    # little less.
    assert found["invocation_sd"] == pytest.approx(0.05 * 3 * 1.1, rel=0.2)
    assert (found["nodes"], found["trials"], found["invocations"]) == (30, 300, 120_000)
    assert found["negative"].item() == ""


def test_alike_invocations_are_not_taken_for_trials(
    opened: Opened, random: np.random.Generator
) -> None:
    machine = Machine(trial=0, invocation=0.05, invocations=400)
    found = components(opened_run(opened, machine.latencies(random, 1, 1, 60)[0])).squeeze()
    assert found["trial_sd"] < 0.004  # the medians vary by 0.0083
    assert np.isnan(found["node_sd"])


def test_counts_may_differ(opened: Opened, random: np.random.Generator) -> None:
    logs = random.normal(0, 0.05, (40, 1)) + random.normal(0, 0.02, (40, 12))
    medians = (1e6 * np.exp(logs)).astype(int)
    trials = tuple(
        a_trial(f"{n}-{r}", [medians[n, r]], node_id=f"n{n}", round=r)
        for n in range(40)
        for r in range(1 + n % 12)
    )
    nodes = tuple(a_node(f"n{n}", host=f"host{n}") for n in range(40))
    found = components(opened(some_results(nodes=nodes, trials=trials))).squeeze()
    assert found["node_sd"] == pytest.approx(0.05, rel=0.3)
    assert found["trial_sd"] == pytest.approx(0.02, rel=0.15)


def test_a_negative_estimate_is_nothing_and_says_so(opened: Opened) -> None:
    nodes = a_node("n0", host="a"), a_node("n1", host="b")
    trials = tuple(
        a_trial(f"{n}{r}", [ns], node_id=f"n{n}", round=r)
        for n in range(2)
        for r, ns in enumerate([100, 120])
    )
    found = components(opened(some_results(nodes=nodes, trials=trials))).squeeze()
    assert (found["node_sd"], found["negative"].item()) == (0, "node")
    assert found["trial_sd"] > 0.1


def test_a_machine_described_twice_is_one_node(opened: Opened) -> None:
    nodes = a_node("n0", host="a"), a_node("n1", host="a")
    trials = tuple(a_trial(f"t{n}", [100 + n], node_id=f"n{n % 2}", round=n) for n in range(6))
    found = components(opened(some_results(nodes=nodes, trials=trials))).squeeze()
    assert found["nodes"] == 1
    assert np.isnan(found["node_sd"])


def test_nothing_has_no_components(opened: Opened) -> None:
    found = components(opened(a_run(({}, [])))).squeeze()
    assert np.isnan(found["trial_sd"])
    assert found["trials"] == 0


def test_the_error_of_a_median_is_what_it_varies_by(random: np.random.Generator) -> None:
    trials = Machine(trial=0, spikes=0.02, invocations=1000).latencies(random, 1, 1, 500)[0, 0]
    told = np.sqrt(np.mean([median_error(trial) ** 2 for trial in trials]))
    assert told == pytest.approx(np.std(np.log(np.median(trials, axis=-1))), rel=0.1)
    assert math.isnan(median_error([1]))


# The A/A floor


def test_noise_is_found_under_drift(random: np.random.Generator) -> None:
    logs = random.normal(0, 0.01, (40, 20)) + np.linspace(0, 0.2, 20)
    assert self_noise(logs, paired=True).sd == pytest.approx(0.01 * math.sqrt(2), rel=0.15)
    drifting = self_noise(logs, paired=False)
    assert drifting.sd == pytest.approx(0.01 * math.sqrt(2), rel=0.5)
    assert drifting.drift_sd == pytest.approx(np.linspace(0, 0.2, 20).std(ddof=1), rel=0.1)


def test_one_restless_cell_is_not_the_nodes_noise(random: np.random.Generator) -> None:
    logs = random.normal(0, 0.01, (9, 10))
    logs[0] *= 50
    assert self_noise(logs, paired=False).sd < 0.02


@pytest.mark.parametrize("paired", [True, False])
def test_a_cell_exceeds_its_floor_in_five_of_a_hundred(
    random: np.random.Generator, *, paired: bool
) -> None:
    exceeded = []
    for _ in range(2000):
        logs = random.normal(0, 0.02, (6, 10))
        noise = self_noise(logs, paired=paired)
        exceeded.append(
            abs(logs[0].mean() - logs[1].mean()) > SelfNoise(noise.sd, noise.pairs).floor(10)
        )
    assert 0.03 < np.mean(exceeded) < 0.07


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (3, 1)])
def test_noise_needs_two_rounds(shape: tuple[int, int], *, paired: bool) -> None:
    noise = self_noise(np.zeros(shape), paired=paired)
    assert (noise.pairs, math.isnan(noise.floor(6))) == (0, True)


def test_a_cell_alone_has_no_paired_noise() -> None:
    assert self_noise(np.zeros((1, 8)), paired=True).pairs == 0
    assert self_noise(np.zeros((1, 8)), paired=False).pairs == 4


def test_trials_that_are_not_there_do_not_count() -> None:
    logs = np.array([[0.0, 0.1, 0.3, 0.1], [5.0, 5.1, np.nan, 5.0], [np.nan] * 4])
    assert self_noise(logs, paired=False).pairs == 3
    assert self_noise(logs, paired=True).pairs == 1


# Differences


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9))
def test_a_paired_difference_is_the_interval_of_ratios(log_ratios: list[float]) -> None:
    difference, expected = paired(log_ratios), geometric_mean(np.exp(log_ratios))
    half = difference.half_width(0.05)
    assert math.exp(difference.log_ratio) == pytest.approx(expected.estimate)
    assert math.exp(difference.log_ratio + half) == pytest.approx(expected.high)


def test_welch_is_scipys() -> None:
    from scipy.stats import ttest_ind

    a, b = [1.0, 2.0, 4.0], [3.0, 3.5, 9.0, 4.0]
    expected = ttest_ind(b, a, equal_var=False)
    difference = unpaired(a, b)
    assert difference.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert difference.half_width(0.05) == pytest.approx((interval.high - interval.low) / 2)


@given(P_VALUES)
def test_holm_rejects_what_the_textbook_rejects(p_values: list[float]) -> None:
    levels = holm(p_values)
    known = sorted(p for p in p_values if not math.isnan(p))
    rejected = 0
    while rejected < len(known) and known[rejected] <= ALPHA / (len(known) - rejected):
        rejected += 1
    called = [p for p, level in zip(p_values, levels, strict=True) if p <= level]
    assert sorted(called) == known[:rejected]
    assert [math.isnan(level) for level in levels] == [math.isnan(p) for p in p_values]


def no_floor(growth: Floats) -> Floats:
    return np.full(np.shape(growth), np.nan)


@pytest.mark.parametrize(
    ("log_ratio", "error", "expected"),
    [
        (0.05, 0.01, "slower"),
        (-0.05, 0.01, "faster"),
        (0.0, 0.001, "same"),
        (0.005, 0.0001, "same"),  # differs, and does not matter
        (0.05, 0.04, "undecided"),
        (0.0, 0.01, "undecided"),
    ],
)
def test_outcomes(log_ratio: float, error: float, expected: str) -> None:
    difference = Difference(log_ratio, error, 9, 10)
    what, more = outcome(difference, 0.05, 0.01, no_floor)
    assert what == expected
    assert (more > 0) == (expected == "undecided")


def test_a_difference_below_the_floor_is_none() -> None:
    difference = Difference(0.05, 0.01, 9, 10)
    more = outcome(difference, 0.05, 0.01, lambda growth: 0.06 / np.sqrt(growth))
    assert more == ("undecided", 5)
    vague = Difference(0.02, 0.02, 9, 10)
    assert outcome(vague, 0.05, 0.01, lambda growth: 0.08 / np.sqrt(growth)) == ("same", 0)


def test_what_no_sensible_number_would_decide() -> None:
    assert outcome(Difference(0.0099, 0.01, 9, 10), 0.05, 0.01, no_floor) == (
        "undecided",
        math.inf,
    )


def test_as_many_more_as_it_says_decide_about_half(random: np.random.Generator) -> None:
    decided = []
    for _ in range(300):
        few = random.normal(0.04, 0.05, 8)
        what, more = outcome(paired(few), 0.05, 0.01, no_floor)
        if what == "undecided" and more < 100:
            again = np.concatenate([few, random.normal(few.mean(), few.std(ddof=1), int(more))])
            decided.append(outcome(paired(again), 0.05, 0.01, no_floor)[0] != "undecided")
    assert len(decided) > 100
    assert 0.3 < np.mean(decided) < 0.8


# Nodes


def hierarchical_bootstrap(log_ratios: Floats, random: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % percentile interval over nodes, then their trials; (node, trial)."""
    nodes, trials = log_ratios.shape
    drawn = random.integers(nodes, size=(400, nodes))
    of_them = random.integers(trials, size=(400, nodes, trials))
    means = log_ratios[drawn[..., None], of_them].mean(axis=(1, 2))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("nodes", [3, 5, 10, 20])
@pytest.mark.parametrize("bimodal", [False, True])
def test_t_over_nodes_covers_where_a_bootstrap_does_not(
    random: np.random.Generator, nodes: int, *, bimodal: bool
) -> None:
    by_t, by_bootstrap, runs = 0, 0, 500
    for _ in range(runs):
        effects = random.choice([-0.03, 0.03], nodes) if bimodal else random.normal(0, 0.03, nodes)
        log_ratios = effects[:, None] + random.normal(0, 0.02, (nodes, 6))
        difference = paired(log_ratios.mean(axis=1))
        by_t += abs(difference.log_ratio) <= difference.half_width(0.05)
        low, high = hierarchical_bootstrap(log_ratios, random)
        by_bootstrap += low <= 0 <= high
    # Three nodes of two kinds are all of one kind in a quarter of the cases: nothing mends that.
    # The better of the two at any number of nodes, so that there is no need of the other.
    assert abs(by_t / runs - 0.95) <= abs(by_bootstrap / runs - 0.95) + 0.01
    assert by_t / runs > 0.93 or bimodal
    if nodes == 3:
        assert by_bootstrap / runs < 0.9
