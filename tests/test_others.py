"""Numbers of other tools beside ours: what the tools themselves write, and what is none of theirs.

`benchmark_model` cannot be had from a package registry: its output is written here after its source
(benchmark_model.cc and stats_calculator.h of LiteRT).
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyperf
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

import analysis
from analysis.others.measurement import LACKS
from suite.errors import UserError
from suite.intervals import median
from suite.results.write import write_results
from tests.conftest import REPOSITORY, Litesweep, Opened
from tests.rows import a_run

SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")


def ran(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True, cwd=REPOSITORY)


def with_batch(content: bytes, batch: int) -> bytes:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph = model.subgraphs[0]
    image = graph.tensors[graph.inputs[0]]
    image.shape = [batch, *image.shape[1:]]
    builder = Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="session")
def lite(tiny_tflite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `litert-benchmark` has written."""
    folder = tmp_path_factory.mktemp("lite")
    file, model = folder / "lite.json", folder / "tiny.tflite"
    model.write_bytes(with_batch(tiny_tflite.read_bytes(), 64))  # else 0.01 ms, and rounded to that
    tool = "ai_edge_litert.tools.benchmark_litert_model"
    wanted = (f"--model={model}", "--num_threads=1", "--num_runs=20")
    ran(sys.executable, "-m", tool, *wanted, f"--result_json={file}")
    return file


@pytest.fixture(scope="session")
def performed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pyperf has written, of seven processes."""
    file = tmp_path_factory.mktemp("pyperf") / "pyperf.json"
    ran(sys.executable, "-m", "pyperf", "timeit", "sum(range(10000))", "--name=sums", "--quiet",
        "--processes=7", "--values=4", "--warmups=1", "--loops=1", "-o", file)  # fmt: skip
    return file


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with LoadGen's logs for each scenario."""
    folder = tmp_path_factory.mktemp("loadgen")
    for scenario in SCENARIOS:
        ran(sys.executable, "-m", "tests.loadgen", scenario, folder / scenario)
    return folder


STATISTICS = "count=50 first=33228 curr=33130 min=32687 max=33239 avg=33071.8 std=129"
SUMMARY = (
    "Inference timings in us: Init: 3501, First inference: 156677, Warmup (avg): 43268.1, "
    "Inference (avg): 33071.8\n"
)
PRINTED = (
    "INFO: STARTING!\n"
    "INFO: Num threads: [2]\n"
    "INFO: Graph: [/models/quick net.tflite]\n"
    "INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if "
    "exceeding 150 seconds.\n"
    "INFO: count=12 first=156677 curr=33205 min=32578 max=156677 avg=43268.1 std=34197 p5=32578 "
    "median=33205 p95=156677\n\n"
    "INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if "
    "exceeding 150 seconds.\n"
    f"INFO: {STATISTICS} p5=32700 median=33070 p95=33200\n\n"
    f"INFO: {SUMMARY}"
)


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    file = tmp_path / "printed.txt"
    file.write_text(PRINTED)
    return file


def the_one(path: Path) -> dict[Any, Any]:
    (row,) = analysis.read_others(path).to_dict("records")
    return row


def test_litert_benchmark(lite: Path) -> None:
    said = json.loads(lite.read_text())["latency"]
    row = the_one(lite)
    assert (row["tool"], row["name"], row["threads"]) == ("litert-benchmark", "tiny", 1)
    assert row["median_ns"] == pytest.approx(said["median_ms"] * 1e6)
    assert row["throughput_per_s"] == pytest.approx(1e3 / said["avg_ms"])
    assert math.isnan(row["ci_low_ns"])
    assert math.isnan(row["p90_ns"])
    assert {"single_process", "no_samples", "rounded", "placement_unknown"} <= {
        *row["lacks"].split()
    }


def test_the_least_of_a_tiny_model_is_rounded_to_nothing(lite: Path, tmp_path: Path) -> None:
    said = json.loads(lite.read_text())
    said["latency"]["min_ms"] = 0.0
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(said))
    assert math.isnan(the_one(file)["min_ns"])


def test_pyperf(performed: Path) -> None:
    runs = pyperf.BenchmarkSuite.load(str(performed)).get_benchmark("sums").get_runs()
    medians_ns = [float(np.median(run.values)) * 1e9 for run in runs if run.values]
    assert len(medians_ns) == 7
    found = median(medians_ns)
    row = the_one(performed)
    assert row["name"] == "sums"
    assert row["tool"].startswith("pyperf 2")
    assert [row["median_ns"], row["ci_low_ns"], row["ci_high_ns"]] == pytest.approx(
        [found.estimate, found.low, found.high]
    )
    assert row["processes"] == 7
    assert math.isnan(row["p99_ns"])  # 28 values are no evidence of it
    assert not {"single_process", "few_processes", "machine_unknown"} & {*row["lacks"].split()}


