"""Two instances over two threads, and the server's search over a sweep of rates by brute force."""

import time
from collections.abc import Iterator

import numpy as np

from suite.artifacts.store import Artifact
from suite.load.arrivals import unit_arrivals
from suite.load.search import search
from suite.results.rows import TrialRow
from suite.scenarios import SINGLE_STREAM, parse
from suite.topology import granted_cpus, place_instances, read_cpus
from suite.trial.group import Group
from suite.trial.launch import INSTANCE, TrialName
from suite.trial.loads import Load, Server, run_load_trial
from suite.trial.protocol import TrialRequest
from tests.benchmarks.paired import Finding, ratios_in_turn

PAIRS = 7
PASSES = 9
BOUND = 5
"""Times the latency of one invocation."""
QUERIES = 2000
STEP = 1.04
"""Of the rates that are tried by brute force."""
LEAST_SHARE = 0.4
"""Of the rate without a pause, that is tried."""
NAME = TrialName("bench", "bench", "bench", 0, 0)


def per_s(artifact: Artifact, instances: int, threads: int) -> float:
    """Return the throughput of so many instances, each on so many threads."""
    placement = place_instances(read_cpus(granted_cpus()), threads, instances)
    request = TrialRequest(str(artifact.path), threads, (), 0)
    load = Load(parse(SINGLE_STREAM), placement, 1, shared=False)
    trial: TrialRow = run_load_trial(NAME, request, load, 120)[0]
    assert trial.status == "ok", trial.error
    return trial.throughput_per_s


def searched_and_swept(artifact: Artifact) -> tuple[list[float], list[float]]:
    """Return the rates that searches find over that of a sweep, and their times over a pass of it.

    A search and a pass over all rates take turns, so that what disturbs the machine hits both; the
    sweep's rate is the highest at which the median over the passes holds the bound.
    """
    request = TrialRequest(str(artifact.path), 1, granted_cpus()[:1], 0)
    with Group([request], 3600, INSTANCE) as group:
        _, replies = group.together("stream", inner_loops=1, sampling_ns=0)
        service_ns = float(np.median(replies[0][1][0]))
        bound_ns, capacity = BOUND * service_ns, 1e9 / service_ns
        rates = capacity * STEP ** np.arange(np.log(LEAST_SHARE) / np.log(STEP), 0)
        server, unit = Server(group, 0, seed=0), unit_arrivals(QUERIES, 0)
        order = np.random.default_rng(0)
        found, searches_s, passes_s = [], [], []
        tails_ns = np.empty((PASSES, len(rates)))
        for tails in tails_ns:
            begin = time.perf_counter()
            searched = search(lambda rate: server.run(unit, rate), service_ns, 1, bound_ns)
            searches_s.append(time.perf_counter() - begin)
            found.append(searched.rate_per_s)
            begin = time.perf_counter()
            for n in order.permutation(len(rates)):
                tails[n] = server.run(unit, rates[n]).tail_ns()
            passes_s.append(time.perf_counter() - begin)
    holds = np.flatnonzero(np.median(tails_ns, axis=0) <= bound_ns)
    assert 0 < len(holds) < len(rates), "the sweep's rates do not enclose the highest that holds"
    # The sweep finds the step below: on average half a step too little.
    swept = rates[holds[-1]] * STEP**0.5
    return [rate / swept for rate in found], [
        search_s / pass_s for search_s, pass_s in zip(searches_s, passes_s, strict=True)
    ]


def load(artifacts: dict[str, Artifact]) -> Iterator[Finding]:
    """Compare on each artifact, by what it is to be called."""
    searched = artifacts.pop("mobilenetv2-64 float32")
    for name, artifact in artifacts.items():
        ratios = ratios_in_turn(
            lambda artifact=artifact: per_s(artifact, 2, 1),
            lambda artifact=artifact: per_s(artifact, 1, 2),
            PAIRS,
        )
        yield Finding.of(f"{name}: throughput of 2 instances / of 2 threads", "-", ratios)
    rates, times = searched_and_swept(searched)
    yield Finding.of("highest rate: by the search / by a sweep", "0.95 to 1.05", rates)
    yield Finding.of("time of the search / of a pass of the sweep", "at most 0.5", times)
