"""The report: what it says; tests/test_pages.py has how it behaves in a browser."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis import planes
from analysis.report import facts, reduction, tables
from analysis.report.answers import answers, trust
from analysis.report.charts import charts, over_time
from analysis.report.charts import nodes as charts_of_nodes
from analysis.report.charts.forest import forest
from analysis.report.facts import reasons
from analysis.report.run import run_page as page
from analysis.report.tables import cells_table
from suite.results.rows import Results
from tests.conftest import Litesweep, Opened
from tests.rows import a_cell, a_cluster, a_run, a_state

STEADY = [100, 101, 99, 100, 102, 98]
LIMIT_BYTES = 5 * 10**6


def a_sweep(models: tuple[str, ...] = ("resnet50",), host: str = "host") -> Results:
    """Return a run whose int8 is not valid."""
    return a_cluster(models=models, host=host, unsteady="int8", name="demo", run_id="r1")


# What it says


def test_the_answers_are_sentences_with_their_intervals(opened: Opened) -> None:
    (said,) = answers(opened(a_sweep()))
    assert said.title == "resnet50"
    text = " ".join(said.sentences).replace("\u00a0", " ")
    assert re.search(r"Fastest: int8 on 4 threads, 2\.8\d ms \(95 % interval 2\.\d+ ms to", text)
    assert "Not valid: no steady state." in text
    assert re.search(r"Over float32 on as many threads: (4\.0\d|3\.9\d) times faster \(", text)
    assert "the file 4.00 times smaller" in text
    assert re.search(r"int8 on 4 threads over one: 3\.\d+ times faster .* of the work is", text)
    assert "Smallest: int8, 16.0 MiB." in text
    assert re.search(r"Cheapest: int8 on 1 thread, \d+ core-seconds", text)


def test_what_cannot_be_told_apart_is_not_told_apart(opened: Opened) -> None:
    (said,) = answers(opened(a_run(({}, STEADY), ({"quantization": "int8"}, STEADY[::-1]))))
    text = " ".join(said.sentences)
    assert "Not beyond doubt" in text
    assert "no difference can be told" in text or "float32" in said.sentences[0]


def test_slower_is_said_as_slower(opened: Opened) -> None:
    twice = [2 * latency for latency in STEADY]
    (said,) = answers(opened(a_run(({}, STEADY), ({"threads": 2}, twice))))
    assert "float32 on 2 threads over one: 2.00 times slower (2.00 to 2.00)." in said.sentences


def test_the_trust_in_it_is_told(opened: Opened) -> None:
    whole, energy, nodes = trust(opened(a_sweep()))
    assert whole == "3 of 6 cells are valid; of the others the table says why."
    assert re.search(r"local: 6 nodes, whose latencies spread by 0\.\d.%; none is an", nodes)
    assert energy == "Energy was not measured: no trial counted it."
    assert trust(opened(a_run(({}, STEADY))))[0] == "The only cell is valid."


def test_each_chart_needs_its_data(opened: Opened) -> None:
    def names(results: Results) -> list[str]:
        return [chart.name for chart in charts(opened(results))]

    assert names(a_sweep()) == ["cells", "scaling", "drift", "nodes"]
    assert names(a_run(({}, STEADY))) == ["cells", "drift"]
    assert names(a_run(({}, []))) == []


@pytest.mark.parametrize(
    "name", ["median_ns", "throughput_per_s", "speedup_threads", "core_seconds_per_million"]
)
def test_an_interval_is_drawn_of_whatever_has_one(opened: Opened, name: str) -> None:
    of_cells, *_ = charts(opened(a_sweep()))
    bars = [bar for series in of_cells.columns[f"{name} ±"] for bar in series.get("array", ())]
    assert max(bars, default=0) > 0


def test_samples_and_states_are_drawn_where_they_are_given(opened: Opened, tmp_path: Path) -> None:
    states = tuple(a_state(f"s{n}", state_unix_ns=n, state_probe_ns=10.0 + n) for n in range(3))
    results = opened(replace(a_run(({}, STEADY), ({"threads": 2}, STEADY)), states=states))
    extra = analysis.quantiles(tmp_path), analysis.states(tmp_path)
    drawn = {chart.name: chart for chart in charts(results, *extra)}
    assert list(drawn) == ["cells", "scaling", "distribution", "drift", "states"]
    ecdf = drawn["distribution"].figure.data[0]
    assert min(ecdf.y) == pytest.approx(1) and max(ecdf.y) == pytest.approx(99)
    assert list(ecdf.x) == sorted(ecdf.x)
    probe = drawn["states"].columns["probe"][0]
    assert probe == pytest.approx([10 / 11, 1, 12 / 11], rel=1e-4)


def test_a_percentile_that_is_not_known_says_what_it_lacks(opened: Opened) -> None:
    table = cells_table(opened(a_run(({}, STEADY))))
    (row,) = table.rows
    told = dict(zip((column.heading for column in table.columns), row, strict=True))
    assert re.fullmatch(r"needs \d+ invocations, has 6", told["p90 ms"])
    assert told["latency ms"] == "0.000100"


def test_a_verdict_names_its_cells(opened: Opened) -> None:
    (reason, *_) = reasons(opened(a_sweep()))
    assert (reason.count, reason.words.split(":")[0]) == (3, "no steady state")
    assert reason.cells[0] == "resnet50, int8, threads 1"


def test_many_trials_are_thinned_out_and_it_says_so(opened: Opened) -> None:
    drift = charts(opened(a_run(({}, [100 + n % 7 for n in range(4001)]))))[1]
    assert drift.caption.endswith("Shown are 4000 of 4001 trials, drawn at random.")
    assert len(drift.figure.data[0].x) == 4000


def test_what_is_shown_of_many_trials_is_of_all_rounds(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduction, "MOST_POINTS", 72)  # a third: every third is of two rounds
    _, _, drift, _ = charts(opened(a_sweep()))
    told = " ".join(text for trace in drift.figure.data for text in trace.text)
    assert {*re.findall(r"round (\d)", told)} == {*"012345"}


def test_of_many_nodes_the_states_of_those_that_stray_are_shown(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_time, "MOST_NODES", 2)
    probes = {"local 0": 10, "local 1": 20, "local 2": 11, "local 3": 10, "local 4": 50}
    states = tuple(
        a_state(f"{node} {n}", state_node_id=node, state_unix_ns=n, state_probe_ns=probe)
        for node, after in probes.items()
        for n, probe in enumerate((10.0, 10.0, 10.0, float(after)))
    )
    opened(replace(a_sweep(), states=states))
    chart = over_time.node_states(analysis.states(tmp_path))
    assert chart is not None and [trace.name for trace in chart.figure.data] == ["host1", "host4"]
    assert "Shown are the 2 of 5 nodes whose probe strays furthest." in chart.caption


@pytest.mark.parametrize(
    "results",
    [
        Results((), (), (), (), {}),
        a_run(({}, [])),
        a_run(({}, [5])),
        a_run(({"batch": 8}, STEADY), ({"batch": 1}, STEADY)),
        replace(a_run(({}, STEADY)), artifacts=()),
    ],
    ids=["nothing", "unmeasured", "one trial", "an axis more", "no artifact"],
)
def test_there_is_a_report_on_anything(opened: Opened, results: Results) -> None:
    if not results.artifacts and results.cells:
        results = replace(results, cells=(a_cell(artifact_key=""),))
    assert "</html>" in page(opened(results))


def test_the_same_results_give_the_same_page(opened: Opened) -> None:
    results = opened(a_sweep())
    assert page(results) == page(results)


# The command line


def test_the_command_writes_beside_the_results(
    opened: Opened, litesweep: Litesweep, tmp_path: Path
) -> None:
    opened(a_run(({}, STEADY)))
    done = litesweep("report", tmp_path)
    assert done.stdout.strip() == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < LIMIT_BYTES
    assert litesweep("report", tmp_path / "results.h5", "--out", "new/r.html").returncode == 0
    assert (tmp_path / "new/r.html").read_text() == (tmp_path / "report.html").read_text()


def test_what_is_no_run_has_no_report(litesweep: Litesweep, tmp_path: Path) -> None:
    done = litesweep("report", tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "results.h5" in done.stderr and "Traceback" not in done.stderr


def test_the_command_takes_a_part_of_a_run(
    opened: Opened, litesweep: Litesweep, tmp_path: Path
) -> None:
    opened(a_sweep(("a", "b")))
    refused = litesweep("report", f"{tmp_path}:model=a")
    assert refused.returncode == 2 and "--out FILE" in refused.stderr
    assert litesweep("report", f"{tmp_path}:model=a", "--out", "a.html").returncode == 0
    text = (tmp_path / "a.html").read_text()
    assert "<h3>a</h3>" in text and "<h3>b</h3>" not in text
    assert "All 3 cells" in text or "3 of 6 cells are valid" in text


# What is left out of a large run


def test_what_is_left_out_is_said(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    results = opened(a_sweep(("a", "b", "c")))
    monkeypatch.setattr(planes, "MOST_PLANES", 2)
    monkeypatch.setattr(reduction, "MOST_ROWS", 6)
    monkeypatch.setattr(reduction, "MOST_POINTS", 5)
    for module in (reduction, facts, sys.modules[charts_of_nodes.__module__]):
        monkeypatch.setattr(module, "MOST_MACHINES", 2)
    text = page(results)
    assert text.count("Shown are the first 2 of 3 values of model") == 3  # answers and two charts
    assert [answer.title for answer in answers(results)] == ["a", "b"]
    table = cells_table(results)
    assert table.note.startswith("Shown are 6 of 18 cells: those that are fastest for each model")
    assert [row[0] for row in table.rows] == ["a", "a", "b", "b", "c", "c"]
    assert {row[1] for row in table.rows} == {"int8"}
    assert {row[2] for row in table.rows} == {"2", "4"}
    assert "Listed are the first 2 of 6 nodes." in text
    assert len(facts.nodes(results)) == 2
    (cells, *_, nodes) = charts(results)
    assert "Shown are the 2 of 6 that are furthest" in nodes.caption
    assert "Shown are 5 of 12 cells" in cells.caption


def test_rows_beyond_the_first_are_packed(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    results = opened(a_sweep(("a", "b")))
    whole = cells_table(results)
    assert (len(whole.ready), len(whole.packed)) == (12, 0)
    monkeypatch.setattr(tables, "ROWS_AS_HTML", 5)
    assert (len(whole.ready), len(whole.packed)) == (5, 7)
    assert "Without scripts only the first 5 rows are here." in page(results)


# Two runs


def test_a_long_name_leaves_the_intervals_their_room(opened: Opened) -> None:
    cells = [({"model": model}, STEADY) for model in ("<b>" + 200 * "m", "short", "short too")]
    a, b = opened(a_run(*cells)), opened(a_run(*cells))
    labels = forest(analysis.compare(a, b)).figure.layout.yaxis.ticktext
    assert {label for label in labels if "m" * 9 not in label} == {"model=short", "model=short too"}
    (long,) = (label for label in labels if "m" * 9 in label)
    assert long.startswith("model=&lt;b&gt;m") and " …<br>m" in long
    assert max(map(len, long.replace("&lt;", "<").replace("&gt;", ">").split("<br>"))) <= 24


def test_the_page_of_a_comparison_says_what_is_called_and_why_not(
    opened: Opened, litesweep: Litesweep, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0)
    recipes = ("float32", "float16", "dynamic", "int8")
    for name, factor in (("a", 1), ("b", 1.05)):
        cells = [
            ({"quantization": recipe}, (factor * 1e6 * noise.lognormal(0, 0.001, 8)).astype(int))
            for recipe in recipes
        ]
        cells.append(({"threads": 2}, (1e6 * noise.lognormal(0, 0.05, 8)).astype(int)))
        cells += [({"threads": 4}, [10**6] * 8)] * (name == "a")
        provenance = {"run_id": name, "sweep": "", "platform": f"kernel {name}", "name": "same"}
        opened(a_run(*cells, provenance=provenance))
        (tmp_path / "results.h5").rename(tmp_path / f"{name}.h5")
    done = litesweep("compare", "a.h5", "b.h5", "--html", "c.html")
    assert done.returncode == 1, done.stdout  # B is slower, page or not
    assert done.stdout.startswith("c.html\nB is slower in 4 of 5 cells")
    text = (tmp_path / "c.html").read_text()
    assert "<h1>b.h5 against a.h5</h1>" in text
    assert "B is slower in 4 of 5 cells" in text
    assert "quantization=int8 threads=1: slower, 1.05" in text
    assert "The noise floor: with so many trials a cell seems to differ from itself" in text
    assert "The replicates are trials of two runs on one node: 8 for each of 5 cells." in text
    assert re.search(
        r"<h3>undecided</h3>\s*<ul><li>quantization=float32 threads=2: \+\S+ trials</li>", text
    )
    assert "only A has a latency: quantization=float32 threads=4" in text
    assert '<th scope="row">platform</th><td>kernel a</td><td>kernel b</td>' in text
    assert len(text) < LIMIT_BYTES
