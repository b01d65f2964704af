"""Results as a Dataset: where each number lands, what is judged of it, and speed-ups."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats

from analysis import open_results, samples, speedup
from suite.errors import UserError
from suite.results.rows import CellFlag, Results, TrialFlag
from suite.results.write import write_results
from suite.verdict import OF_NOISE, REASONS, judge
from tests.conftest import Opened
from tests.rows import POINT, a_cell, a_node, a_run, a_trial, an_artifact, some_results

STEADY = [100, 101, 99, 100, 102, 98]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test's results are."""
    return tmp_path / "results.h5"


# The Dataset


def test_numbers_land_where_they_belong(opened: Opened) -> None:
    artifact = an_artifact(artifact_bytes=7, error_rel_l2=0.5)
    results = opened(a_run(({}, STEADY), ({"threads": 2}, [50] * 6), artifacts=(artifact,)))

    assert dict(results.sizes) == {
        **{"model": 1, "quantization": 1, "threads": 2, "cpu_type": 1},
        **{"node": 1, "trial": 6},
    }
    cell = results.sel(model="resnet50", quantization="float32", cpu_type="local")
    assert cell["median_ns"].values.tolist() == [100, 50]
    assert (cell["ci_low_ns"] <= cell["median_ns"]).all()
    assert (cell["median_ns"] <= cell["ci_high_ns"]).all()
    assert cell["trials"].values.tolist() == [6, 6]
    assert cell["artifact_bytes"].values.tolist() == [7, 7]
    assert cell["error_rel_l2"].values.tolist() == [0.5, 0.5]
    assert cell["cell_id"].values.tolist() == ["c0", "c1"]
    assert cell["trial_median_ns"].sel(threads=1, node="host").values.tolist() == STEADY
    assert results.attrs["run_id"] == "run"


def test_a_folder_is_opened_by_its_results(opened: Opened, file: Path) -> None:
    xr.testing.assert_identical(opened(some_results()), open_results(str(file.parent)))


def test_every_number_has_a_unit(opened: Opened) -> None:
    results = opened(some_results())
    numeric = [v for v in results.data_vars.values() if np.issubdtype(v.dtype, np.number)]
    assert len(numeric) > 10
    assert [v.name for v in numeric if not v.attrs.get("units")] == []


def test_the_verdict_goes_with_every_variable(opened: Opened, file: Path) -> None:
    cells = ({}, STEADY), ({"threads": 2}, [50] * 3)  # of few trials
    results = opened(a_run(*cells))
    medians = results["median_ns"].squeeze()
    assert medians["verdict"].values.tolist() == ["", "few_trials"]
    assert medians.where(medians["verdict"] == "", drop=True).values.tolist() == [100]
    assert (medians.sel(threads=1) / medians.sel(threads=2)).item() == 2  # verdicts differ
    by_verdict = medians.groupby("verdict").max()
    assert by_verdict.sel(verdict="few_trials").item() == 50
    several = open_results([file, file])
    assert several["median_ns"]["verdict"].squeeze().values.tolist() == [["", "few_trials"]] * 2


def test_xarray_selects_calculates_and_plots(opened: Opened) -> None:
    results = opened(a_run(({}, STEADY), ({"threads": 2}, [50] * 6), ({"threads": 4}, [25] * 6)))
    medians = results["median_ns"].squeeze()
    assert (medians.sel(threads=1) / medians.isel(threads=-1)).item() == 4
    assert medians.where(medians < 60, drop=True)["threads"].values.tolist() == [2, 4]
    (line,) = medians.plot.line(ax=Figure().subplots())
    assert line.get_xydata().tolist() == [[1, 100], [2, 50], [4, 25]]


def test_numbers_ascend_and_text_keeps_the_sweeps_order(opened: Opened) -> None:
    sweep = '[axes]\nquantization = ["int8", "float32", "dynamic"]\nthreads = [16, 2]\n'
    cells: list[tuple[dict[str, Any], list[int]]] = [
        ({"quantization": quantization, "threads": threads}, [])
        for quantization in ("float32", "dynamic", "int8")
        for threads in (16, 2)
    ]
    results = opened(a_run(*cells, provenance={"sweep": sweep}))
    assert results["quantization"].values.tolist() == ["int8", "float32", "dynamic"]
    assert results["threads"].values.tolist() == [2, 16]


