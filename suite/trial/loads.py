"""Trials of several instances, or of a scenario other than single-stream: from commands to rows.

A trial has three parts: its instances load the model; they warm up at the same time, each by the
rule of `suite.warmup`, since what they do to each other belongs to their steady state; then they do
what the scenario asks for, from a moment on that all share.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from suite.canonical import digest
from suite.load.arrivals import (
    MOST_QUERIES,
    Times,
    arrivals_ns,
    query_count,
    unit_arrivals,
)
from suite.load.queueing import Served, is_overloaded
from suite.load.search import UnattainableError, search
from suite.load.window import Timeline, rate_per_s
from suite.results.rows import InstanceRow, TrialFlag, TrialRow
from suite.scenarios import OFFLINE, SINGLE_STREAM, Scenario
from suite.topology import format_cpu_list
from suite.trial.group import Group, GroupError, Reply
from suite.trial.instruments import BARE, Instruments
from suite.trial.launch import INSTANCE, NO_SENSE, TrialName, answer_of, judge, refused, row_of
from suite.trial.protocol import TrialAnswer, TrialRequest
from suite.trial.withheld import Withheld
from suite.trial.worker import LEAST_SAMPLES, LEAST_SAMPLES_SLOW
from suite.warmup import SLOW_NS

NOTHING = TrialFlag(0)
LOAD_SHARE = 0.5
"""Of a trial's time limit: what queries at a given rate, or all runs of a search, may take."""
EXPECTED_RUNS = 4
"""Of a search."""
WAKE_NS = 20_000
"""Most that an idle CPU takes to run what was woken on it."""

SUMMED = (
    *("sampling_cpu_ns", "threads_seen", "voluntary_switches", "involuntary_switches"),
    *("minor_faults", "major_faults", "warmup_count", "samples"),
    *("peak_rss_bytes", "steady_rss_bytes", "load_rss_bytes", "weights_rss_bytes", "arena_bytes"),
)
LARGEST = (
    *("import_ns", "load_ns", "first_invocation_ns", "sampling_wall_ns", "run_delay_ns"),
    *("clock_resolution_ns", "clock_overhead_ns"),
)
"""How a trial's account follows from those of its instances; else it is that of the first."""


@dataclass(frozen=True)
class Load:
    """How instances are loaded with work."""

    scenario: Scenario
    placement: tuple[tuple[int, ...], ...]
    """The CPUs of each instance."""
    batch: int
    """Examples of an invocation."""
    shared: bool
    """Whether instances have CPUs in common."""


@dataclass(frozen=True)
class Work:
    """What instances have done after their warm-up."""

    latency_ns: tuple[Times, ...]
    """The samples of each."""
    window_ns: int
    per_s: float
    """Invocations of all."""
    busy_ns: tuple[int, ...] = ()
    """How long each was at work, where it has waited for work too."""
    inner_loops: int = 1
    stretch: int = 0
    """Which of the instances' stretches of work it was."""
    offered_per_s: float = float("nan")
    counts_rate: bool = False
    """Whether invocations a second are what the scenario is about, and not their latency."""
    flags: TrialFlag = NOTHING


