"""Instances and scenarios in the analysis, on results whose truth is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analysis
from analysis.table import headings, to_json
from suite.errors import UserError
from suite.results.rows import Results
from suite.scenarios import OFFLINE, SINGLE_STREAM
from tests.conftest import Opened
from tests.rows import POINT, a_cell, a_node, a_run, a_trial, an_instance, some_results
from tests.test_table import printed

MS = 1_000_000
RATES = ("server@50/s", "server@100/s")
BOUND = "server@20ms"
EFFICIENCY = {1: 1.0, 2: 0.9, 4: 0.75}
BATCH = 4


def a_load() -> Results:
    """Return rounds that drift by a tenth each: an invocation takes 10 ms, more among others."""
    cells, trials = [], []
    for k, efficiency in EFFICIENCY.items():
        for scenario in (SINGLE_STREAM, OFFLINE, *RATES, BOUND):
            cell = f"c{len(cells)}"
            axes = {**POINT, "batch": BATCH, "instances": k, "scenario": scenario}
            cells.append(a_cell(cell, axes=axes))
            for turn in range(6):
                service = 10 * MS / efficiency * 1.1**turn
                values = told(scenario, service, k)
                trials.append(
                    a_trial(
                        f"{cell}-{turn}",
                        np.full(10, service).astype(int),
                        cell_id=cell,
                        round=turn,
                        start_unix_ns=turn * 1000 + len(cells),
                        effective_parallelism=k,
                        peak_rss_bytes=100 * k,
                        **values,
                    )
                )
    return some_results(
        cells=tuple(cells), trials=tuple(trials), nodes=(a_node(cores=8),), states=()
    )


def told(scenario: str, service_ns: float, k: int) -> dict[str, Any]:
    """Return what a trial says of a scenario's rates."""
    per_s = 1e9 / service_ns * k
    if scenario == SINGLE_STREAM:
        return {"throughput_per_s": per_s * BATCH} if k > 1 else {}
    if scenario == OFFLINE:
        return {"throughput_per_s": per_s * BATCH, "counted_ns": 1e9 / per_s}
    if scenario == BOUND:
        rate = 0.8 * per_s
        served = 0.79 * per_s * BATCH  # the last ones are done after the last has come
        return {"throughput_per_s": served, "offered_per_s": rate, "counted_ns": 1e9 / rate}
    rate = float(scenario.removeprefix("server@").removesuffix("/s"))
    return {"throughput_per_s": rate * BATCH, "offered_per_s": rate}


def test_what_counts_is_latency_or_throughput(opened: Opened) -> None:
    results = opened(a_load()).squeeze()
    figures = results["figure"].sel(instances=2)
    assert figures.sel(scenario=[OFFLINE, BOUND]).values.tolist() == ["throughput"] * 2
    assert figures.sel(scenario=[SINGLE_STREAM, *RATES]).values.tolist() == ["latency"] * 3
    medians = results["median_ns"].sel(instances=2)
    service = 10 * MS / 0.9 * 1.1**2.5
    assert medians.sel(scenario=SINGLE_STREAM).item() == pytest.approx(service, rel=0.01)
    assert medians.sel(scenario=OFFLINE).item() == pytest.approx(service / 2, rel=0.01)


def test_throughput_is_of_examples_and_has_an_interval(opened: Opened) -> None:
    results = opened(a_load()).squeeze()
    for k, efficiency in EFFICIENCY.items():
        cells = results.sel(instances=k)
        per_s = k * efficiency * 1e9 / (10 * MS * 1.1**2.5) * BATCH
        for scenario, share in ((SINGLE_STREAM, 1), (OFFLINE, 1), (BOUND, 0.8)):
            cell = cells.sel(scenario=scenario)
            assert cell["throughput_per_s"].item() == pytest.approx(share * per_s, rel=0.01)
            low, high = (cell[f"throughput_{end}_per_s"].item() for end in ("low", "high"))
            assert low < cell["throughput_per_s"].item() < high
        assert cells["throughput_per_s"].sel(scenario=RATES[0]) == 50 * BATCH
        assert cells["offered_per_s"].sel(scenario=RATES[1]) == 100
        assert np.isnan(cells["offered_per_s"].sel(scenario=OFFLINE))


def test_scaling_is_paired_by_rounds(opened: Opened) -> None:
    """The drift of a tenth a round is in every trial, and in no ratio."""
    scaled = analysis.instance_scaling(opened(a_load())).squeeze()
    for k, efficiency in EFFICIENCY.items():
        for scenario in (SINGLE_STREAM, OFFLINE, BOUND):
            cell = scaled.sel(instances=k, scenario=scenario)
            assert cell["efficiency"].item() == pytest.approx(efficiency)
            assert cell["throughput_ratio"].item() == pytest.approx(k * efficiency)
            assert cell["efficiency_low"].item() == pytest.approx(efficiency)
            assert cell["peak_rss_bytes"] == 100 * k


