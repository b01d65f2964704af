"""What `litert-benchmark --result_json` writes."""

import math
from pathlib import PurePath
from typing import Any

from analysis.others.measurement import ForeignError, Measurement, number, per_second

NS_PER_MS = 1e6
KEYS = {"model", "num_threads", "latency"}


def read(said: dict[str, Any]) -> list[Measurement]:
    """Return the one measurement of a file, from its JSON.

    Raises
    ------
    ForeignError
        If a number is missing or makes no sense.
    """
    latency = said["latency"]
    if not isinstance(latency, dict):
        raise ForeignError("its 'latency' is no object")
    mean_ns = number(latency, "avg_ms") * NS_PER_MS
    found = Measurement(
        tool="litert-benchmark",
        name=PurePath(str(said["model"])).stem,
        lacks=(
            *("single_process", "no_samples", "rounded", "warmup_by_count"),
            *("placement_unknown", "machine_unknown"),
        ),
        threads=number(said, "num_threads"),
        median_ns=number(latency, "median_ms") * NS_PER_MS,
        mean_ns=mean_ns,
        # Of a tiny model it is rounded to nothing.
        min_ns=number(latency, "min_ms") * NS_PER_MS if latency.get("min_ms") else math.nan,
        throughput_per_s=per_second(mean_ns),
        processes=1,
        invocations=number(latency, "num_runs"),
    )
    return [found]