def run_load_trial(
    name: TrialName,
    request: TrialRequest,
    load: Load,
    timeout_s: float,
    command: Sequence[str] = INSTANCE,
    *,
    instruments: Instruments = BARE,
) -> tuple[TrialRow, tuple[InstanceRow, ...]]:
    """Measure one cell once, with as many processes as it has instances.

    Whatever happens to one of them ends all and is the row's status and error; nothing is raised.

    Parameters
    ----------
    request
        What each instance is to run; its CPUs are those of `load`.
    timeout_s
        All processes are killed after this time and the trial recorded as `timed_out`.
    command
        The process to start, for tests.
    instruments
        What the trial is watched with beside the clock.
    """
    blank = name.row(start_unix_ns=time.time_ns())
    requests = [replace(request, cpus=cpus, shared=load.shared) for cpus in load.placement]
    # What counts is of the whole node: one of them reads it.
    requests[0] = replace(requests[0], energy_paths=instruments.counters.paths)
    before = [Withheld.so_far(cpus) for cpus in load.placement]
    begin = time.perf_counter_ns()
    try:
        pinned = {cpu for cpus in load.placement for cpu in cpus}
        with (
            instruments.watching(sorted(pinned)) as seen,
            Group(requests, timeout_s, command) as group,
        ):
            warm, work = _measured(group, request, load, timeout_s, name.seed)
            accounts = [_answer(words) for words, _ in group.each("account", stretch=work.stretch)]
    except (GroupError, UnattainableError) as error:
        failure = error.fields if isinstance(error, GroupError) else refused(str(error))
        blank = replace(blank, process_wall_ns=time.perf_counter_ns() - begin)
        return replace(blank, validity=int(TrialFlag.FAILED), **failure), ()
    wall_ns = time.perf_counter_ns() - begin
    blank = replace(blank, process_wall_ns=wall_ns, **seen.columns())
    withheld = [
        Withheld.so_far(cpus).since(so_far)
        for cpus, so_far in zip(load.placement, before, strict=True)
    ]
    trial = _trial(blank, load, warm, work, accounts)
    flags = work.flags
    for n, asked in enumerate(requests):
        own = accounts[n]
        if work.busy_ns:
            own = at_work(own, work.busy_ns[n])
        row = row_of(replace(blank, **vars(withheld[n])), own, _u8([warm[n], work.latency_ns[n]]))
        flags |= judge(asked, own, row)
    kept = Withheld(
        sum(each.steal_ns for each in withheld),
        withheld[0].throttle_count,
        withheld[0].throttled_ns,
    )
    energy = instruments.energy_columns(accounts[0], work.window_ns)
    trial = replace(trial, validity=int(flags), **vars(kept), **energy)
    return trial, tuple(
        _instance(trial, n, warm[n], work, account) for n, account in enumerate(accounts)
    )


