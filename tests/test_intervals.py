"""Intervals: laws that they keep, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from suite.intervals import geometric_mean, median, relative_half_width

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


def test_coverage_when_processes_differ() -> None:
    """95 % intervals over trials hold the truth; those over pooled invocations hardly ever do.

    Noise as it was measured on real machines: 2 % between processes, correlated within one, and
    one invocation in a hundred a spike.
    """
    rng = np.random.default_rng(0)
    runs, trials, invocations = 2000, 6, 100
    process = rng.normal(0, 0.02, (runs, trials, 1))
    drift = np.cumsum(rng.normal(0, 0.001, (runs, trials, invocations)), axis=-1)
    spikes = rng.exponential(0.5, (runs, trials, invocations))
    spikes *= rng.random((runs, trials, invocations)) < 0.01
    latency = np.exp(process + drift + rng.normal(0, 0.005, drift.shape) + spikes)

    by_trial = median(np.median(latency, axis=-1))
    pooled = geometric_mean(latency.reshape(runs, -1))
    centre = 1.0  # of the process effects and of the drift; medians do not see the spikes
    covered = np.mean((by_trial.low <= centre) & (centre <= by_trial.high))
    of_pooled = np.mean((pooled.low <= centre) & (centre <= pooled.high))
    assert 0.93 < covered < 0.975
    assert of_pooled < 0.5
