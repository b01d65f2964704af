"""Comparisons: what is a replicate, what is called, and how often wrongly."""

from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis import compare, history
from suite.errors import UserError
from suite.intervals import relative_half_width
from tests.conftest import Opened
from tests.rows import a_cell, a_node, a_run, a_trial, some_results
from tests.simulated import Floats, Machine, a_dataset

MIRRORED = {"slower": "faster", "faster": "slower", "only_a": "only_b", "only_b": "only_a"}
DIFFERENT = ("slower", "faster")

STEADY = [1000, 1001, 999, 1002, 998, 1000, 1001, 999]


def slower_by(share: float, latencies: list[int] = STEADY) -> list[int]:
    return [round(ns * (1 + share)) + n % 2 for n, ns in enumerate(latencies)]


def sides(medians: Floats) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the two halves of the cells of one run, (cell, node, round)."""
    run = a_dataset(medians)
    half = len(medians) // 2
    a, b = run.isel(threads=slice(half)), run.isel(threads=slice(half, None))
    return a, b.assign_coords(threads=a["threads"])


def runs(a: Floats, b: Floats, **values: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Return two runs."""
    return a_dataset(a, "a", **values), a_dataset(b, "b", **values)


# What is a replicate


def test_rounds_of_one_run_are_pairs(opened: Opened) -> None:
    drift = [1000, 1700, 800, 2600, 1200, 3100]
    results = opened(a_run(({}, drift), ({"threads": 2}, slower_by(0.1, drift))))
    compared = compare(results.sel(threads=1), results.sel(threads=2)).squeeze()
    assert compared["outcome"].item() == "slower"
    assert compared["ratio"] == pytest.approx(1.1, abs=0.002)
    assert (compared["replicate"].item(), compared["replicates"]) == ("pair", 6)
    assert compared["ratio_high"] - compared["ratio_low"] < 0.01


def test_rounds_that_were_not_side_by_side_are_no_pairs(opened: Opened) -> None:
    later = {1: 0, 2: 100}
    trials = tuple(
        a_trial(f"{t}-{r}", [ns], cell_id=f"c{t}", round=r, start_unix_ns=start + r)
        for t, start in later.items()
        for r, ns in enumerate(STEADY)
    )
    cells = a_cell("c1"), a_cell("c2", threads=2)
    results = opened(some_results(cells=cells, trials=trials))
    compared = compare(results.sel(threads=1), results.sel(threads=2)).squeeze()
    assert (compared["replicate"].item(), compared["replicates"]) == ("trial", 8)


def test_trials_of_two_runs_are_not_paired() -> None:
    medians = np.array([[STEADY]], float)
    compared = compare(*runs(medians, 1.05 * medians)).squeeze()
    assert (compared["replicate"].item(), compared["outcome"].item()) == ("trial", "slower")


def test_nodes_are_the_replicates_of_a_cpu_type(random: np.random.Generator) -> None:
    medians = Machine(node=0.02, trial=0.002).latencies(random, 1, 6, 8).mean(axis=-1)
    compared = compare(*runs(medians, 1.05 * medians, cpu_type="zen4")).squeeze()
    assert (compared["replicate"].item(), compared["replicates"]) == ("node", 6)
    assert compared["outcome"].item() == "slower"


def test_cpu_types_are_compared_over_their_nodes(random: np.random.Generator) -> None:
    of_a, of_b = Machine(node=0.02, trial=0.002).latencies(random, 2, 5, 8).mean(axis=-1)
    a = a_dataset(of_a[None], cpu_type="zen3", host="a")
    b = a_dataset(1.2 * of_b[None], cpu_type="zen4", host="b")
    compared = compare(a.sel(cpu_type="zen3"), b.sel(cpu_type="zen4")).squeeze()
    assert (compared["replicate"].item(), compared["replicates"]) == ("node", 5)
    assert compared["outcome"].item() == "slower"


@pytest.mark.parametrize("hosts", [("x", "x"), ("x", "y")])
def test_one_node_tells_nothing_of_its_cpu_type(hosts: tuple[str, str]) -> None:
    medians = np.array([[STEADY]], float)
    a = a_dataset(medians, "a", cpu_type="zen4", host=hosts[0])
    b = a_dataset(2 * medians, "b", cpu_type="zen4", host=hosts[1])
    compared = compare(a, b).squeeze()
    assert (compared["outcome"].item(), compared["reason"].item()) == ("undecided", "single_node")
    assert compared["ratio"] == pytest.approx(2)


def test_this_machine_is_no_cpu_type_but_another_machine_is_another() -> None:
    medians = np.array([[STEADY]], float)
    a, b = a_dataset(medians, "a", host="x"), a_dataset(2 * medians, "b", host="y")
    assert compare(a, a_dataset(2 * medians, "b", host="x"))["outcome"].item() == "slower"
    assert compare(a, b)["reason"].item() == "single_node"