def _measured(
    group: Group, request: TrialRequest, load: Load, timeout_s: float, seed: int
) -> tuple[list[Times], Work]:
    """Return the warm-up of each instance, and what they did after it."""
    loops = max(words["inner_loops"] for words in group.introductions)
    if load.scenario.kind == SINGLE_STREAM:
        _, replies = group.together("stream", inner_loops=loops, sampling_ns=request.sampling_ns)
        return [arrays[0] for _, arrays in replies], _streamed(replies, group.board.window, loops)
    single = loops if load.scenario.kind == OFFLINE else 1
    _, replies = group.together("stream", inner_loops=single, sampling_ns=0)
    warm = [arrays[0] for _, arrays in replies]
    # The later half of each: from the earlier one the rule may have cut nothing.
    service_ns = float(np.median(np.concatenate([each[len(each) // 2 :] for each in warm])))
    allowed_ns = timeout_s * 1e9 * LOAD_SHARE
    if load.scenario.kind == OFFLINE:
        return warm, _pool(group, service_ns, request.sampling_ns, loops)
    server = Server(group, request.sampling_ns, seed)
    if load.scenario.rate_per_s is not None:
        return warm, server.at_rate(load.scenario.rate_per_s, allowed_ns)
    assert load.scenario.bound_ns is not None
    return warm, server.within(load.scenario.bound_ns, service_ns, allowed_ns)


def _streamed(replies: Sequence[Reply], window: tuple[int, int], loops: int) -> Work:
    """Return what instances did back to back, in the window that they have in common."""
    # A sample is a mean: as long as its invocations took, within a rounding.
    timelines = [Timeline(ends, durations * loops) for _, (_, ends, durations) in replies]
    latencies = tuple(timeline.within(*window) // loops for timeline in timelines)
    window_ns = window[1] - window[0]
    per_s = rate_per_s(timelines, *window) * loops
    return Work(latencies, window_ns, per_s, inner_loops=loops)


def _pool(group: Group, service_ns: float, sampling_ns: int, loops: int) -> Work:
    """Have a pool of invocations done that are all there at once; a sample is `loops` of them."""
    instances = len(group.introductions)
    least = LEAST_SAMPLES_SLOW if service_ns > SLOW_NS else LEAST_SAMPLES
    each = max(least, math.ceil(sampling_ns / service_ns / loops))
    longer = math.ceil(each * instances / MOST_QUERIES)
    queries = math.ceil(each / longer) * instances
    served = _serve(group, np.zeros(queries, np.int64), loops * longer)
    took_ns = served.end_ns - served.begin_ns
    window_ns = int(served.end_ns.max())
    return Work(
        latency_ns=_by_instance(took_ns // (loops * longer), served, instances),
        window_ns=window_ns,
        per_s=queries * loops * longer / window_ns * 1e9,
        inner_loops=loops * longer,
        stretch=1,
        counts_rate=True,
    )


@dataclass
class Server:
    """Instances that serve queries as they come."""

    group: Group
    sampling_ns: int
    seed: int
    runs: int = 0

    @property
    def instances(self) -> int:
        """How many serve."""
        return len(self.group.introductions)

    def at_rate(self, rate: float, allowed_ns: float) -> Work:
        """Serve queries that come at a rate per second."""
        count = query_count(rate, self.sampling_ns, allowed_ns)
        _check_time(count, rate, allowed_ns)
        unit = unit_arrivals(count, self.seed)
        served = self.run(unit, rate)
        work = self._work(served, rate, stretch=self.runs)
        overloaded = is_overloaded(served, rate, self.instances)
        return replace(work, flags=TrialFlag.OVERLOADED) if overloaded else work

    def within(self, bound_ns: float, service_ns: float, allowed_ns: float) -> Work:
        """Serve queries at the highest rate that holds a bound at the 99th percentile."""
        begin = time.perf_counter_ns()
        capacity = self.instances * 1e9 / service_ns
        count = query_count(capacity, self.sampling_ns, allowed_ns / EXPECTED_RUNS)
        _check_time(EXPECTED_RUNS * count, capacity, allowed_ns)
        unit = unit_arrivals(count, self.seed)
        found = search(
            lambda rate: self.run(unit, rate),
            service_ns,
            self.instances,
            bound_ns,
            may_run=lambda rate: time.perf_counter_ns() - begin + count / rate * 1e9 < allowed_ns,
        )
        work = self._work(found.served, found.rate_per_s, stretch=1 + found.run)
        return replace(work, counts_rate=True)

    def run(self, unit: npt.NDArray[np.float64], rate: float) -> Served:
        """Serve queries that come like `unit`, at a rate per second."""
        self.runs += 1
        return _serve(self.group, arrivals_ns(unit, rate), 1)

    def _work(self, served: Served, rate: float, stretch: int) -> Work:
        window_ns = int(served.end_ns.max())
        busy = _by_instance(served.end_ns - served.begin_ns, served, self.instances)
        return Work(
            latency_ns=_by_instance(served.latency_ns, served, self.instances),
            window_ns=window_ns,
            per_s=len(served.end_ns) / window_ns * 1e9,
            busy_ns=tuple(int(each.sum()) for each in busy),
            stretch=stretch,
            offered_per_s=rate,
        )


def _check_time(count: int, rate: float, allowed_ns: float) -> None:
    """Refuse queries that would not be over by when the trial must be."""
    if count / rate * 1e9 > allowed_ns + 1:
        raise UnattainableError(
            f"{count} invocations, the least for a 99th percentile, take {count / rate:.3g} s at "
            f"{rate:.3g}/s: raise trial_timeout under [measure] to "
            f"{math.ceil(count / rate / LOAD_SHARE)} s"
        )


def _serve(group: Group, arrivals: Times, loops: int) -> Served:
    """Have the instances serve queries; times are from the moment at which all could begin."""
    group.board.lay_out(arrivals.tolist())
    group.put(len(arrivals))
    start_ns, replies = group.together("serve", inner_loops=loops)
    numbers = np.concatenate([arrays[0] for _, arrays in replies])
    order = np.argsort(numbers)
    begin, end = (np.concatenate([arrays[n] for _, arrays in replies])[order] for n in (1, 2))
    instance = np.repeat(np.arange(len(replies)), [len(arrays[0]) for _, arrays in replies])
    return Served(arrivals, begin - start_ns, end - start_ns, instance[order])


def _by_instance(values: Times, served: Served, instances: int) -> tuple[Times, ...]:
    return tuple(values[served.instance == number] for number in range(instances))


def _trial(
    blank: TrialRow,
    load: Load,
    warm: Sequence[Times],
    work: Work,
    accounts: Sequence[TrialAnswer],
) -> TrialRow:
    """Make the trial's row of the accounts of its instances."""
    answer = replace(merged(accounts), inner_loops=work.inner_loops)
    row = row_of(blank, answer, _u8([*warm, *work.latency_ns]))
    return replace(
        row,
        effective_parallelism=math.fsum(map(_parallelism, accounts)),
        window_ns=float(work.window_ns),
        throughput_per_s=work.per_s * load.batch,
        offered_per_s=work.offered_per_s,
        counted_ns=_counted_ns(work),
    )


def _counted_ns(work: Work) -> float:
    if not work.counts_rate:
        return math.nan
    return 1e9 / (work.per_s if math.isnan(work.offered_per_s) else work.offered_per_s)


def at_work(account: TrialAnswer, busy_ns: int) -> TrialAnswer:
    """Return the account of an instance without its waiting for queries, which uses no CPU.

    To be woken takes a while on a quiet node too. It does no harm to a query that is still to come:
    an instance wakes before that, and spins.
    """
    delay_ns = max(0.0, account.run_delay_ns - WAKE_NS * account.voluntary_switches)
    return replace(account, sampling_wall_ns=busy_ns, run_delay_ns=delay_ns)


def merged(accounts: Sequence[TrialAnswer]) -> TrialAnswer:
    """Return one account of several instances."""
    first = accounts[0]
    digests = {account.output_digest for account in accounts}
    fields: dict[str, Any] = {
        **{name: sum(getattr(each, name) for each in accounts) for name in SUMMED},
        **{name: max(getattr(each, name) for each in accounts) for name in LARGEST},
        "steady": all(account.steady for account in accounts),
        "output_finite": all(account.output_finite for account in accounts),
        "cpus": tuple(sorted({cpu for account in accounts for cpu in account.cpus})),
        "output_digest": first.output_digest if len(digests) == 1 else digest(sorted(digests), 64),
    }
    return replace(first, **fields)


def _instance(
    trial: TrialRow, number: int, warm: Times, work: Work, account: TrialAnswer
) -> InstanceRow:
    latency_ns = work.latency_ns[number]
    return InstanceRow(
        instance_id=digest([trial.trial_id, number], 16),
        instance_trial_id=trial.trial_id,
        instance_number=number,
        instance_cpus=format_cpu_list(account.cpus),
        instance_warmup=len(warm),
        instance_samples=len(latency_ns),
        instance_median_ns=float(np.median(latency_ns)) if len(latency_ns) else math.nan,
        instance_parallelism=_parallelism(account),
        instance_peak_rss_bytes=account.peak_rss_bytes,
    )


def _parallelism(account: TrialAnswer) -> float:
    return account.sampling_cpu_ns / max(1, account.sampling_wall_ns)


def _answer(words: dict[str, Any]) -> TrialAnswer:
    try:
        return answer_of(words)
    except ValueError:
        raise GroupError(refused(NO_SENSE)) from None


def _u8(parts: Sequence[Times]) -> npt.NDArray[np.uint64]:
    return np.concatenate(parts).astype("<u8")
