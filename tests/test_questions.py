"""Questions to results: laws that the answers obey, and how often intervals hold the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import (
    cost,
    node_variability,
    quantization_gain,
    scaling,
    speedup,
)
from suite.errors import UserError
from suite.results.rows import Results
from tests.conftest import Opened
from tests.rows import POINT, a_cell, a_node, a_run, a_trial, some_results
from tests.test_trade_offs import STEADY, THREADS, a_choice, a_dataset


def law(threads: Any, contention: float = 0.0, coherency: float = 0.0) -> Any:
    """Return the latency over that of one thread, by the universal scalability law."""
    return (1 + contention * (threads - 1) + coherency * threads * (threads - 1)) / threads


# Scaling


@given(st.floats(0, 0.5), st.floats(0, 0.05), st.integers(10**5, 10**10))
def test_the_laws_are_found_where_they_hold(sigma: float, kappa: float, one_ns: int) -> None:
    amdahl = scaling(a_dataset(np.tile(one_ns * law(THREADS, sigma), (1, 1, 3, 1))))
    usl = scaling(a_dataset(np.tile(one_ns * law(THREADS, sigma, kappa), (1, 1, 3, 1))))
    np.testing.assert_allclose(amdahl["serial_fraction"], sigma, atol=1e-6)
    np.testing.assert_allclose(amdahl["amdahl_residual"], 0, atol=1e-6)
    np.testing.assert_allclose(usl["contention"], sigma, atol=1e-6)
    np.testing.assert_allclose(usl["coherency"], kappa, atol=1e-6)
    np.testing.assert_allclose(
        usl["speedup"].squeeze(), law(1) / law(THREADS, sigma, kappa), rtol=1e-6
    )
    np.testing.assert_allclose(usl["efficiency"] * usl["threads"], usl["speedup"])


@pytest.mark.parametrize("nodes", [1, 8])
def test_intervals_hold_the_truth_as_often_as_they_say(nodes: int) -> None:
    """Rounds drift as a whole, trials scatter by 2 %; where there are nodes, they differ by 5 %."""
    rng = np.random.default_rng(0)
    groups, rounds = 600, 8
    shape = (groups, nodes, rounds, len(THREADS))
    noise = rng.normal(0, 0.02, shape) + rng.normal(0, 0.05, shape[:3])[..., None]
    if nodes > 1:
        noise += rng.normal(0, 0.05, (groups, nodes, 1, len(THREADS)))
    found = scaling(a_dataset(1e7 * law(THREADS, 0.05, 0.002) * np.exp(noise)))
    for name, truth in (("contention", 0.05), ("coherency", 0.002)):
        holds = (found[f"{name}_low"] <= truth) & (truth <= found[f"{name}_high"])
        assert 0.92 < holds.mean() < 0.98


@pytest.mark.parametrize("nodes", [2, 5])
def test_a_speed_up_of_several_nodes_is_that_of_their_type(nodes: int) -> None:
    """Cells suit some nodes better than others, by 2 %: more trials of these tell little."""
    rng = np.random.default_rng(0)
    shape = (600, nodes, 6, 2)
    noise = rng.normal(0, 0.02, shape) + rng.normal(0, 0.02, (*shape[:2], 1, 2))
    found = speedup(a_dataset(1e7 * np.exp(noise) / [1, 1.8], [1, 2]), threads=1).sel(threads=2)
    holds = (found["ratio_low"] <= 1.8) & (found["ratio_high"] >= 1.8)
    assert 0.92 < holds.mean() < 0.98


def test_a_peak_is_told_where_there_is_one() -> None:
    exact = np.stack([law(THREADS, 0.1, 0.01), law(THREADS, 0.1)])[:, None, None] * 1e6
    noise = np.random.default_rng(0).normal(0, 0.003, (2, 1, 10, len(THREADS)))
    peak = scaling(a_dataset(exact * np.exp(noise)))["peak_threads"]
    assert peak[0] == pytest.approx(np.sqrt(0.9 / 0.01), rel=0.1)
    assert np.isnan(peak[1])


def test_without_three_thread_counts_there_is_no_fit_and_it_says_so(opened: Opened) -> None:
    two = scaling(opened(a_run(({}, STEADY), ({"threads": 2}, STEADY)))).squeeze()
    assert two["note"].item() == "a fit needs 3 thread counts; measured are 2"
    assert np.isnan(two["serial_fraction"])
    np.testing.assert_allclose(two["speedup"], [1, 1])
    np.testing.assert_allclose(two["efficiency"], [1, 0.5])


def test_without_common_rounds_there_is_no_fit_and_it_says_so() -> None:
    apart = np.full((1, 3, 4, 3), np.nan)
    apart[0, range(3), :, range(3)] = 1e6  # each count on a node of its own
    note = scaling(a_dataset(apart, [1, 2, 4]))["note"].item()
    assert note == "a fit needs 2 rounds that have all thread counts; there are 0"


# Cost


def test_what_a_million_inferences_cost(opened: Opened) -> None:
    node = a_node(cores=4)
    run = a_run(({}, [10**6] * 6), ({"threads": 2}, [6 * 10**5] * 6), nodes=(node,))
    of = cost(opened(run)).squeeze()
    np.testing.assert_allclose(of["core_seconds_per_million"], [1000, 1200])
    np.testing.assert_allclose(of["node_hours_per_million"], [1000 / 3600, 600 / 3600])
    np.testing.assert_allclose(of["packed_node_hours_per_million"], [250 / 3600, 300 / 3600])
    assert (of["core_seconds_per_million_low"] <= of["core_seconds_per_million"]).all()
    assert "joules_per_million" not in of
    assert {of[name].attrs["units"] for name in of.data_vars} == {"s", "h"}


def test_cost_by_cpu_time_energy_and_batch(opened: Opened) -> None:
    point: Mapping[str, Any] = {**POINT, "batch": 10}
    trial = a_trial(latency_ns=[10**7], effective_parallelism=0.5, package_energy_j=0.02)
    results = opened(some_results(cells=(a_cell(axes=point),), trials=(trial,)))
    of = cost(results).squeeze()
    assert of["cpu_seconds_per_million"].item() == pytest.approx(500)
    assert of["core_seconds_per_million"].item() == pytest.approx(1000)
    assert of["joules_per_million"].item() == pytest.approx(2000)
    assert np.isnan(of["packed_node_hours_per_million"])  # a node of 0 cores is an unknown one


# Nodes


def a_cluster(factors: Sequence[float], noise: float = 0.01, cells: int = 4) -> Results:
    """Return a run on a node for each factor, which its latencies are multiplied with."""
    rng = np.random.default_rng(1)
    return some_results(
        nodes=tuple(a_node(f"n{n}", host=f"host{n:02}") for n in range(len(factors))),
        cells=tuple(a_cell(f"c{n}", threads=2**n) for n in range(cells)),
        trials=tuple(
            a_trial(
                f"{cell}-{node}-{turn}",
                [int(1e7 / 2**cell * factor * rng.lognormal(0, noise))],
                cell_id=f"c{cell}",
                node_id=f"n{node}",
                round=turn,
            )
            for cell in range(cells)
            for node, factor in enumerate(factors)
            for turn in range(6)
        ),
    )


def test_a_slow_node_is_found(opened: Opened) -> None:
    factors = [1.0, 1.002, 0.998, 1.15, 1.001, 0.999, 1.0]
    of = node_variability(opened(a_cluster(factors))).squeeze()
    assert of["node"].values[of["outlier"].values].tolist() == ["host03"]
    np.testing.assert_allclose(of["effect"], factors, rtol=0.02)
    assert (of["effect_low"] < of["effect"]).all() and (of["effect"] < of["effect_high"]).all()
    assert of["cells"].values.tolist() == [4] * 7


def test_nodes_that_are_alike_have_no_outlier(opened: Opened) -> None:
    of = node_variability(opened(a_cluster([1.0] * 12))).squeeze()
    assert not of["outlier"].any()
    assert of["spread"] < 0.01


@pytest.mark.parametrize(("nodes", "found"), [(5, 0.1), (10, 0.85), (40, 0.98)])
def test_of_nodes_that_are_alike_one_is_an_outlier_in_one_run_of_twenty(
    nodes: int, found: float
) -> None:
    """Nodes vary by 2 %; then one is 20 % slower, and one has run a single trial."""
    rng = np.random.default_rng(0)
    logs = rng.normal(0, 0.01, (1500, nodes, 6, 4)) + rng.normal(0, 0.02, (1500, nodes, 1, 1))
    logs[1000:, 0] += 0.2
    logs[1000:, 1] = np.where(np.arange(24).reshape(6, 4) == 0, logs[1000:, 1] + 0.2, np.nan)
    runs = a_dataset(np.exp(logs), [1, 2, 3, 4]).rename(model="run").expand_dims(cpu_type=["zen3"])
    outlier = node_variability(runs)["outlier"].squeeze().values
    assert outlier[:1000].any(axis=1).mean() < 0.09
    assert outlier[1000:, 0].mean() > found
    assert not outlier[1000:, 1].any()


def test_of_few_nodes_none_is_an_outlier(opened: Opened) -> None:
    of = node_variability(opened(a_cluster([1.0, 1.0, 1.0, 2.0]))).squeeze()
    assert not of["outlier"].any()
    assert np.isnan(of["robust_z"]).all()
    np.testing.assert_allclose(of["effect"], [1, 1, 1, 2], rtol=0.05)


def test_one_node_has_nothing_to_differ_from(opened: Opened) -> None:
    of = node_variability(opened(a_run(({}, STEADY)))).squeeze()
    assert np.isnan(of["effect"]) and of["cells"] == 0 and not of["outlier"]
    assert np.isnan(node_variability(opened(a_run(({}, []))))["effect"]).all()


# Gains


def test_a_gain_is_paired_and_has_its_size(opened: Opened) -> None:
    drift = [1000, 1700, 800, 2600]
    run = a_choice(float32=drift, int8=[latency // 2 for latency in drift])
    of = quantization_gain(opened(run)).squeeze()
    for name in ("gain", "gain_low", "gain_high"):
        np.testing.assert_allclose(of[name], [1, 2])
    assert of["size_ratio"].values.tolist() == [1, 1.5]
    assert of["replicates"].values.tolist() == [4, 4]


def test_several_nodes_are_the_replicates(opened: Opened) -> None:
    cells = a_cell("c0"), a_cell("c1", quantization="int8")
    trials = tuple(
        a_trial(f"{c}-{n}-{turn}", [ns], cell_id=f"c{c}", node_id=f"n{n}", round=turn)
        for n, gain in enumerate((2, 4))
        for c, ns in enumerate((1000 * gain, 1000))
        for turn in range(6)
    )
    nodes = a_node("n0", host="a"), a_node("n1", host="b")
    of = quantization_gain(opened(some_results(cells=cells, trials=trials, nodes=nodes))).squeeze()
    int8 = of.sel(quantization="int8")
    assert int8["gain"].item() == pytest.approx(np.sqrt(8))
    assert (int8["replicates"], int8["nodes"]) == (2, 2)
    assert int8["gain_low"] < 1  # two nodes that differ so much prove nothing
    again = a_node("n0", host="a"), a_node("n1", host="a")  # one host, described twice
    of = quantization_gain(opened(some_results(cells=cells, trials=trials, nodes=again))).squeeze()
    assert (of["replicates"][1], of["nodes"][1]) == (12, 1)


def test_a_gain_over_what_is_not_there(opened: Opened) -> None:
    with pytest.raises(UserError, match=r"no quantization 'float23'.*\n.*'float32'"):
        quantization_gain(opened(a_choice(float32=STEADY)), over="float23")
