"""The experiment on comparisons: what is planted is there, and each method sees what is plain."""

from itertools import count

import numpy as np
import pytest

from suite.results.rows import TrialRow
from tests.benchmarks.a_a import METHODS, share
from tests.benchmarks.planted import EVERY, with_extra
from tests.rows import a_node, a_trial


@pytest.mark.parametrize("extra", [0, 1])
def test_of_every_twenty_one_is_run_twice(extra: int) -> None:
    calls = count()
    invoke = with_extra(lambda: next(calls), extra)  # type: ignore[arg-type,return-value]
    for _ in range(7):  # wherever a sample begins
        invoke()
    before = next(calls)
    for _ in range(5 * EVERY):
        invoke()
    assert next(calls) - before - 1 == 5 * (EVERY + extra)


def trials(cell: str, latency_ns: float) -> list[TrialRow]:
    random = np.random.default_rng(1)
    return [
        a_trial(
            f"{cell}{n}",
            latency_ns * random.normal(1, 0.005, 20),
            cell_id=cell,
            round=n,
            node_id="n0",
            warmup_count=2,
        )
        for n in range(8)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_sees_what_is_plain(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.a_a.describe_node", a_node)
    batch = {"a": trials("a", 1e6), "b": trials("b", 1e6), "slower": trials("slower", 1.2e6)}
    assert METHODS[method](batch, "a", "b") == 1
    assert METHODS[method](batch, "a", "slower") == pytest.approx(1.2, abs=0.01)


def test_a_share_has_an_exact_interval() -> None:
    found = share("", "", [False] * 100)
    assert (found.ratio, found.low, found.pairs) == (0, 0, 100)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))