def test_a_machine_described_twice_is_one_machine(opened: Opened) -> None:
    nodes = a_node("n0", host="h"), a_node("n1", host="h")
    trials = tuple(
        a_trial(f"{c}-{r}", [ns], cell_id=c, round=r, node_id=f"n{r % 2}")
        for c, latencies in (("c0", STEADY), ("c1", slower_by(0.05)))
        for r, ns in enumerate(latencies)
    )
    cells = a_cell("c0"), a_cell("c1", threads=2)
    results = opened(some_results(cells=cells, trials=trials, nodes=nodes))
    compared = compare(results.sel(threads=1), results.sel(threads=2)).squeeze()
    assert (compared["replicate"].item(), compared["replicates"]) == ("pair", 8)


# What comes out


def test_a_cell_is_the_same_as_itself(opened: Opened) -> None:
    results = opened(a_run(({}, [1000, 1300, 900]), ({"threads": 2}, STEADY)))
    compared = compare(results, results)
    assert (compared["outcome"] == "same").all()
    assert (compared["ratio"] == 1).all()


def test_few_trials(opened: Opened) -> None:
    results = opened(a_run(({}, [100]), ({"threads": 2}, [200])))
    compared = compare(results.sel(threads=1), results.sel(threads=2)).squeeze()
    assert (compared["outcome"].item(), compared["reason"].item()) == ("undecided", "few_trials")
    assert compared["more"] == 5


def test_cells_of_one_side_are_listed(opened: Opened) -> None:
    cells = [
        ({"threads": t, "quantization": q}, STEADY) for t in (1, 2) for q in ("int8", "float16")
    ]
    cells[0][0]["threads"] = 4
    results = opened(a_run(*cells))
    outcomes = compare(results.sel(quantization="int8"), results.sel(quantization="float16"))
    assert outcomes["outcome"].squeeze().to_series().to_dict() == {
        **{1: "only_b", 2: "same", 4: "only_a"}
    }


def test_doubtful_cells_take_part(opened: Opened) -> None:
    results = opened(a_run(({}, STEADY[:3]), ({"threads": 2}, slower_by(1)[:3])))
    compared = compare(results.sel(threads=1), results.sel(threads=2)).squeeze()
    assert "few_trials" in compared["a_verdict"].item()
    assert compared["outcome"].item() == "slower"


def test_every_number_has_a_unit_and_every_cell_its_point(opened: Opened) -> None:
    results = opened(a_run(({}, STEADY), ({"threads": 2}, STEADY)))
    compared = compare(results, results)
    assert compared["outcome"].dims == results["status"].dims
    assert all(v.attrs["units"] for v in compared.data_vars.values() if v.dtype.kind == "f")


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({"threads": 1}, {}, "different axes: model, quantization, cpu_type, and model"),
        ({"threads": 1}, {"quantization": "int8"}, "different axes"),
    ],
)
def test_sides_that_fix_different_axes(
    opened: Opened, a: dict[str, object], b: dict[str, object], message: str
) -> None:
    results = opened(a_run(({}, STEADY), ({"threads": 2, "quantization": "int8"}, STEADY)))
    with pytest.raises(UserError, match=message):
        compare(results.sel(a), results.sel(b))


def test_a_side_that_lacks_a_later_axis_is_at_its_default(opened: Opened) -> None:
    plain = opened(a_run(({}, STEADY))).load()
    results = opened(a_run(({"batch": 1}, slower_by(5)), ({"batch": 8}, STEADY)))
    compared = compare(plain, results).squeeze()
    assert compared["outcome"].to_series().to_dict() == {1: "slower", 8: "only_b"}
    assert compare(results, plain).squeeze()["outcome"].sel(batch=1) == "faster"
    assert compare(plain, results.sel(batch=8)).squeeze()["outcome"] == "same"


@pytest.mark.parametrize("threshold", [-0.01, np.nan, np.inf])
def test_a_threshold_is_a_relative_difference(opened: Opened, threshold: float) -> None:
    results = opened(a_run(({}, STEADY)))
    runs = results.expand_dims(run=["a"])
    for ask in (partial(compare, results, results), partial(history, runs)):
        with pytest.raises(UserError, match="is no relative difference"):
            ask(threshold=threshold)


def test_sides_without_a_cell_in_common(opened: Opened) -> None:
    results = opened(a_run(({}, STEADY), ({"threads": 2, "quantization": "int8"}, STEADY)))
    with pytest.raises(UserError, match=r"measured cell in common.\nquantization is .* fix it"):
        compare(results.isel(quantization=[0]), results.isel(quantization=[1]))
    with pytest.raises(UserError, match=r"in common.\nNo cell was measured on both"):
        compare(results.sel(threads=1), results.sel(threads=2))


# Laws


MEDIANS = arrays(float, (4, 2, 5), elements=st.floats(1e3, 1e9))


