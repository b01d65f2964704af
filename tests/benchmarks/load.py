"""Two instances over two threads, and the server's search over a sweep of rates by brute force."""

import time
from collections.abc import Iterator
from statistics import median

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
SEARCHES = 5
BOUND = 5
"""Times the latency of one invocation."""
QUERIES = 2000
STEP = 1.04
"""Of the rates that are tried by brute force."""
REPEATS = 3
"""Of each such rate, whose median decides: a disturbance of the machine is a 99th percentile."""
MOST_SHARE, LEAST_SHARE = 1.0, 0.3
NAME = TrialName("bench", "bench", "bench", 0, 0)


def per_s(artifact: Artifact, instances: int, threads: int) -> float:
    """Return the throughput of so many instances, each on so many threads."""
    placement = place_instances(read_cpus(granted_cpus()), threads, instances)
    request = TrialRequest(str(artifact.path), threads, (), 0)
    load = Load(parse(SINGLE_STREAM), placement, 1, shared=False)
    trial: TrialRow = run_load_trial(NAME, request, load, 120)[0]
    assert trial.status == "ok", trial.error
    return trial.throughput_per_s


def searched_and_swept(artifact: Artifact, seed: int) -> tuple[float, float]:
    """Return the rate that the search finds over that of a sweep, and their times' ratio."""
    request = TrialRequest(str(artifact.path), 1, granted_cpus()[:1], 0)
    with Group([request], 3600, INSTANCE) as group:
        _, replies = group.together("stream", inner_loops=1, sampling_ns=0)
        service_ns = float(np.median(replies[0][1][0]))
        server, unit = Server(group, 0, seed), unit_arrivals(QUERIES, seed)
        begin = time.perf_counter()
        found = search(lambda rate: server.run(unit, rate), service_ns, 1, BOUND * service_ns)
        searched_s = time.perf_counter() - begin
        begin = time.perf_counter()
        rate, held = MOST_SHARE * 1e9 / service_ns, False
        while not held:  # from above: the first that holds is the highest
            rate /= STEP
            assert rate > LEAST_SHARE * 1e9 / service_ns, (
                "no rate holds the bound: not quiet enough"
            )
            served = [server.run(unit, rate) for _ in range(REPEATS)]
            held = median(each.tail_ns() for each in served) <= BOUND * service_ns
        swept_s = (time.perf_counter() - begin) / REPEATS
    # A sweep finds the step below: on average half a step too little.
    return found.rate_per_s / (rate * STEP**0.5), searched_s / swept_s


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
    rates, times = zip(*(searched_and_swept(searched, n) for n in range(SEARCHES)), strict=True)
    yield Finding.of("highest rate: by the search / by a sweep", "0.95 to 1.05", [*rates])
    yield Finding.of("time of the search / of the sweep", "at most 0.5", [*times])