def test_an_axis_of_later_times_is_one_more_dimension(opened: Opened) -> None:
    results = opened(a_run(({"batch": 8}, [80]), ({"batch": 1}, [10])))
    assert results["median_ns"].dims == (*POINT, "batch")
    assert results["median_ns"].squeeze().to_series().to_dict() == {1: 10, 8: 80}
    over_batch = speedup(results, batch=1)["ratio"].squeeze()
    np.testing.assert_allclose(over_batch, [1, 1 / 8])


def test_a_sparse_grid_has_holes(opened: Opened) -> None:
    results = opened(a_run(({}, [10]), ({"quantization": "int8", "threads": 2}, [5])))
    at = results.squeeze(["model", "cpu_type"])
    assert at["status"].sel(quantization="float32").values.tolist() == ["ok", ""]
    assert at["status"].sel(quantization="int8").values.tolist() == ["", "ok"]
    assert np.isnan(at["median_ns"].sel(quantization="int8", threads=1))
    assert at["trials"].sel(quantization="int8", threads=1) == 0


def test_nodes_are_a_dimension_and_twins_are_numbered(opened: Opened) -> None:
    nodes = (a_node("n0", host="a"), a_node("n1", host="b"), a_node("n2", host="a"))
    trials = tuple(a_trial(f"t{n}", [10 * (n + 1)], node_id=f"n{n}") for n in range(3))
    results = opened(some_results(nodes=nodes, trials=trials))
    assert sorted(results["node"].values) == ["a", "a#2", "b"]
    of_nodes = results["trial_median_ns"].squeeze()
    assert sorted(of_nodes.values) == [10, 20, 30]
    assert of_nodes.sel(node="b") == 20
    assert results["median_ns"].item() == 20