@settings(deadline=None, max_examples=40)
@given(MEDIANS, st.booleans(), st.sampled_from(["local", "zen4"]))
def test_comparing_the_other_way_round_mirrors(
    medians: Floats,
    paired: bool,
    cpu_type: str,
) -> None:
    medians[0] = medians[2] * 1.5  # something to find
    a, b = sides(medians) if paired else runs(medians[:2, :1], medians[2:, :1], cpu_type=cpu_type)
    there, back = compare(a, b), compare(b, a)
    np.testing.assert_allclose(there["ratio"], 1 / back["ratio"])
    np.testing.assert_allclose(there["ratio_low"], 1 / back["ratio_high"])
    np.testing.assert_allclose(there["limit"], back["limit"])
    np.testing.assert_array_equal(there["more"], back["more"])
    mirrored = [MIRRORED.get(o, o) for o in back["outcome"].values.flat]
    assert there["outcome"].values.flatten().tolist() == mirrored


@settings(deadline=None, max_examples=40)
@given(MEDIANS, st.floats(1e-2, 1e2))
def test_units_do_not_matter(medians: Floats, factor: float) -> None:
    plain, scaled = compare(*sides(medians)), compare(*sides(factor * medians))
    assert (plain["outcome"] == scaled["outcome"]).all()
    np.testing.assert_allclose(plain["ratio"], scaled["ratio"])


# How often it is wrong, and right

NOISY = Machine(trial=0.02, spikes=0.02)
FAMILIES = 120
"""Of six cells each."""


def outcomes(a: xr.Dataset, b: xr.Dataset) -> list[str]:
    return [str(what) for what in compare(a, b)["outcome"].values.flat]


def called(what: list[str]) -> bool:
    return any(outcome in DIFFERENT for outcome in what)


@pytest.fixture
def random() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(11)


AT_MOST_FIVE = 0.05 + 2 * np.sqrt(0.05 * 0.95 / FAMILIES)
"""In a hundred families, within chance."""


@pytest.mark.parametrize(
    "machine",
    [NOISY, Machine(trial=0.003, two_speeds=True), Machine(trial=0.01, drift=0.03)],
    ids=["noisy", "two speeds", "drifting"],
)
def test_no_difference_is_called_between_cells_of_a_run(
    random: np.random.Generator, machine: Machine
) -> None:
    wrong = [
        called(outcomes(*sides(np.median(machine.latencies(random, 12, rounds=8), axis=-1))))
        for _ in range(FAMILIES)
    ]
    assert np.mean(wrong) <= AT_MOST_FIVE


def test_no_difference_is_called_between_runs(random: np.random.Generator) -> None:
    a, b = np.median(NOISY.latencies(random, 2 * 6 * FAMILIES, rounds=8), axis=-1).reshape(
        2, FAMILIES, 6, 1, 8
    )
    wrong = [called(outcomes(*runs(x, y))) for x, y in zip(a, b, strict=True)]
    assert np.mean(wrong) <= AT_MOST_FIVE


def test_drift_between_runs_is_called_far_less_than_by_t_alone(
    random: np.random.Generator,
) -> None:
    machine = Machine(trial=0.01, drift=0.01)
    wrong, by_t = [], []
    for _ in range(FAMILIES):
        medians = np.median(machine.latencies(random, 6, rounds=16), axis=-1)
        found = compare(*runs(medians[..., :8], medians[..., 8:]))
        wrong.append(found["outcome"].isin(DIFFERENT).any())
        by_t.append(((found["ratio_low"] > 1) | (found["ratio_high"] < 1)).any())
    # Nothing in two runs can tell a drift from a difference for certain.
    assert np.mean(wrong) < 0.2
    assert np.mean(by_t) > 0.3


def until_resolved(medians: Floats, precision: float = 0.02, least: int = 6) -> Floats:
    """Leave the trials that a cell has when it stops once its interval is narrow enough."""
    kept = medians.copy()
    for cell in kept[:, 0]:
        for count in range(least, len(cell)):
            if relative_half_width(cell[:count]) <= precision:
                cell[count:] = np.nan
                break
    return kept


def test_stopping_when_it_is_quiet_does_not_make_differences(random: np.random.Generator) -> None:
    wrong, by_t = [], []
    for _ in range(FAMILIES):
        of_a, of_b = (
            until_resolved(np.median(NOISY.latencies(random, 6, rounds=20), axis=-1))
            for _ in range(2)
        )
        found = compare(*runs(of_a, of_b))
        wrong.append(found["outcome"].isin(DIFFERENT).any())
        by_t.append(((found["ratio_low"] > 1) | (found["ratio_high"] < 1)).any())
    # A cell that was quiet by luck stopped early; the floor holds it to what is usual.
    assert np.mean(wrong) <= AT_MOST_FIVE
    assert np.mean(wrong) < np.mean(by_t)


def test_five_percent_are_found(random: np.random.Generator) -> None:
    found = []
    for _ in range(20):
        medians = np.median(Machine(trial=0.01).latencies(random, 12, rounds=10), axis=-1)
        medians[6:] *= 1.05
        found += outcomes(*sides(medians))
    assert found.count("slower") / len(found) > 0.9
    assert "faster" not in found
