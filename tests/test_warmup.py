"""The warm-up rule, on latencies that were made up for it."""

from hypothesis import given
from hypothesis import strategies as st

from suite.warmup import window_size, windows_agree

window = st.lists(st.integers(1, 10**9), min_size=2, max_size=30)


def test_steady_windows_agree() -> None:
    assert windows_agree([100, 101, 99, 100, 100], [100, 99, 101, 101, 100])


def test_one_spike_changes_nothing() -> None:
    assert windows_agree([100, 101, 99, 100, 100], [100, 99, 5000, 101, 100])


def test_a_falling_latency_does_not_agree() -> None:
    assert not windows_agree([200, 180, 165, 150, 140], [110, 108, 106, 104, 102])


def test_a_calmer_window_does_not_agree_with_a_wild_one() -> None:
    assert not windows_agree([100, 150, 60, 130, 80], [100, 101, 99, 100, 100])


@given(window)
def test_a_window_agrees_with_itself_in_any_order(values: list[int]) -> None:
    assert windows_agree(values, values[::-1])


@given(window, window)
def test_agreement_has_no_direction(a: list[int], b: list[int]) -> None:
    assert windows_agree(a, b) == windows_agree(b, a)


@given(window, window, st.integers(2, 1000))
def test_agreement_does_not_depend_on_the_unit(a: list[int], b: list[int], scale: int) -> None:
    assert windows_agree([scale * x for x in a], [scale * x for x in b]) == windows_agree(a, b)


def test_windows_cover_time_for_quick_models_and_stay_small_for_slow_ones() -> None:
    assert window_size(100_000) == 200
    assert window_size(70_000_000) == 5
    assert window_size(1_300_000_000) == 2
    assert window_size(1) == 500


def test_two_samples_have_a_median_and_no_spread() -> None:
    assert windows_agree([1000, 1010], [1005, 1001])
    assert not windows_agree([1000, 1100], [1100, 1200])
