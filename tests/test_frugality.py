"""What results say of energy, heat and memory: of made-up trials, whose truth is known."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from analysis import best, cost, pareto, to_csv, to_json, to_markdown, to_rich_table
from analysis.report.answers import answers, trust
from analysis.report.facts import nodes
from analysis.report.run import run_page
from suite.results.rows import Results, TrialRow
from tests.conftest import Opened
from tests.rows import POINT, a_cell, a_node, a_run, a_trial, an_artifact, some_results

MS = 10**6
WARM_UP = 2
KEPT = 4
LOOPS = 5


def a_counted(
    name: str,
    joules: float,
    latency_ms: int = 10,
    *,
    cell: str = "c0",
    dram: float = 1.0,
    turn: int = 0,
    idle_w: float = 10.0,
) -> TrialRow:
    """Return a trial whose invocations took `joules` in the packages, `dram` in the memory."""
    invocations = KEPT * LOOPS
    return a_trial(
        name,
        [latency_ms * MS] * (WARM_UP + KEPT),
        cell_id=cell,
        round=turn,
        warmup_count=WARM_UP,
        inner_loops=LOOPS,
        sampling_wall_ns=invocations * latency_ms * MS,
        package_energy_j=joules * invocations,
        dram_energy_j=dram * invocations,
        idle_package_w=idle_w,
        idle_dram_w=5.0,
        frequency_during_hz=2e9 + turn,
        temperature_during_degc=50.0 + turn,
        steady_rss_bytes=1e6 + turn,
        weights_rss_bytes=3e5,
        arena_bytes=math.nan,
    )


def a_counted_run(**values: object) -> Results:
    """Return a run of two cells: the second is quicker, and needs more energy."""
    cells = a_cell("c0"), a_cell("c1", quantization="int8")
    trials = [a_counted(f"a{n}", 2.0 + 0.01 * n, turn=n) for n in range(6)]
    trials += [a_counted(f"b{n}", 3.0 + 0.01 * n, 5, cell="c1", turn=n) for n in range(6)]
    content = {"cells": cells, "trials": tuple(trials), "artifacts": (an_artifact(),)}
    return some_results(**content | values)


def test_joules_of_an_invocation_with_their_interval(opened: Opened) -> None:
    cell = opened(a_counted_run()).squeeze().sel(quantization="float32")
    assert cell["package_energy_j"].item() == pytest.approx(2.025)
    assert cell["dram_energy_j"].item() == pytest.approx(1)
    assert cell["energy_j"].item() == pytest.approx(3.025)
    assert 3.0 <= cell["energy_low_j"] < 3.025 < cell["energy_high_j"] <= 3.05
    # 15 W for 10 ms are what the idle node uses.
    assert cell["net_energy_j"].item() == pytest.approx(3.025 - 0.15)
    assert cell["net_energy_low_j"] < cell["net_energy_j"] < cell["net_energy_high_j"]
    assert cell["images_per_joule"].item() == pytest.approx(1 / 3.025)
    assert cell["images_per_joule_low"].item() == pytest.approx(1 / cell["energy_high_j"].item())
    assert cell["energy_covers"].item() == "packages and memory"
    np.testing.assert_allclose(cell["trial_energy_j"].values, 3 + 0.01 * np.arange(6))
    assert cell["energy_j"].attrs["units"] == "J"


def test_medians_of_climate_and_memory(opened: Opened) -> None:
    cell = opened(a_counted_run()).squeeze().sel(quantization="float32")
    assert cell["frequency_during_hz"].item() == 2e9 + 2.5
    assert cell["temperature_during_degc"].item() == 52.5
    assert cell["steady_rss_bytes"].item() == 1e6 + 2.5
    assert cell["weights_rss_bytes"].item() == 3e5
    assert np.isnan(cell["arena_bytes"].item())


def test_memory_that_one_node_does_not_count_is_left_out_of_all(opened: Opened) -> None:
    trials = (
        a_counted("t0", 2.0),
        replace(
            a_counted("t1", 4.0, dram=math.nan), node_id="n1", energy_absent="memory: not offered"
        ),
    )
    hosts = (a_node("n0", host="a"), a_node("n1", host="b"))
    results = opened(some_results(trials=trials, nodes=hosts)).squeeze()
    assert results["energy_covers"].item() == "packages"
    assert results["energy_lack"].item() == "memory: not offered"
    assert results["energy_j"].item() == pytest.approx(3)
    assert np.isnan(results["dram_energy_j"].item())
    assert results["trial_energy_j"].values.ravel().tolist() == pytest.approx([2, 4])
    assert [node["energy"] for node in nodes(results)] == [
        "counted",
        "counted (memory: not offered)",
    ]


def test_a_batch_has_many_images(opened: Opened) -> None:
    cell = a_cell(axes={**POINT, "batch": 8})
    results = opened(some_results(cells=(cell,), trials=(a_counted("t0", 2.0),)))
    assert results["energy_j"].item() == pytest.approx(3)
    assert results["images_per_joule"].item() == pytest.approx(8 / 3)
    assert cost(results)["joules_per_million"].item() == pytest.approx(3 / 8 * 1e6)


def test_the_invocations_of_a_window_are_those_of_all_instances(opened: Opened) -> None:
    trial = replace(a_counted("t0", 0.0), window_ns=2e9, throughput_per_s=40.0)
    trial = replace(trial, package_energy_j=160.0, dram_energy_j=math.nan)
    results = opened(some_results(trials=(trial,)))
    assert results["energy_j"].item() == pytest.approx(2)  # 160 J for 80 examples
    assert results["net_energy_j"].item() == pytest.approx(2 - 10 * 2 / 80)


def test_a_node_that_was_busy_when_idle_leaves_less_than_nothing(opened: Opened) -> None:
    trials = tuple(a_counted(f"t{n}", 0.5 + n, turn=n, idle_w=100.0) for n in range(3))
    results = opened(some_results(trials=trials)).squeeze()
    assert results["net_energy_j"].item() == pytest.approx(1 + 1.5 - 1.05)
    first = opened(some_results(trials=trials[:1])).squeeze()
    assert first["energy_j"].item() == pytest.approx(1.5)
    busy = replace(trials[0], idle_package_w=1000.0)
    of = opened(some_results(trials=(busy,))).squeeze()
    assert of["net_energy_j"].item() == pytest.approx(1.5 - 10.05)
    assert np.isnan(of["net_energy_low_j"].item())


# Where it is shown


def test_the_table_shows_energy_where_there_is_any(opened: Opened) -> None:
    results = opened(a_counted_run())
    first, second = to_json(results)
    assert first["energy_j"] == pytest.approx(3.025)
    assert first["frequency_during_hz"] == 2e9 + 2.5
    assert first["energy_covers"] == "packages and memory"
    assert "net_energy_high_j" in to_csv(results).splitlines()[0]
    assert "mJ each" in to_markdown(results)
    out = io.StringIO()
    Console(file=out, width=80).print(to_rich_table(results))
    said = out.getvalue()
    assert "3025" in said and "4025" in said
    assert "mJ: energy of packages and memory" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    assert second["images_per_joule"] == pytest.approx(1 / 4.025)


def test_the_widest_table_fits_a_terminal(opened: Opened) -> None:
    labelled = an_artifact(labelled_examples=100, labelled_top1=0.99, artifact_bytes=10**8)
    run = a_counted_run(artifacts=(labelled,))
    threads = tuple(replace(cell, axes={**cell.axes, "threads": 64}) for cell in run.cells[1:])
    results = opened(replace(run, cells=(*run.cells[:1], *threads)))
    out = io.StringIO()
    Console(file=out, width=88).print(to_rich_table(results))
    assert max(map(len, out.getvalue().splitlines())) <= 88
    assert "int8" in out.getvalue() and "99.00" in out.getvalue()


def test_the_table_says_why_one_cell_has_no_energy(opened: Opened) -> None:
    run = a_counted_run()
    lacking = replace(
        run.trials[-1], package_energy_j=math.nan, energy_absent="packages: too short"
    )
    results = opened(replace(run, trials=(*run.trials[:6], lacking)))
    out = io.StringIO()
    Console(file=out, width=80).print(to_rich_table(results))
    assert "without mJ: packages: too short" in out.getvalue()


def test_the_table_says_nothing_of_energy_where_there_is_none(opened: Opened) -> None:
    results = opened(a_run(({}, [10] * 6)))
    told = {name for name in to_json(results)[0] if "energy" in name or "joule" in name}
    assert told == {"energy_lack"}
    assert "frequency" not in to_csv(results)
    assert "mJ" not in to_markdown(results)


def test_energy_is_a_quantity_of_fronts(opened: Opened) -> None:
    results = opened(a_counted_run())
    front = pareto(results, ["median_ns", "energy_j"]).squeeze()
    assert front["on_front"].all()
    frugal = pareto(results, ["energy_j"]).squeeze()
    assert frugal["on_front"].values.tolist() == [True, False]
    np.testing.assert_allclose(frugal["probability"], [1, 0])
    assert pareto(results).attrs["objectives"].split()[:3] == [
        *("median_ns", "artifact_bytes", "energy_j"),
    ]
    assert pareto(results, ["images_per_joule"])["on_front"].values.ravel().tolist() == [
        True,
        False,
    ]


def test_what_is_bound_to_the_latency_is_drawn_with_it(opened: Opened) -> None:
    """A cell that is beaten in both by the same trials is beaten, however the trials scatter."""
    cells = a_cell("c0"), a_cell("c1", quantization="int8")
    trials = [
        a_counted(f"{cell}{n}", joules, joules, cell=cell, turn=n)
        for cell in ("c0", "c1")
        for n, joules in enumerate([10, 40, 20, 80, 30, 60])
    ]
    results = opened(some_results(cells=cells, trials=tuple(trials)))
    alone = pareto(results, ["median_ns"])["probability"].values
    both = pareto(results, ["median_ns", "energy_j"])["probability"].values
    np.testing.assert_allclose(both, alone)


def test_the_most_frugal_within_a_limit(opened: Opened) -> None:
    results = opened(a_counted_run())
    assert best(results, objective="energy_j")["quantization"].tolist() == ["float32", "int8"]
    held = best(results, at_most={"energy_j": 4.0})
    assert held["quantization"].tolist() == ["float32"]
    assert best(results, objective="images_per_joule")["quantization"][0] == "float32"


def test_joules_of_a_million(opened: Opened) -> None:
    of = cost(opened(a_counted_run())).squeeze().sel(quantization="float32")
    assert of["joules_per_million"].item() == pytest.approx(3.025e6)
    assert of["joules_per_million_low"] < of["joules_per_million"] < of["joules_per_million_high"]


def test_the_report_tells_of_energy(opened: Opened) -> None:
    results = opened(a_counted_run())
    (said,) = answers(results)
    text = " ".join(said.sentences).replace("\u00a0", " ")
    assert "Most frugal: float32 on 1 thread, 3025 mJ an example (95 % interval 30" in text
    assert "2875 beyond what the idle node uses; 0.331 examples a joule" in text
    assert "Counted: the node's packages and memory." in text
    assert not any("not measured" in said for said in trust(results))
    html = run_page(results)
    assert "mJ each" in html
    assert "examples a joule" in html


def test_the_report_tells_why_there_is_no_energy(opened: Opened) -> None:
    made = a_run(({}, [10] * 6))
    trials = tuple(replace(trial, energy_absent="not offered here") for trial in made.trials)
    results = opened(replace(made, trials=trials))
    assert "Energy was not measured: not offered here." in trust(results)
    assert nodes(results)[0]["energy"] == "not counted (not offered here)"