def test_pyperf_of_loops_tells_no_tail_and_of_few_processes_less(tmp_path: Path) -> None:
    file = tmp_path / "looped.json"
    ran(sys.executable, "-m", "pyperf", "timeit", "pass", "--quiet", "--processes=2",
        "--values=3", "--warmups=1", "--loops=1000", "-o", file)  # fmt: skip
    row = the_one(file)
    assert {"mean_of_loops", "few_processes"} <= {*row["lacks"].split()}
    assert row["invocations"] == 2 * 3 * 1000
    assert math.isnan(row["min_ns"])


def test_a_run_of_pyperf_that_calibrates_has_loops_of_its_own(
    performed: Path, tmp_path: Path
) -> None:
    """As pyperf writes them where --loops is not given, and the first number was too small."""
    said = json.loads(performed.read_text())
    runs = said["benchmarks"][0]["runs"]
    for run in runs:
        run["metadata"] = {**run.get("metadata", {}), "loops": 8}
    calibration = {"calibrate_loops": 1, "loops": 1}
    runs.insert(0, {"warmups": [[1, 0.2], [1, 0.1]], "metadata": calibration})
    file = tmp_path / "calibrated.json"
    file.write_text(json.dumps(said))
    assert pyperf.Benchmark.load(str(file)).get_runs()[1].get_loops() == 8
    row = the_one(file)
    assert (row["processes"], row["invocations"]) == (7, 7 * 4 * 8)
    assert "mean_of_loops" in row["lacks"]
    assert math.isnan(row["min_ns"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_loadgen(loaded: Path, scenario: str) -> None:
    row = the_one(loaded / scenario)
    assert row["tool"].startswith("MLPerf LoadGen ")
    assert row["name"] == f"PySUT {scenario}"
    assert row["throughput_per_s"] > 0
    if scenario == "Offline":
        assert "no_latency" in row["lacks"]
        assert math.isnan(row["median_ns"])
    else:
        assert row["min_ns"] <= row["median_ns"]
        assert row["median_ns"] > 1e5  # it sleeps for as long
        assert row["invocations"] == 200
    assert ("queueing" in row["lacks"]) == (scenario == "Server")
    assert ("several_samples" in row["lacks"]) == (scenario == "MultiStream")
    # The summary says the same, in fewer digits.
    short = the_one(loaded / scenario / "mlperf_log_summary.txt")
    for name in ("median_ns", "mean_ns", "min_ns", "p90_ns", "throughput_per_s"):
        assert short[name] == pytest.approx(row[name], rel=1e-3, nan_ok=True), name
    assert short["lacks"] == row["lacks"]


def test_loadgens_own_bound_is_the_tail_and_not_what_it_reads_off(loaded: Path) -> None:
    """200 queries are enough for p90 and not for p99, by MLPerf's rule."""
    row = the_one(loaded / "SingleStream")
    detail = (loaded / "SingleStream" / "mlperf_log_detail.txt").read_text()
    assert f'"early_stopping_latency_ss", "value": {row["p90_ns"]:.0f}' in detail
    assert math.isnan(row["p99_ns"])


@pytest.mark.parametrize(("share", "name"), [(0.99, "p99_ns"), (0.95, "")])
def test_the_bound_of_another_percentile_is_not_taken_for_p90(
    loaded: Path, tmp_path: Path, share: float, name: str
) -> None:
    """The estimate is of the percentile that a test aims at: 90 unless it is told otherwise."""
    text = (loaded / "SingleStream" / "mlperf_log_detail.txt").read_text()
    aims = '"key": "effective_target_latency_percentile", "value": '
    assert f"{aims}0.9," in text
    file = tmp_path / "mlperf_log_detail.txt"
    file.write_text(text.replace(f"{aims}0.9,", f"{aims}{share},"))
    bounds = {of: the_one(file)[of] for of in ("p90_ns", "p99_ns")}
    assert [of for of, value in bounds.items() if not math.isnan(value)] == [name] * bool(name)


def test_a_summary_of_an_older_loadgen(loaded: Path, tmp_path: Path) -> None:
    """It wrote whole percentiles without a decimal; all write a slow system's rate as 0.00."""
    source = loaded / "SingleStream" / "mlperf_log_summary.txt"
    text = source.read_text().replace(".0th percentile", "th percentile")
    text = re.sub(r"(QPS w/o loadgen overhead +: ).*", r"\g<1>0.00", text)
    file = tmp_path / "mlperf_log_summary.txt"
    file.write_text(text)
    row, newer = the_one(file), the_one(source)
    assert row["p90_ns"] == newer["p90_ns"] > 0
    assert row["throughput_per_s"] == newer["throughput_per_s"] == 1e9 / row["mean_ns"]
    few = re.sub(r"Processed at least \d+ queries \(\d+\)", "Only processed 10 queries", text)
    file.write_text(few)
    assert the_one(file)["invocations"] == 10


def test_benchmark_model(printed: Path) -> None:
    row = the_one(printed)
    assert (row["name"], row["threads"], row["invocations"]) == ("quick net", 2, 50)
    found = [row[name] for name in ("median_ns", "mean_ns", "min_ns")]
    assert found == pytest.approx([33070e3, 33071.8e3, 32687e3])
    assert "no_median" not in row["lacks"]


def test_benchmark_model_of_an_older_release_has_a_mean(printed: Path) -> None:
    printed.write_text(f"{STATISTICS}\n\n{SUMMARY}")
    row = the_one(printed)
    assert math.isnan(row["median_ns"])
    assert row["mean_ns"] == pytest.approx(33071.8e3)
    assert {"no_median", "threads_unknown"} <= {*row["lacks"].split()}


@pytest.mark.parametrize("mean", ["Inference: 33071.8", "no stats: 33071.8"])
def test_benchmark_model_of_a_much_older_release(mean: str, printed: Path) -> None:
    """A profile's own statistics stand behind the others."""
    profile = "Timings (microseconds): count=9 first=1 curr=33 min=2 max=3 avg=33080.1 std=1\n"
    summary = f"Average inference timings in us: Warmup: 83235, Init: 38467, {mean}\n"
    printed.write_text(f"Num threads: [1]\nGraph: [a.tflite]\n{STATISTICS}\n\n{profile}{summary}")
    row = the_one(printed)
    assert (row["name"], row["threads"], row["invocations"]) == ("a", 1, 50)
    assert [row["mean_ns"], row["min_ns"]] == pytest.approx([33071.8e3, 32687e3])
    printed.write_text(f"{STATISTICS}\n{summary[:-5]}")
    with pytest.raises(UserError, match="do not agree"):
        analysis.read_others(printed)


def test_benchmark_model_alike_every_time(printed: Path) -> None:
    printed.write_text("count=2 curr=40000(all same)\n" + SUMMARY.replace("33071.8", "40000"))
    assert the_one(printed)["min_ns"] == 40000e3


def test_benchmark_model_of_several_models(printed: Path) -> None:
    printed.write_text(PRINTED + PRINTED.replace("quick net", "other"))
    assert [*analysis.read_others(printed)["name"]] == ["quick net", "other"]


def test_a_log_of_logcat(printed: Path) -> None:
    lines = PRINTED.splitlines()
    printed.write_text("".join(f"07-14 13:14:52.097 2 2 I tflite  : {line}\n" for line in lines))
    assert the_one(printed)["median_ns"] == 33070e3


# Bad input

Spoil = Callable[[str], str]


def spoiled(source: Path, target: Path, spoil: Spoil) -> Path:
    target.write_text(spoil(source.read_text()))
    return target


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\x89HDF\r\n\x1a\n\0\0", "binary"),
        (b"hello", "no tool"),
        (b"{", "damaged JSON"),
        (b"[" * 9, "no tool"),
        (b'{"a":' * 100_000, "damaged JSON"),
        (b'{"a": 1}', "no tool"),
        (b'{"model": "m", "num_threads": 1, "latency": 3}', "no object"),
        (b'{"model": "m", "num_threads": 1, "latency": {"avg_ms": NaN}}', "avg_ms"),
        (b'{"model": "m", "num_threads": 1, "latency": {"avg_ms": "1"}}', "avg_ms"),
        (b'{"model": "m", "num_threads": 1, "latency": {"avg_ms": 0.0}}', "avg_ms"),
        (b'{"benchmarks": [], "version": "9.0"}', "version '9.0'"),
        (b'{"benchmarks": [], "version": "1.0"}', "no benchmark"),
        (b'{"benchmarks": [3], "version": "1.0"}', "not as pyperf"),
        (b'{"benchmarks": [{"runs": []}], "version": "1.0"}', "no values"),
        (b'{"benchmarks": [{"runs": [{"warmups": [[1, 2]]}]}], "version": "1.0"}', "no values"),
        (b'{"benchmarks": [{"runs": [{"values": ["x"]}]}], "version": "1.0"}', "no durations"),
        (b'{"benchmarks": [{"runs": [{"values": [-1.0]}]}], "version": "1.0"}', "no durations"),
        (
            b'{"benchmarks": [{"runs": [{"values": [1]}], "metadata": {"unit": "byte"}}],'
            b' "version": "1.0"}',
            "in bytes",
        ),
        (PRINTED[:-20].encode(), "does not end"),
        (PRINTED[:-6].encode(), "do not agree"),
        (PRINTED.partition("Inference")[0].encode(), "ends before"),
        (PRINTED.replace("count=50 first", "count=five first").encode(), "do not agree"),
        (PRINTED.replace("min=32687", "min=x").encode(), "no number"),
        (b':::MLLOG {"key": "a", "value"', "line 1 is damaged"),
        (b':::MLLOG {"key": "result_validity", "value": "VALID"}', "scenario"),
        (b"MLPerf Results Summary\nScenario : SingleStream\n", "ends before"),
    ],
)  # fmt: skip
def test_what_is_no_result_gets_one_clear_message(
    content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "of-a-stranger"
    file.write_bytes(content)
    with pytest.raises(UserError, match="of-a-stranger") as caught:
        analysis.read_others(file)
    assert said in str(caught.value)
    assert "Known: litert-benchmark" in str(caught.value)


@pytest.mark.parametrize("log", ["mlperf_log_detail.txt", "mlperf_log_summary.txt"])
def test_a_log_cut_anywhere_is_refused_or_whole(loaded: Path, log: str, tmp_path: Path) -> None:
    whole = loaded / "SingleStream" / log
    row = the_one(whole)
    text = whole.read_text()
    for end in range(0, len(text), len(text) // 60):
        (tmp_path / log).write_text(text[:end])
        try:
            found = the_one(tmp_path / log)
        except UserError:
            continue
        assert found["median_ns"] == row["median_ns"]


def test_an_accuracy_run_measures_nothing(loaded: Path, tmp_path: Path) -> None:
    source = loaded / "Offline" / "mlperf_log_detail.txt"
    file = spoiled(source, tmp_path / "a", lambda s: s.replace("PerformanceOnly", "AccuracyOnly"))
    with pytest.raises(UserError, match="accuracy"):
        analysis.read_others(file)


def test_what_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        analysis.read_others(tmp_path / "absent.json")
    with pytest.raises(UserError, match="mlperf_log_detail"):
        analysis.read_others(tmp_path)
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="1048576 MiB"):
        analysis.read_others(huge)


# Beside a run

CELLS = (({"threads": 1}, [66_140_000] * 6), ({"threads": 2}, [33_070_000] * 6))


def test_the_ratio_to_the_cell_that_is_named(printed: Path, opened: Opened) -> None:
    results = opened(a_run(*CELLS))
    named = f"{printed}:model=resnet50,quantization=float32"  # the file itself says: 2 threads
    (row,) = analysis.beside(results, [named]).to_dict("records")
    assert (row["cell_id"], row["ratio"]) == ("c1", pytest.approx(1))
    assert math.isnan(row["ratio_low"])  # it has no interval
    (row,) = analysis.beside(results, [f"{named},threads=1"]).to_dict("records")
    assert (row["cell_id"], row["ratio"]) == ("c0", pytest.approx(0.5))
    (row,) = analysis.beside(results, [printed]).to_dict("records")
    assert row["cell_id"] == ""
    assert math.isnan(row["ratio"])


def test_the_interval_of_a_ratio_holds_the_far_ends(performed: Path, opened: Opened) -> None:
    results = opened(a_run(({"threads": 1}, [90_000, 100_000, 110_000, 95_000, 105_000, 99_000])))
    (row,) = analysis.beside(results, [f"{performed}:threads=1"]).to_dict("records")
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    cell = results.squeeze()
    assert row["ratio_low"] == pytest.approx(row["ci_low_ns"] / cell["ci_high_ns"].item())


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (":threads=3", "no threads '3'"),
        (":thread=1", "no axis 'thread'"),
        (":quantization=float32", "names 2 cells"),
        (":threads", "not AXIS=VALUE"),
    ],
)
def test_a_cell_that_is_not_clear(named: str, said: str, performed: Path, opened: Opened) -> None:
    with pytest.raises(UserError, match=said):
        analysis.beside(opened(a_run(*CELLS)), [f"{performed}{named}"])


def test_show_sets_them_beside_the_table(
    printed: Path, loaded: Path, litesweep: Litesweep, tmp_path: Path
) -> None:
    write_results(tmp_path / "results.h5", a_run(*CELLS))
    log = loaded / "Offline"
    shown = litesweep("show", tmp_path, "--beside", f"{printed}:threads=2", "--beside", log)
    assert shown.returncode == 0, shown.stderr
    assert "benchmark_model" in shown.stdout
    assert "PySUT Offline" in shown.stdout
    assert LACKS["placement_unknown"] in shown.stdout
    refused = litesweep("show", tmp_path, "--beside", printed, "--json")
    assert refused.returncode == 2
    wrong = litesweep("show", tmp_path, "--beside", "absent.json")
    assert (wrong.returncode, wrong.stderr) == (2, "litesweep: There is no file 'absent.json'.\n")