def test_a_claim_about_a_cpu_type_rests_on_its_nodes(opened: Opened) -> None:
    nodes = tuple(a_node(f"n{n}", host="abca"[n]) for n in range(4))
    trials = tuple(
        a_trial(f"t{n}", [100 + n % 4], node_id=f"n{n % 4}", round=n // 4) for n in range(24)
    )
    here = opened(some_results(nodes=nodes, trials=trials))
    assert np.isnan(here["type_low_ns"].item())
    run = some_results(nodes=nodes, trials=trials, cells=(a_cell(cpu_type="skylake"),))
    several = opened(run)
    # Three machines: the first was described twice.
    low, high = np.exp(stats.t.interval(0.95, 2, *_mean_and_error([101.5, 101, 102])))
    assert several["type_low_ns"].item() == pytest.approx(low, rel=1e-4)
    assert several["type_high_ns"].item() == pytest.approx(high, rel=1e-4)
    assert several["type_high_ns"] - several["type_low_ns"] > 1.5
    alone = opened(replace(run, nodes=tuple(replace(node, host="a") for node in nodes)))
    assert np.isnan(alone["type_low_ns"].item())
    assert "single_node" in alone["verdict"].item()
    assert "single_node" not in several["verdict"].item()


def _mean_and_error(values: list[float]) -> tuple[float, float]:
    logs = np.log(values)
    return float(logs.mean()), float(stats.sem(logs))


def test_no_cells_and_no_trials(opened: Opened) -> None:
    nothing = Results((), (), (), (), {"run_id": "run"})
    assert opened(nothing)["median_ns"].size == 1  # of no dimension, and NaN
    assert opened(a_run(({}, [])))["status"].item() == "missing"


# Verdicts


def judged(*trials: Any, precision: float = 0.02, **cell: Any) -> tuple[str, tuple[str, ...]]:
    judgement = judge(a_cell(**cell), trials, precision)
    return judgement.status, judgement.reasons


def steady(**values: Any) -> list[Any]:
    return [a_trial(f"t{n}", [ns], round=n, **values) for n, ns in enumerate(STEADY)]


def test_nothing_speaks_against_a_steady_cell() -> None:
    assert judged(*steady()) == ("ok", ())


def test_a_cell_without_its_artifact_or_trials() -> None:
    assert judged(build_error="no such layer") == ("failed", ("failed",))
    assert judge(a_cell(build_error="no such layer"), [], 1).error == "no such layer"
    assert judged() == ("missing", ("missing",))
    crashed = a_trial(status="crashed", error="signal 11")
    assert judged(crashed) == ("failed", ("failed",))
    assert judge(a_cell(), [crashed], 1).error == "signal 11"


def test_a_trial_refused_for_its_artifact_does_not_count_and_tells_why() -> None:
    changed = TrialFlag.FAILED | TrialFlag.ARTIFACT_CHANGED
    refused = a_trial("bad", status="failed", validity=int(changed))
    assert judged(*steady(), refused) == ("ok", ("artifact_changed", "failed_trials"))
    assert judged(refused) == ("failed", ("failed", "artifact_changed"))


def test_a_failed_trial_does_not_count_and_is_told() -> None:
    judgement = judge(a_cell(), [*steady(), a_trial("bad", status="crashed", error="why")], 0.02)
    assert (judgement.status, judgement.reasons) == ("ok", ("failed_trials",))
    assert (len(judgement.counted), judgement.error) == (6, "why")


def test_a_trial_with_nothing_after_its_warm_up_does_not_count() -> None:
    cold = a_trial("cold", [10, 10], warmup_count=2)
    assert judged(*steady(), cold) == ("ok", ("failed_trials",))
    assert judged(cold) == ("failed", ("failed",))


def test_few_trials() -> None:
    assert judged(*steady()[:5]) == ("ok", ("few_trials",))


def test_unresolved() -> None:
    assert judged(*steady(), precision=0.001) == ("ok", ("unresolved",))
    assert judged(a_trial(), precision=1) == ("ok", ("few_trials", "unresolved"))


def test_outputs_that_differ() -> None:
    assert judged(*steady(output_digest="same")) == ("ok", ())
    other = [replace(trial, output_digest=trial.trial_id) for trial in steady()]
    assert judged(*other) == ("ok", ("output_differs",))


@pytest.mark.parametrize("flag", TrialFlag)
def test_a_flag_on_every_trial_is_the_cells(flag: TrialFlag) -> None:
    assert judged(*steady(validity=int(flag))) == ("ok", (str(flag.name).lower(),))


@pytest.mark.parametrize("flag", TrialFlag)
def test_noise_in_one_trial_is_not_the_cells_but_a_fault_is(flag: TrialFlag) -> None:
    first, *others = steady()
    _, reasons = judged(replace(first, validity=int(flag)), *others)
    assert reasons == (() if flag in OF_NOISE else (str(flag.name).lower(),))


def test_every_reason_is_explained() -> None:
    assert set(REASONS) == {str(flag.name).lower() for flag in (*TrialFlag, *CellFlag)}


# Samples


@pytest.fixture
def measured(file: Path) -> Path:
    """Two cells; the warm-up of each trial is its first sample."""
    cells = a_cell("c0"), a_cell("c1", threads=2)
    trials = (
        a_trial("t0", [90, 10, 11], warmup_count=1),
        a_trial("t1", [90, 20], warmup_count=1, cell_id="c1"),
        a_trial("t2", [90, 12], warmup_count=1, round=1),
    )
    write_results(file, some_results(cells=cells, trials=trials))
    return file


def test_samples_come_in_order_with_where_they_are_from(measured: Path) -> None:
    latencies = samples(measured, threads=1)
    assert latencies.values.tolist() == [10, 11, 12]
    assert latencies["trial_id"].values.tolist() == ["t0", "t0", "t2"]
    assert latencies["invocation"].values.tolist() == [1, 2, 1]
    assert latencies["round"].values.tolist() == [0, 0, 1]
    assert set(latencies["node"].values) == {"host"}
    assert set(latencies["model"].values) == {"resnet50"}
    assert latencies.attrs["units"] == "ns"


def test_samples_with_their_warm_up(measured: Path) -> None:
    latencies = samples(measured, warm_up=True, threads=1)
    assert latencies.values.tolist() == [90, 10, 11, 90, 12]
    assert latencies["invocation"].values.tolist() == [0, 1, 2, 0, 1]


def test_samples_of_all_cells_and_of_none(measured: Path, file: Path) -> None:
    assert sorted(samples(measured).values) == [10, 11, 12, 20]
    write_results(file, a_run(({}, [])))
    assert samples(file).sizes == {"sample": 0}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"thread": 1}, "no axis 'thread'.*\n.*'threads'"),
        ({"model": "resnet5"}, "no model 'resnet5'.*\n.*'resnet50'"),
        ({"threads": 3}, "no threads 3.*\nKnown: 1, 2"),
        ({"threads": "1"}, "no threads '1'.*\nKnown: 1, 2"),
    ],
)
def test_samples_of_nothing_that_is_there(
    measured: Path, selection: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        samples(measured, **selection)


# Speed-ups


def test_a_drift_of_whole_rounds_falls_out(opened: Opened) -> None:
    drift = [1000, 1700, 800, 2600, 1200, 3100]
    half = [latency // 2 for latency in drift]
    of = speedup(opened(a_run(({}, drift), ({"threads": 2}, half))), threads=1).squeeze()
    for name in ("ratio", "ratio_low", "ratio_high"):
        np.testing.assert_allclose(of[name], [1, 2])
        assert of[name].attrs["units"] == "1"


def test_rounds_that_only_one_has_do_not_count(opened: Opened) -> None:
    of = speedup(opened(a_run(({}, [100, 100]), ({"threads": 2}, [50, 50, 1, 1]))), threads=1)
    np.testing.assert_allclose(of["ratio"].squeeze(), [1, 2])


def test_a_speed_up_along_no_axis_names_the_nearest(opened: Opened) -> None:
    with pytest.raises(UserError, match=r"no axis 'thread'.*\n.*'threads'"):
        speedup(opened(some_results()), thread=1)


def test_over_what_is_absent_there_is_no_speed_up(opened: Opened) -> None:
    results = opened(a_run(({"threads": 2}, STEADY), ({"threads": 4}, STEADY)))
    of = speedup(results, threads=1)
    assert of["ratio"].dims == results["median_ns"].dims
    assert np.isnan(of["ratio"]).all()
    failed = opened(a_run(({}, []), ({"threads": 2}, STEADY)))
    assert np.isnan(speedup(failed, threads=1)["ratio"]).all()


@given(st.lists(st.integers(10**3, 10**9), min_size=2, max_size=8), st.integers(2, 9))
def test_swapping_a_cell_and_its_baseline_inverts(latencies: list[int], factor: int) -> None:
    dims = ("threads", "node", "trial")
    trials = np.array([latencies, [factor * value for value in reversed(latencies)]], float)
    results = xr.Dataset(
        {"trial_median_ns": (dims, trials[:, None]), "median_ns": ("threads", trials[:, 0])},
        {"threads": [1, 2]},
    )
    there, back = speedup(results, threads=1), speedup(results, threads=2)
    np.testing.assert_allclose(
        there["ratio"].sel(threads=2), 1 / back["ratio"].sel(threads=1), rtol=1e-9
    )
    np.testing.assert_allclose(
        there["ratio_low"].sel(threads=2), 1 / back["ratio_high"].sel(threads=1), rtol=1e-9
    )


# What is no result


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no results file '.*nothing\.h5'"):
        open_results(tmp_path / "nothing.h5")


def test_a_run_that_has_measured_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no results\.h5"):
        open_results(tmp_path)


def test_a_file_of_text(file: Path) -> None:
    file.write_text("model,threads\n")
    with pytest.raises(UserError, match=r"results\.h5.*damaged"):
        open_results(file)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file(opened: Opened, file: Path, share: float) -> None:
    opened(some_results())
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="damaged"):
        open_results(file)


def test_a_schema_of_later_times(opened: Opened, file: Path) -> None:
    opened(some_results())
    with h5py.File(file, "r+") as content:
        content.attrs["schema_version"] = "9.0"
    with pytest.raises(UserError, match=r"schema 9\.0"):
        open_results(file)
