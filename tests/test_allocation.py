"""How long a trial samples: what follows from the variances, and that it saves time."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.allocation import LEAST_NS, MOST_NS, PILOT_NS, PILOT_TRIALS, sampling_time_ns
from suite.results.rows import TrialRow
from tests.rows import a_trial

LATENCY_NS = 1_000_000
PRECISION = 0.02
START_NS = 1_000_000_000


def trials(
    count: int, between: float, within: float, sampling_ns: int = PILOT_NS, seed: int = 0
) -> list[TrialRow]:
    """Return trials whose medians and whose samples differ by these relative deviations."""
    rng = np.random.default_rng(seed)
    samples = sampling_ns // LATENCY_NS
    return [
        a_trial(
            f"t{number}",
            LATENCY_NS * np.exp(rng.normal(rng.normal(0, between), within, samples)),
            sampling_wall_ns=sampling_ns,
            process_wall_ns=START_NS + sampling_ns,
        )
        for number in range(count)
    ]


def test_the_first_trials_are_a_pilot() -> None:
    for count in range(PILOT_TRIALS):
        assert sampling_time_ns(trials(count, 0.01, 0.01), PRECISION) == PILOT_NS


def test_it_is_the_optimum_of_kalibera_and_jones() -> None:
    # sd of the median of n normal samples: 1.2533 sd / sqrt(n).
    rate_ns = (1.2533 * 0.3) ** 2 * LATENCY_NS
    best_ns = np.sqrt(START_NS * rate_ns / 0.02**2)
    found = [sampling_time_ns(trials(40, 0.02, 0.3, seed=seed), PRECISION) for seed in range(20)]
    assert np.median(found) == pytest.approx(best_ns, rel=0.25)


@given(st.floats(0, 0.2), st.floats(0, 0.2), st.integers(0, 99))
def test_it_stays_within_its_bounds(between: float, within: float, seed: int) -> None:
    assert LEAST_NS <= sampling_time_ns(trials(6, between, within, seed=seed), PRECISION) <= MOST_NS


def test_it_goes_no_further_than_the_precision_needs() -> None:
    exact = [sampling_time_ns(trials(12, 0.0, 0.3, seed=seed), 0.001) for seed in range(9)]
    rough = [sampling_time_ns(trials(12, 0.0, 0.3, seed=seed), 0.2) for seed in range(9)]
    assert np.median(exact) > 2 * np.median(rough)
    assert max(rough) == LEAST_NS


def test_trials_that_differ_are_short_and_samples_that_differ_make_them_long() -> None:
    assert sampling_time_ns(trials(12, 0.05, 0.001), PRECISION) == LEAST_NS
    assert sampling_time_ns(trials(12, 0.0, 0.3), PRECISION) > PILOT_NS


def test_samples_without_any_spread_ask_for_no_more_of_them() -> None:
    assert sampling_time_ns(trials(6, 0.0, 0.0), PRECISION) == LEAST_NS


def test_neighbours_that_are_alike_count_for_less() -> None:
    rng = np.random.default_rng(1)
    independent = trials(20, 0.01, 0.05)
    walks = [np.repeat(rng.normal(0, 0.05, 10), PILOT_NS // LATENCY_NS // 10) for _ in independent]
    centres = rng.normal(0, 0.01, len(walks))
    alike = [
        a_trial(
            f"w{number}",
            LATENCY_NS * np.exp(centre + walk),
            sampling_wall_ns=PILOT_NS,
            process_wall_ns=START_NS + PILOT_NS,
        )
        for number, (centre, walk) in enumerate(zip(centres, walks, strict=True))
    ]
    assert sampling_time_ns(alike, PRECISION) > sampling_time_ns(independent, PRECISION)


def seconds_to(precision: float, between: float, rate_ns: float, sampling_ns: float) -> float:
    """Return the time that trials take until their mean's standard error is `precision`."""
    variance = between**2 + rate_ns / sampling_ns
    return variance / precision**2 * (START_NS + sampling_ns) / 1e9


@pytest.mark.parametrize(("between", "within"), [(0.005, 0.2), (0.02, 0.2), (0.03, 0.02)])
def test_it_takes_less_time_than_any_fixed_length(between: float, within: float) -> None:
    rate_ns = (1.2533 * within) ** 2 * LATENCY_NS
    pilots: Sequence[TrialRow] = trials(30, between, within)
    ours = seconds_to(0.005, between, rate_ns, sampling_time_ns(pilots, PRECISION))
    fixed = [seconds_to(0.005, between, rate_ns, ns) for ns in np.geomspace(1e8, 2e9, 9)]
    assert ours < 1.1 * min(fixed)
