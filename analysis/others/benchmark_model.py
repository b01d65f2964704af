"""What TensorFlow Lite's `benchmark_model` prints.

Its statistics are a line for the warm-up and one for what follows it, `count=50 first=… avg=…`,
newer ones with `median=`; the last line sums up: `Inference timings in us: … Inference (avg): …`,
in older releases `Average inference timings in us:`, with `Inference:` or `no stats:` at its end
(benchmark_model.cc, stats_calculator.h).
"""

import math
import re
from pathlib import PurePath

from analysis.others.measurement import ForeignError, Measurement, number, per_second

SIGN = "timings in us:"
NS_PER_US = 1e3
STATISTICS = re.compile(r"(?<!\(microseconds\): )\bcount=\d+ .*")
"""But not those of a profile."""
SUMMARY = re.compile(rf"{SIGN} .*(?:Inference \(avg\)|Inference|no stats): (?P<mean>\S+)")


def read(text: str) -> list[Measurement]:
    """Return the measurements of an output, which may hold those of several models.

    Raises
    ------
    ForeignError
        If it ends before the summary, or a number makes no sense.
    """
    # A summary ends each measurement: what stands in front of it belongs to it.
    parts = re.split(rf"(?<={SIGN})(.*)", text)
    whole = ["".join(pair) for pair in zip(parts[::2], parts[1::2], strict=False)]
    if not whole:
        raise ForeignError(f"it ends before {SIGN!r}")
    return [_measurement(part) for part in whole]


def _measurement(text: str) -> Measurement:
    summary = SUMMARY.search(text)
    if summary is None:
        raise ForeignError(f"the line {SIGN!r} does not end as it should")
    # The last statistics are those after the warm-up; the tool may have been told to print none.
    lines = STATISTICS.findall(text)
    known = _numbers(lines[-1]) if lines else {}
    mean_ns = number(_numbers(f"avg={summary['mean']}"), "avg") * NS_PER_US
    if not math.isclose(known.get("avg", mean_ns / NS_PER_US), mean_ns / NS_PER_US, rel_tol=1e-3):
        raise ForeignError(f"its statistics and the line {SIGN!r} do not agree")
    same = known if "min" in known or "curr" not in known else known | {"min": known["curr"]}
    return Measurement(
        tool="benchmark_model",
        name=_said(text, "Graph"),
        lacks=(
            *("single_process", "no_samples", "warmup_by_count"),
            *("placement_unknown", "machine_unknown"),
            *([] if "median" in known else ["no_median"]),
            *([] if _said(text, "Num threads") else ["threads_unknown"]),
        ),
        threads=float(_said(text, "Num threads") or "nan"),
        median_ns=known.get("median", float("nan")) * NS_PER_US,
        mean_ns=mean_ns,
        min_ns=same.get("min", float("nan")) * NS_PER_US,
        throughput_per_s=per_second(mean_ns),
        processes=1,
        invocations=known.get("count", float("nan")),
    )


def _numbers(line: str) -> dict[str, float]:
    try:
        return {k: float(v) for k, v in re.findall(r"(\w+)=([^\s(]+)", line)}
    except ValueError as error:
        raise ForeignError(f"{line[:60]!r} has something that is no number") from error


def _said(text: str, parameter: str) -> str:
    """Return a parameter as the tool repeats it, `Num threads: [4]`; empty where it does not."""
    found = re.findall(rf"\b{parameter}: \[(.*?)\]", text)
    if not found:
        return ""
    if parameter == "Graph":
        return PurePath(found[-1]).stem
    return found[-1] if re.fullmatch(r"[1-9]\d{0,5}", found[-1]) else ""
