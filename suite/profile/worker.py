"""The process that is profiled: started by `suite.profile.launch`, with a request on its input."""

import os
from collections.abc import Sequence
from statistics import fmean
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from suite.trial.protocol import TrialRequest
from suite.trial.worker import respond, seeded_inputs

if TYPE_CHECKING:
    from suite.runtimes.litert import LiteRt
    from suite.runtimes.litert_profiler import Operator, ProfiledModel

LEAST_RUNS = 5
MOST_RUNS = 1000
WARM_UP_NS = 200_000_000
ROUNDING = 1e-3
"""Of the largest output: what the order of sums may make of it."""
CUT_OFF_NS = 500.0
"""XNNPACK tells whole microseconds and cuts off the rest: half of one, by and large."""


def main() -> None:
    """Profile what standard input asks for and answer on standard output."""
    respond(lambda request: (profile(request), b""))


def profile(request: TrialRequest) -> dict[str, Any]:
    """Return the operators of a model in the order of execution, and how often they were timed.

    Raises
    ------
    RuntimeError
        If LiteRT cannot be asked, or what is profiled is not what a trial measures.
    """
    os.sched_setaffinity(0, request.cpus)
    from suite.runtimes import litert
    from suite.runtimes.litert_profiler import ProfiledModel

    measured = litert.load(request.artifact_path, request.threads, request.delegate)
    inputs = seeded_inputs(measured.inputs, request.seed)
    measured.set_inputs(inputs)
    measured.invoke()
    profiled = ProfiledModel(
        request.artifact_path, request.threads, request.delegate, measured.inputs
    )
    profiled.set_inputs(inputs)
    runs = _runs(profiled, request.sampling_ns)
    if not agree(measured, profiled):
        raise RuntimeError("with the profiler on the model has other outputs")
    return {"operators": summary(runs), "runs": len(runs)}


def agree(measured: "LiteRt", profiled: "ProfiledModel") -> bool:
    """Say whether both have left the same outputs, but for the order of sums over threads."""
    import numpy as np

    found = profiled.outputs()
    for tensor in measured.interpreter.get_output_details():
        ours = measured.interpreter.get_tensor(tensor["index"])
        theirs = np.frombuffer(found[tensor["name"]], ours.dtype).reshape(ours.shape)
        scale = np.abs(ours).max(initial=0)
        if not np.allclose(theirs, ours, rtol=0, atol=ROUNDING * scale, equal_nan=True):
            return False
    return True


def _runs(model: "ProfiledModel", least_ns: int) -> "list[list[Operator]]":
    begin = perf_counter_ns()
    model.profile()
    while perf_counter_ns() - begin < WARM_UP_NS:
        model.profile()
    runs: list[list[Operator]] = []
    begin = perf_counter_ns()
    while len(runs) < LEAST_RUNS or (
        perf_counter_ns() - begin < least_ns and len(runs) < MOST_RUNS
    ):
        runs.append(model.profile())
    return runs


def summary(runs: "Sequence[Sequence[Operator]]") -> list[dict[str, Any]]:
    """Return type, delegate and time of each operator over all runs.

    Raises
    ------
    RuntimeError
        If there is none, or they differ from run to run.
    """
    kinds = {tuple((operator.type, operator.delegate) for operator in run) for run in runs}
    if len(kinds) != 1 or kinds == {()}:
        raise RuntimeError("the runtime does not tell the same operators in each run")
    return [
        {
            "type": same[0].type,
            "delegate": same[0].delegate,
            "ns": 1e3 * midmean([operator.elapsed_us for operator in same])
            + CUT_OFF_NS * bool(same[0].delegate),
        }
        for same in zip(*runs, strict=True)
    ]


def midmean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of `values`.

    A few that were interrupted do not bear on it, and unlike the median of whole microseconds it
    tells what lies between them (Tukey, Exploratory Data Analysis, 1977).
    """
    quarter = len(values) // 4
    return fmean(sorted(values)[quarter : len(values) - quarter])


if __name__ == "__main__":
    main()
