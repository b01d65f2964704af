"""What pyperf writes (`-o FILE`, JSON)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.others.measurement import ForeignError, Measurement, per_second
from analysis.tails import tail
from suite.intervals import LEAST_TRIALS, median

KEYS = {"benchmarks", "version"}
VERSION = "1.0"
NS_PER_S = 1e9

Floats = npt.NDArray[np.float64]


def read(said: dict[str, Any]) -> list[Measurement]:
    """Return a measurement for each benchmark: its runs are processes, and so the replicates.

    Raises
    ------
    ForeignError
        If it is of another version, or not as that version has it.
    """
    if said["version"] != VERSION:
        raise ForeignError(
            f"it is of version {said['version']!r} of pyperf's format, not {VERSION}"
        )
    shared = said.get("metadata", {})
    try:
        found = [_measurement(benchmark, shared) for benchmark in said["benchmarks"]]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ForeignError("its benchmarks are not as pyperf writes them") from error
    if not found:
        raise ForeignError("it has no benchmark")
    return found


def _measurement(benchmark: dict[str, Any], shared: dict[str, Any]) -> Measurement:
    common = {**shared, **benchmark.get("metadata", {})}
    # A run that calibrates has no values, and a number of loops of its own.
    measured = [run for run in benchmark["runs"] if run.get("values")]
    of_runs = [{**common, **run.get("metadata", {})} for run in measured]
    known = of_runs[0] if of_runs else common
    name = str(known.get("name", ""))
    if known.get("unit", "second") != "second":
        raise ForeignError(f"its benchmark {name!r} is in {known['unit']}s, not in seconds")
    if not measured:
        raise ForeignError(f"its benchmark {name!r} has no values")
    runs = [_values(run["values"], name) for run in measured]
    loops = [int(of.get("loops", 1)) * int(of.get("inner_loops", 1)) for of in of_runs]
    one_by_one = max(loops) == 1
    found = median([float(np.median(run)) for run in runs])
    mean_ns = float(np.concatenate(runs).mean())
    tails = [tail([runs], share).value_ns if one_by_one else np.nan for share in (0.90, 0.99)]
    return Measurement(
        tool=f"pyperf {known.get('perf_version', '')}".strip(),
        name=name,
        lacks=tuple(_lacks(known, len(runs), one_by_one=one_by_one)),
        median_ns=float(found.estimate),
        mean_ns=mean_ns,
        ci_low_ns=float(found.low),
        ci_high_ns=float(found.high),
        min_ns=float(min(run.min() for run in runs)) if one_by_one else np.nan,
        p90_ns=tails[0],
        p99_ns=tails[1],
        throughput_per_s=per_second(mean_ns),
        processes=len(runs),
        invocations=sum(len(run) * count for run, count in zip(runs, loops, strict=True)),
    )


def _values(seconds: Any, name: str) -> Floats:
    try:
        values = np.asarray(seconds, np.float64)
    except ValueError:
        values = np.empty((0, 0))
    if values.ndim != 1 or not (np.isfinite(values) & (values > 0)).all():
        raise ForeignError(f"its benchmark {name!r} has values that are no durations")
    return values * NS_PER_S


def _lacks(known: dict[str, Any], processes: int, *, one_by_one: bool) -> list[str]:
    holds = {
        "single_process": processes == 1,
        "few_processes": 1 < processes < LEAST_TRIALS,
        "mean_of_loops": not one_by_one,
        "warmup_by_count": True,
        "placement_unknown": "cpu_affinity" not in known,
        "threads_unknown": True,
        "machine_unknown": "hostname" not in known,
    }
    return [name for name, lacking in holds.items() if lacking]
