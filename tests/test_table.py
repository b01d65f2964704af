"""The table of a run: for people, spreadsheets, programs and documents."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
import xarray as xr
from rich.cells import cell_len
from rich.console import Console

from analysis import compare, comparison_to_markdown, to_csv, to_json, to_markdown, to_rich_table
from analysis.table import latency
from suite.quantizations import QUANTIZATIONS
from suite.results.rows import Results, TrialFlag
from tests.conftest import Opened
from tests.rows import POINT, a_cell, a_run, a_trial, an_artifact, some_results

CONTRACT = [
    *(*POINT, "cell_id", "median_ns", "ci_low_ns", "ci_high_ns", "trials", "artifact_bytes"),
    *("peak_rss_bytes", "status", "verdict", "error"),
]
"""What programs rely on."""
MORE = [
    *("type_low_ns", "type_high_ns"),
    *("min_ns", "spread", "p90_ns", "p99_ns", "p90_lack", "p99_lack"),
    *("figure", "offered_per_s", "artifact_compressed_bytes"),
    *("steady_rss_bytes", "load_rss_bytes", "weights_rss_bytes", "arena_bytes"),
    *("throughput_per_s", "throughput_low_per_s", "throughput_high_per_s"),
    *("operators_run", "operators_delegated", "output_digest", "computes_in"),
    *("error_rel_l2", "error_max_abs", "error_cosine", "top1_agreement"),
    *("energy_lack", "labelled_top1", "reference_top1", "labelled_examples", "encoded_bytes"),
    *("multiply_adds", "weight_bytes", "activation_bytes"),
    *(f"speedup_{of}{end}" for of in ("threads", "float32") for end in ("", "_low", "_high")),
]

STEADY = [60_000_000 + n for n in range(6)]
FAST = [6_000_000 + n for n in range(6)]


def a_mixed_run() -> Results:
    """Return a run with a cell of each status, and one that is not to be trusted."""
    cells = (
        a_cell("good"),
        a_cell("flagged", threads=2),
        a_cell("unbuilt", quantization="int8", build_error="Layer [bold] has no int8 kernel"),
        a_cell("unmeasured", quantization="int8", threads=2),
    )
    trials = [
        *(a_trial(f"g{n}", [ns], cell_id="good", round=n) for n, ns in enumerate(STEADY)),
        *(
            a_trial(f"f{n}", [ns], cell_id="flagged", round=n, validity=TrialFlag.NO_STEADY_STATE)
            for n, ns in enumerate(FAST)
        ),
    ]
    return some_results(
        cells=cells,
        trials=tuple(trials),
        artifacts=(an_artifact(artifact_bytes=3 * 2**20),),
        provenance={"name": "mixed", "precision": "0.02"},
    )


def printed(results: xr.Dataset, width: int = 80) -> str:
    """Return the table as it looks where it is not on a terminal."""
    out = io.StringIO()
    Console(file=out, width=width).print(to_rich_table(results))
    return out.getvalue()


def test_json_has_what_programs_rely_on(opened: Opened) -> None:
    good, *others = to_json(opened(a_mixed_run()))
    for record in (good, *others):
        assert list(record)[: len(CONTRACT)] == CONTRACT
        assert sorted(record) == sorted([*CONTRACT, *MORE])
    expected = {
        **{**POINT, "cell_id": "good", "median_ns": 60_000_002.5, "trials": 6},
        **{"artifact_bytes": 3 * 2**20, "status": "ok", "verdict": [], "error": None},
    }
    assert {key: good[key] for key in expected} == expected
    assert good["ci_low_ns"] <= good["median_ns"] <= good["ci_high_ns"]
    assert good["throughput_per_s"] == pytest.approx(1 / 0.060, rel=1e-6)


def test_throughput_counts_what_a_batch_holds(opened: Opened) -> None:
    run = a_run(({"batch": 1}, [10**6] * 6), ({"batch": 8}, [4 * 10**6] * 6))
    assert [r["throughput_per_s"] for r in to_json(opened(run))] == pytest.approx([1000, 2000])


def test_statuses(opened: Opened) -> None:
    told = [(r["status"], r["verdict"], r["error"]) for r in to_json(opened(a_mixed_run()))]
    assert told == [
        ("ok", [], None),
        ("ok", ["no_steady_state"], None),
        ("failed", ["failed"], "Layer [bold] has no int8 kernel"),
        ("missing", ["missing"], None),
    ]


def test_what_is_not_known_is_null(opened: Opened) -> None:
    records = to_json(opened(a_mixed_run()))
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    unmeasured = records[-1]
    unknown = ["median_ns", "ci_low_ns", "ci_high_ns", "peak_rss_bytes", "throughput_per_s"]
    assert [unmeasured[key] for key in unknown] == [None] * 5
    assert unmeasured["trials"] == 0


def test_speed_ups(opened: Opened) -> None:
    by_cell = {record["cell_id"]: record for record in to_json(opened(a_mixed_run()))}
    assert by_cell["good"]["speedup_threads"] == 1
    assert by_cell["flagged"]["speedup_threads"] == pytest.approx(10, rel=1e-6)
    assert by_cell["flagged"]["speedup_float32"] == 1
    assert by_cell["unmeasured"]["speedup_float32"] is None


def test_only_cells_of_the_sweep_are_listed(opened: Opened) -> None:
    sparse = a_run(({}, STEADY), ({"quantization": "int8", "threads": 2}, STEADY))
    assert [record["cell_id"] for record in to_json(opened(sparse))] == ["c0", "c1"]


def test_a_later_axis_is_a_key_before_the_others(opened: Opened) -> None:
    records = to_json(opened(a_run(({"batch": 1}, STEADY), ({"batch": 8}, STEADY))))
    assert [list(record)[:6] for record in records] == [[*POINT, "batch", "cell_id"]] * 2


def test_csv_says_the_same(opened: Opened) -> None:
    results = opened(a_mixed_run())
    lines = list(csv.DictReader(io.StringIO(to_csv(results))))
    for line, record in zip(lines, to_json(results), strict=True):
        assert line.pop("verdict").split() == record.pop("verdict")
        assert line == {key: "" if v is None else str(v) for key, v in record.items()}


def test_of_no_cells(opened: Opened) -> None:
    results = opened(Results((), (), (), (), {"run_id": "run"}))
    assert to_json(results) == []
    assert to_csv(results).strip() == ""
    assert "latency" in printed(results)


# For people


def a_wide_run() -> Results:
    """Return a run that needs all the width there is."""
    return a_run(
        *(
            ({"quantization": quantization, "threads": threads}, [latency, latency * 2] * 3)
            for quantization in QUANTIZATIONS
            for threads in (1, 128)
            for latency in (987_654_321,)
        )
    )


def test_eighty_columns_hold_a_line_for_each_cell(opened: Opened) -> None:
    lines = printed(opened(a_wide_run())).splitlines()
    assert max(map(cell_len, lines)) <= 80
    rows = [line.split()[:2] for line in lines if line.startswith(QUANTIZATIONS)]
    assert len(rows) == 2 * len(QUANTIZATIONS)
    assert set(map(tuple, rows)) == {(q, t) for q in QUANTIZATIONS for t in ("1", "128")}
    wide = printed(opened(a_wide_run()), width=200)
    assert [line.split() for line in wide.splitlines() if line.startswith(QUANTIZATIONS)] == [
        line.split() for line in lines if line.startswith(QUANTIZATIONS)
    ]


def test_accuracy_has_a_column_where_there_were_labels(opened: Opened) -> None:
    labelled = an_artifact(labelled_top1=0.9132, labelled_examples=2500, reference_top1=0.92)
    results = opened(replace(a_wide_run(), artifacts=(labelled,)))
    assert "top-1: labelled test examples" in " ".join(printed(results).split())
    rows = [line for line in printed(results).splitlines() if line.startswith(QUANTIZATIONS)]
    assert all(" 91.32 " in row and cell_len(row) <= 80 for row in rows)
    assert "top-1 %" in to_markdown(results)
    assert to_json(results)[0]["labelled_examples"] == 2500
    assert "top-1" not in printed(opened(a_wide_run()))


def test_the_table_reads(opened: Opened) -> None:
    lines = [line.rstrip() for line in printed(opened(a_mixed_run())).splitlines()]
    assert lines[:2] == ["mixed", ""]
    assert [" ".join(line.split()) for line in lines[2:9]] == [
        "resnet50",
        "× over 1 × over disk peak trials,",
        "quantization threads latency ± % per s thread float32 MiB MiB verdict",
        "float32 1 60.0 ms 0.0 16.7 1.00 1.00 3.00 0 6 valid",
        "float32 2 6.00 ms 0.0 167 10.0 1.00 3.00 0 6 a",
        "int8 1 failed - - - - 3.00 - -",
        "int8 2 missing - - - - 3.00 - -",
    ]
    assert [line for line in lines if line.startswith("a  no steady state")]
    assert lines[-1] == "resnet50, int8, threads 1: Layer [bold] has no int8 kernel"


def test_each_model_and_each_value_of_other_axes_has_its_part(opened: Opened) -> None:
    places: list[dict[str, Any]] = [
        {"model": "resnet50", "cpu_type": "zen3", "batch": 1},
        {"model": "resnet50", "cpu_type": "zen3", "batch": 8},
        {"model": "tiny", "cpu_type": "zen4", "batch": 8},
    ]
    lines = printed(opened(a_run(*((place, STEADY) for place in places)))).splitlines()
    titles = ["resnet50, zen3, batch 1", "resnet50, zen3, batch 8", "tiny, zen4, batch 8"]
    assert [line for line in lines if line in titles] == titles


@pytest.mark.parametrize(
    ("latency_ns", "text"),
    [(999, "0.999 µs"), (12_345, "12.3 µs"), (4_470_000, "4.47 ms"), (1_200_000_000, "1.20 s")],
)
def test_latencies_have_their_unit(opened: Opened, latency_ns: int, text: str) -> None:
    assert f" {text} " in printed(opened(a_run(({}, [latency_ns] * 6))))


def test_an_error_is_told_once_and_whole(opened: Opened) -> None:
    error = "the kernel gave up " * 12
    cells = tuple(
        a_cell(f"c{n}", threads=n, quantization="int8", build_error=error) for n in (1, 2)
    )
    text = " ".join(printed(opened(some_results(cells=cells, trials=()))).split())
    assert text.count(error.strip()) == 1
    assert "resnet50, int8, threads 1, 2: the kernel" in text


@pytest.mark.parametrize(
    ("value_ns", "written"),
    [
        *[(999_499, "999 µs"), (999_999.9, "1.00 ms"), (1e6, "1.00 ms"), (999_999_999.5, "1.00 s")],
        *[(12_345_678e9, "12345678 s"), (0.0, "0 µs")],
    ],
)
def test_a_latency_is_written_in_the_unit_that_it_rounds_to(value_ns: float, written: str) -> None:
    assert latency(value_ns) == written


def test_a_name_is_text_in_markdown(opened: Opened) -> None:
    names = {
        "a|b": "a\\|b",
        "a\nc": "a c",
        "<b>*x*": "\\<b\\>\\*x\\*",
        "mobilenet_v2": "mobilenet_v2",
    }
    results = opened(a_run(*(({"model": name}, [10**6] * 6) for name in names)))
    for table in (to_markdown(results), comparison_to_markdown(compare(results, results))):
        rows = [re.split(r"(?<!\\)\|", line) for line in table.splitlines() if line.startswith("|")]
        assert {row[1].strip() for row in rows[2:]} == {*names.values()}
        assert len({*map(len, rows)}) == 1


def test_markdown_is_a_table(opened: Opened) -> None:
    head, rule, *rows = to_markdown(opened(a_mixed_run())).splitlines()
    assert {line.count("|") for line in (head, rule, *rows)} == {12}
    assert head.startswith("| quantization | threads | latency | ± % |")
    assert rows[1].endswith("| no steady state |")
    assert [row.split(" | ")[2] for row in rows] == ["60.0 ms", "6.00 ms", "failed", "missing"]


def test_the_run_is_summed_up(opened: Opened) -> None:
    text = printed(opened(a_mixed_run()))
    assert "1 of 4 cells valid" in text
    assert "other outputs" not in text


def test_outputs_that_differ_between_cpu_types_are_told(opened: Opened) -> None:
    measured = [({"cpu_type": cpu_type}, STEADY) for cpu_type in ("skylake", "zen4")]
    run = a_run(*measured)
    others = [replace(t, output_digest=t.cell_id) for t in run.trials]
    assert "other outputs" not in printed(opened(run))
    differing = printed(opened(replace(run, trials=tuple(others))))
    assert "other outputs on one CPU type than on another: resnet50 float32 1" in differing


def test_over_runtimes_the_gain_over_litert_is_told(opened: Opened) -> None:
    results = opened(a_run(({"runtime": "litert"}, STEADY), ({"runtime": "openvino"}, FAST)))
    assert [round(record["speedup_litert"]) for record in to_json(results)] == [1, 10]
    text = printed(results)
    assert "float32 litert" in text
    assert "10.0" in text
    one = opened(a_run(({}, STEADY), ({"threads": 2}, FAST)))
    assert "float32 litert" not in printed(one)
