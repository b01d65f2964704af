"""What MLPerf's LoadGen logs: `mlperf_log_detail.txt`, or the summary where that is all."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from analysis.others.measurement import ForeignError, Measurement, as_float, number, per_second

DETAIL, SUMMARY = "mlperf_log_detail.txt", "mlperf_log_summary.txt"
DETAIL_SIGN, SUMMARY_SIGN = ":::MLLOG ", "MLPerf Results Summary"

Said = dict[str, Any]


def read_detail(text: str) -> list[Measurement]:
    """Return the measurement of a detailed log, a JSON object a line.

    Raises
    ------
    ForeignError
        If a line is damaged, or the log ends before the results.
    """
    said: Said = {}
    for count, line in enumerate(text.splitlines(), 1):
        if line.startswith(DETAIL_SIGN):
            try:
                entry = json.loads(line.removeprefix(DETAIL_SIGN))
                said[entry["key"]] = entry["value"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ForeignError(f"line {count} is damaged") from error
    return [_measurement(said)]


def read_summary(text: str) -> list[Measurement]:
    """Return the measurement of a summary.

    Raises
    ------
    ForeignError
        If it ends before the results.
    """
    if "Test Parameters Used" not in text:
        raise ForeignError("it ends before the test's parameters")
    plain = {name.strip(): value.strip() for name, value in re.findall(r"^(.+?):(.*)$", text, re.M)}
    estimates = re.findall(r"Early stopping (9[09])(?:\.0)?th percentile estimate: (\d+)", text)
    queries = re.search(r"[Pp]rocessed (?:at least \d+ queries \((\d+)\)|(\d+) queries)", text)
    percentile = "50.00_percentile_per_query" if _per_query(text) else "50.00_percentile"
    kind = "_query" if _per_query(text) else ""
    written = {
        "effective_scenario": plain.get("Scenario"),
        "effective_test_mode": plain.get("Mode"),
        "result_validity": plain.get("Result is"),
        "sut_name": plain.get("SUT name"),
        "effective_samples_per_query": plain.get("samples_per_query"),
        f"result_min{kind}_latency_ns": plain.get("Min latency (ns)"),
        f"result_mean{kind}_latency_ns": plain.get("Mean latency (ns)"),
        f"result_{percentile}_latency_ns": plain.get("50.00 percentile latency (ns)"),
        "result_samples_per_second": plain.get("Samples per second"),
        "result_completed_samples_per_sec": plain.get("Completed samples per second"),
        "result_query_count": next(filter(None, queries.groups()), None) if queries else None,
        **{{"90": "early_stopping_latency_ss", "99": "early_stopping_latency_ms"}[share]: value
           for share, value in estimates},
    }  # fmt: skip
    return [_measurement({key: _number(value) for key, value in written.items() if value})]


def _per_query(text: str) -> bool:
    return "Per-query latency:" in text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _measurement(said: Said) -> Measurement:
    if said.get("effective_test_mode") == "AccuracyOnly":
        raise ForeignError("it is of a run for accuracy, which measures no time")
    if "result_validity" not in said:
        raise ForeignError("it ends before the results")
    scenario = str(said.get("effective_scenario"))
    if scenario not in SCENARIOS:
        raise ForeignError(f"its scenario is {scenario!r}; known are {', '.join(SCENARIOS)}")
    lacks = ["single_process", "no_samples", "warmup_by_count", "placement_unknown"]
    lacks += ["threads_unknown", "machine_unknown"]
    if said["result_validity"] != "VALID":
        lacks.insert(0, "invalid")
    release = str(said.get("loadgen_version", "")).partition(" ")[0]
    numbers, more = SCENARIOS[scenario](said)
    return Measurement(
        tool=f"MLPerf LoadGen {release}".strip(),
        name=f"{said.get('sut_name', '')} {scenario}".strip(),
        lacks=(*lacks, *more),
        processes=1,
        **numbers,
    )


Numbers = tuple[dict[str, float], list[str]]


def _single_stream(said: Said) -> Numbers:
    numbers = _latencies(said)
    # The percentiles that LoadGen just reads off are no bounds; its early stopping estimates are,
    # by the same rule as ours.
    numbers["p99_ns"] = _maybe(said, "early_stopping_latency_ms")
    numbers |= _of_target(said, 0.90, "early_stopping_latency_ss")
    # Its "QPS w/o loadgen overhead", which the summary has in two decimals only.
    numbers["throughput_per_s"] = per_second(numbers["mean_ns"])
    return numbers, []


def _multi_stream(said: Said) -> Numbers:
    numbers = _latencies(said, "_query", "_per_query")
    samples = number(said, "effective_samples_per_query")
    numbers["throughput_per_s"] = samples * per_second(numbers["mean_ns"])
    numbers |= _of_target(said, 0.99, "early_stopping_latency_ms")
    return numbers, ["several_samples"] if samples > 1 else []


def _server(said: Said) -> Numbers:
    rate = number(said, "result_completed_samples_per_sec")
    return _latencies(said) | {"throughput_per_s": rate}, ["queueing"]


def _offline(said: Said) -> Numbers:
    return {"throughput_per_s": number(said, "result_samples_per_second")}, ["no_latency"]


SCENARIOS: dict[str, Callable[[Said], Numbers]] = {
    "SingleStream": _single_stream,
    "MultiStream": _multi_stream,
    "Server": _server,
    "Offline": _offline,
}


def _latencies(said: Said, kind: str = "", percentile: str = "") -> dict[str, float]:
    return {
        "median_ns": number(said, f"result_50.00_percentile{percentile}_latency_ns"),
        "mean_ns": number(said, f"result_mean{kind}_latency_ns"),
        "min_ns": number(said, f"result_min{kind}_latency_ns"),
        "invocations": _maybe(said, "result_query_count"),
    }


def _of_target(said: Said, usual: float, key: str) -> dict[str, float]:
    """Return the bound of the percentile that was aimed at, if it is one of ours."""
    share = said.get("effective_target_latency_percentile", usual)
    names = [name for name, of in (("p90_ns", 0.90), ("p99_ns", 0.99)) if share == of]
    return {name: _maybe(said, key) for name in names}


def _maybe(said: Said, key: str) -> float:
    """Return a number; NaN where there is none, for which LoadGen also writes 0."""
    value = said.get(key)
    return as_float(value) if isinstance(value, int | float) and value > 0 else math.nan