def test_one_instance_is_counted_as_several_are(opened: Opened) -> None:
    """A pause in one of ten invocations is in the time of both, whatever the median says."""
    cells, trials = [], []
    for k in (1, 2):
        axes = {**POINT, "batch": BATCH, "instances": k}
        cells.append(a_cell(f"c{k}", axes=axes))
        for turn in range(6):
            latency = np.full(10, 10 * MS)
            latency[3] = 110 * MS
            took_ns = float(latency.sum())
            window = {"window_ns": took_ns, "throughput_per_s": 10 * k * BATCH * 1e9 / took_ns}
            trials.append(
                a_trial(
                    f"{k}-{turn}",
                    latency,
                    cell_id=f"c{k}",
                    round=turn,
                    sampling_wall_ns=int(took_ns),
                    **(window if k > 1 else {}),
                )
            )
    run = some_results(cells=tuple(cells), trials=tuple(trials), states=())
    scaled = analysis.instance_scaling(opened(run)).squeeze()
    assert scaled["efficiency"].sel(instances=2) == pytest.approx(1)


def test_scaling_of_one_number_of_instances(opened: Opened) -> None:
    with pytest.raises(UserError, match="no axis 'instances'"):
        analysis.instance_scaling(opened(some_results()))


def test_a_cell_of_several_instances_costs_the_cores_of_all(opened: Opened) -> None:
    costs = analysis.cost(opened(a_load())).squeeze()
    for k, efficiency in EFFICIENCY.items():
        cell = costs.sel(instances=k, scenario=OFFLINE)
        seconds = 1e6 * 10 * MS * 1.1**2.5 / 1e9 / BATCH / efficiency  # of cores
        assert cell["core_seconds_per_million"].item() == pytest.approx(seconds, rel=0.01)
        assert cell["cpu_seconds_per_million"].item() == pytest.approx(seconds, rel=0.01)
        hours = seconds / k / 3600
        assert cell["node_hours_per_million"].item() == pytest.approx(hours, rel=0.01)
        packed = cell["packed_node_hours_per_million"].item()
        assert packed == pytest.approx(hours / (8 // k), rel=0.01)
        assert cell["core_seconds_per_million_low"] < cell["core_seconds_per_million"]


def test_the_table_says_rates_where_there_are_any(opened: Opened) -> None:
    results = opened(a_load())
    records = to_json(results)
    assert "p99" in headings(records)
    text = " ".join(printed(results).split())
    assert "p99: what 99 % of the queries were served in" in text
    assert "without a latency" in text
    (offline,) = [r for r in records if (r["instances"], r["scenario"]) == (1, OFFLINE)]
    assert offline["figure"] == "throughput"
    plain = opened(a_run(({}, [10] * 6)))
    assert "p99" not in headings(to_json(plain))
    assert "without a latency" not in printed(plain)


def test_figures_of_instances_and_load(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_load())
    names = {path.stem for path in analysis.write_figures(results, tmp_path, ["svg"])}
    assert {"instances", "load"} <= names
    text = (tmp_path / "instances.svg").read_text()
    assert "ideal" in text
    assert "scenario offline" in text
    assert "server@50/s" not in text
    alone = results.sel(instances=[1], scenario=[SINGLE_STREAM])
    names = {path.stem for path in analysis.write_figures(alone, tmp_path / "alone", ["svg"])}
    assert not {"instances", "load"} & names


def test_what_each_instance_has_done(opened: Opened, tmp_path: Path) -> None:
    rows = tuple(
        an_instance(f"i{n}", instance_trial_id="c5-0", instance_number=n, instance_cpus=str(n),
                    instance_median_ns=100.0 + n, instance_peak_rss_bytes=50)
        for n in range(2)
    )  # fmt: skip
    run = a_load()
    opened(Results(**{**vars(run), "instances": rows}))
    frame = analysis.instances(tmp_path / "results.h5")
    assert frame["instance"].tolist() == [0, 1]
    assert frame["instances"].tolist() == [2, 2]
    assert frame["median_ns"].tolist() == [100, 101]
    assert frame["cpus"].tolist() == ["0", "1"]
    opened(run)
    assert len(analysis.instances(tmp_path / "results.h5")) == 0


def test_answers_of_a_report_name_what_counts(opened: Opened) -> None:
    from analysis.report.answers import answers

    said = {found.title: " ".join(found.sentences) for found in answers(opened(a_load()))}
    of_offline = next(text for title, text in said.items() if "offline" in title)
    assert " a second" in of_offline.partition("Cheapest")[0]
