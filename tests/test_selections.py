"""Parts of results, selected as xarray's users do: they are asked what the whole is asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import analysis
from suite.errors import UserError
from tests.conftest import Opened
from tests.rows import a_cluster, a_node, a_run, an_artifact, some_results

Select = Callable[[xr.Dataset], xr.Dataset]
FIXED = {
    "threads": {"threads": 2},
    "quantization": {"quantization": "int8"},
    "type": {"cpu_type": "zen3"},
    "all": {"model": "resnet50", "quantization": "int8", "threads": 2, "cpu_type": "zen3"},
}
PEAKS = {
    "read_bytes": [2**18, 2**28],
    "peaks": [
        {
            "threads": threads,
            "float32_macs_per_s": 1e12,
            "int8_macs_per_s": 4e12,
            "read_bytes_per_s": [1e11, 1e10],
        }
        for threads in (1, 2)
    ],
}


@pytest.mark.parametrize("fixed", FIXED.values(), ids=FIXED)
def test_an_axis_that_is_fixed_is_told_as_one_of_one_value(
    opened: Opened, tmp_path: Path, fixed: dict[str, Any]
) -> None:
    results = opened(a_cluster(2, cpu_types=("skylake", "zen3")))
    part, kept = results.sel(fixed), results.sel({axis: [value] for axis, value in fixed.items()})
    assert analysis.to_json(part) == analysis.to_json(kept)
    assert analysis.to_csv(part) == analysis.to_csv(kept)
    assert analysis.to_markdown(part) == analysis.to_markdown(kept)
    assert analysis.best(part).equals(analysis.best(kept))
    assert analysis.quantization_gain(results.sel(fixed), over="int8")["gain"].notnull().any()
    pages = [
        analysis.write_report(each, tmp_path / f"{n}.html") for n, each in enumerate((part, kept))
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    drawn = analysis.write_figures(part, tmp_path / "figures", ["svg"])
    assert {"latency", "drift", "nodes"} <= {path.stem for path in drawn}


def test_what_a_mask_has_left_is_what_there_is(opened: Opened) -> None:
    results = opened(a_cluster(1))
    masked, part = results.where(results["threads"] > 1), results.sel(threads=[2, 4])
    assert [record["cell_id"] for record in analysis.to_json(masked)] == [
        record["cell_id"] for record in analysis.to_json(part)
    ]
    assert len(analysis.best(masked)) == len(analysis.best(part)) == 4
    front = analysis.pareto(masked)["on_front"]
    assert front.sel(threads=[2, 4]).equals(analysis.pareto(part)["on_front"])
    assert not front.sel(threads=1).any()


@pytest.mark.parametrize("fixed", [{"batch": 8}, {"instances": 2}, {"batch": 1, "threads": 2}])
def test_what_is_fixed_still_counts(opened: Opened, fixed: dict[str, Any]) -> None:
    cells = (
        {"batch": batch, "instances": instances, "threads": threads}
        for batch in (1, 8)
        for instances in (1, 2)
        for threads in (1, 2)
    )
    artifact = an_artifact(multiply_adds=5e8, weight_bytes=2**20)
    run = a_run(
        *((cell, [10**6] * 6) for cell in cells), artifacts=(artifact,), nodes=(a_node(cores=8),)
    )
    results = opened(run)
    results = results.assign(
        {f"energy{end}_j": results["median_ns"] for end in ("", "_low", "_high")}
    )
    for ask in (analysis.cost, lambda of: analysis.roofline(of, PEAKS)):
        xr.testing.assert_equal(ask(results.sel(fixed)), ask(results).sel(fixed))


def test_the_order_of_axes_and_dasks_arrays_change_no_answer(
    opened: Opened, tmp_path: Path
) -> None:
    artifact = an_artifact(multiply_adds=5e8, weight_bytes=2**20)
    cells = ({"threads": 1}, [10**6] * 6), ({"threads": 2}, [10**5] * 3)  # of few trials
    results = opened(a_run(*cells, artifacts=(artifact,), nodes=(a_node(cores=8),)))
    told = analysis.roofline(results, PEAKS)
    others = results.transpose("threads", ...), analysis.open_results(tmp_path, chunks={})
    for other in others:
        again = analysis.roofline(other, PEAKS)
        xr.testing.assert_equal(again.transpose(*told.dims), told)
        assert analysis.to_json(other) == analysis.to_json(results)


def test_a_page_and_figures_are_made_of_dasks_arrays(opened: Opened, tmp_path: Path) -> None:
    of_numpy, of_dask = opened(a_cluster(2)), analysis.open_results(tmp_path, chunks={"threads": 1})
    pages = [
        analysis.write_report(results, tmp_path / f"{n}.html").read_bytes()
        for n, results in enumerate((of_numpy, of_dask))
    ]
    assert pages[0] == pages[1]
    assert len(analysis.write_figures(of_dask, tmp_path / "figures", ["svg"])) == 6


def test_one_cell_has_a_roofline(opened: Opened) -> None:
    results = opened(a_run(({}, [10**6] * 6), artifacts=(an_artifact(weight_bytes=2**20),)))
    xr.testing.assert_equal(
        analysis.roofline(results.squeeze(["model", "quantization", "threads", "cpu_type"]), PEAKS),
        analysis.roofline(results, PEAKS).squeeze(),
    )


def test_runs_that_a_user_has_put_together_have_a_table(opened: Opened) -> None:
    results = opened(a_cluster(2, unsteady="int8"))
    runs = xr.concat([results, results], xr.Variable("run", ["before", "after"]))
    once, twice = analysis.to_json(results), analysis.to_json(runs)
    assert [{**record, "run": run} for run in ("before", "after") for record in once] == twice
    assert len(analysis.best(runs)) == 12


def test_samples_are_subtracted_as_numbers_are(opened: Opened, tmp_path: Path) -> None:
    opened(a_run(({}, [30, 10, 20])))
    assert analysis.samples(tmp_path).diff("sample").values.tolist() == [-20, 10]


def test_a_percentage_is_no_share(opened: Opened, tmp_path: Path) -> None:
    opened(a_run(({}, [30, 10, 20]), ({"threads": 2}, [1, 2, 3])))
    for wrong in (50, -0.1, np.nan):
        with pytest.raises(UserError, match="is no share"):
            analysis.quantiles(tmp_path, [0.5, wrong])


def test_what_is_left_of_two_runs_is_compared(opened: Opened) -> None:
    results = opened(a_cluster(3, cpu_types=("skylake", "zen3"), run_id="r"))
    part = {"cpu_type": ["skylake"], "quantization": ["int8"]}
    a, b = (results.isel(threads=n) for n in (0, 1))
    masked = (side.where(side["cpu_type"] == "skylake") for side in (a, b))
    compared = analysis.compare(*masked).sel(part)
    xr.testing.assert_equal(compared, analysis.compare(a.sel(part), b.sel(part)).sel(part))
    assert compared["outcome"].item() == "faster"
    # Of one node, the cells of the other CPU type have no trial.
    of_node = analysis.compare(a.isel(node=[0]), b.isel(node=[0]))["outcome"]
    assert of_node.sel(cpu_type="skylake").values.tolist() == [["undecided"] * 2]
    assert of_node.sel(cpu_type="zen3").values.tolist() == [[""] * 2]
    assert set(analysis.best(results.isel(node=[0]))["cpu_type"]) == {"skylake"}


@pytest.mark.parametrize("ask", [analysis.speedup, analysis.cost, analysis.best, analysis.to_json])
def test_without_nodes_there_is_no_answer(opened: Opened, ask: Callable[..., Any]) -> None:
    results = opened(a_cluster(2)).isel(node=0)
    with pytest.raises(UserError, match=r"no dimension 'node'.\nSelect a list: node=\['host0'\]"):
        ask(results, **({"threads": 1} if ask is analysis.speedup else {}))


@pytest.mark.parametrize("rounds", [1, 6])
def test_energy_without_an_interval_or_an_idle_node_is_told(
    opened: Opened, tmp_path: Path, rounds: int
) -> None:
    run = a_run(({}, [10**7] * rounds), ({"threads": 2}, [5 * 10**6] * rounds))
    counted = {"package_energy_j": 2.0, "sampling_wall_ns": 10**9}
    trials = tuple(replace(trial, **counted) for trial in run.trials)
    page = analysis.write_report(opened(replace(run, trials=trials)), tmp_path / "report.html")
    assert "Most frugal: float32" in page.read_text()


QUESTIONS: dict[str, Callable[[xr.Dataset], Any]] = {
    "accuracy_loss": analysis.accuracy_loss,
    "best": analysis.best,
    "compare": lambda results: analysis.compare(results, results),
    "components": analysis.components,
    "cost": analysis.cost,
    "instance_scaling": analysis.instance_scaling,
    "node_variability": analysis.node_variability,
    "pareto": analysis.pareto,
    "quantization_gain": analysis.quantization_gain,
    "roofline": lambda results: analysis.roofline(results, PEAKS),
    "scaling": analysis.scaling,
    "speedup": lambda results: analysis.speedup(results, threads=1),
}


def test_of_nothing_that_is_left_nothing_is_asked(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_cluster(2))
    nothing = {dim: results.isel({dim: []}) for dim in (*results["status"].dims, "node")}
    nothing["no"] = opened(some_results(cells=(), trials=(), artifacts=()))
    for dim, part in nothing.items():
        what = "node" if dim == "node" else "cell"
        for ask in QUESTIONS.values():
            with pytest.raises(UserError, match=f"^There is no {what} in these results.$"):
                ask(part)
        assert analysis.write_figures(part, tmp_path / "figures") == []
        assert "<h2>Table" in analysis.write_report(part, tmp_path / "report.html").read_text()


@pytest.mark.parametrize("dims", [("model", "threads"), ("node", "trial")])
def test_what_is_stacked_is_to_be_taken_apart(opened: Opened, dims: tuple[str, str]) -> None:
    results = opened(a_cluster(1))
    stacked = results.stack(of=dims)
    for ask in (*QUESTIONS.values(), analysis.to_json):
        with pytest.raises(UserError, match=r"lies along 'of'.\nTake it apart .*unstack\('of'\)"):
            ask(stacked)
    assert analysis.to_json(stacked.unstack("of")) == analysis.to_json(results)


def test_of_nothing_that_is_known_there_is_no_front(opened: Opened) -> None:
    results = opened(a_run(({}, [10] * 6)))
    nothing = results.where(results["threads"] > 1)
    with pytest.raises(UserError, match="Nothing is known"):
        analysis.pareto(nothing)
    assert analysis.to_json(nothing) == []
