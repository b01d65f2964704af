"""Intervals: laws that they keep, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from suite.intervals import geometric_mean, median, relative_half_width
from tests.benchmarks.coverage import NOISES, RULE, Noise, coverage

latencies = st.lists(st.floats(1e2, 1e10), min_size=2, max_size=40)


@given(latencies)
def test_the_estimate_lies_in_its_interval(values: list[float]) -> None:
    for found in (median(values), geometric_mean(values)):
        assert found.low <= found.estimate * (1 + 1e-12)
        assert found.estimate <= found.high * (1 + 1e-12)


@given(latencies, st.floats(1e-3, 1e3))
def test_a_change_of_unit_changes_all_alike(values: list[float], unit: float) -> None:
    a, b = median(values), median([unit * value for value in values])
    np.testing.assert_allclose(
        [b.estimate, b.low, b.high], np.multiply(unit, [a.estimate, a.low, a.high]), rtol=1e-9
    )


@given(latencies, st.randoms(use_true_random=False))
def test_order_does_not_matter(values: list[float], rng: object) -> None:
    shuffled = sorted(values, key=lambda _: rng.random())  # type: ignore[attr-defined]
    a, b = median(values), median(shuffled)
    np.testing.assert_allclose([a.low, a.high], [b.low, b.high], rtol=1e-9)


@given(latencies)
def test_it_is_the_textbooks_interval(values: list[float]) -> None:
    logs = np.log(values)
    error = stats.sem(logs)
    if error == 0:
        return
    low, high = stats.t.interval(0.95, len(logs) - 1, loc=logs.mean(), scale=error)
    found = geometric_mean(values)
    np.testing.assert_allclose([found.low, found.high], np.exp([low, high]), rtol=1e-6)


def test_along_the_last_axis_with_values_missing() -> None:
    nan = np.nan
    found = median([[1.0, 2.0, 4.0], [3.0, nan, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(found.estimate, [2.0, 3.0, nan])
    assert np.isnan(found.low).tolist() == [False, True, True]
    assert found.low[0] < 2.0 < found.high[0]


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, -1.0], [1.0, np.inf]])
def test_what_has_no_logarithm_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        median(bad)


def test_half_widths() -> None:
    assert relative_half_width([5.0, 5.0, 5.0]) == pytest.approx(0, abs=1e-12)
    assert np.isnan(relative_half_width([5.0]))
    assert relative_half_width([1.0, 2.0, 3.0]) > relative_half_width([1.9, 2.0, 2.1])


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_coverage_with_the_stopping_rule_on(noise: Noise) -> None:
    """docs/trust.md has the same with more runs, which are here as many as to be sure of 1 %."""
    ours, others = coverage(noise, runs=800, methods=("litesweep", "pooled")).values()
    assert 0.92 < ours.held < 0.98
    assert others.held < 0.92
    assert RULE.min_trials <= ours.trials <= RULE.max_trials


def test_six_values_are_the_least_for_an_interval_without_assumptions() -> None:
    fewer, enough = median([1.0, 2.0, 3.0, 4.0, 5.0]), median([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert fewer.high > 5.0  # Student's t reaches beyond what was seen
    assert 1.0 <= enough.low < 2.0
    assert 5.0 < enough.high <= 6.0


@given(st.lists(st.floats(1e2, 1e10), min_size=6, max_size=40), st.floats(1.5, 1e3))
def test_an_outlier_moves_no_interval_far(values: list[float], factor: float) -> None:
    ordered = sorted([*values, *values])  # an outlier is beyond the order statistics that count
    wild = [*ordered[:-1], ordered[-1] * factor]
    assert median(wild).estimate == median(ordered).estimate
    assert median(wild).low == median(ordered).low
