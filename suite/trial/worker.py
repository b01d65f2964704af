"""The process that is timed.

It imports numpy and one runtime and nothing else that could run a thread, hold memory or take time
of its own, pins itself before it does, and measures one model. Started by `suite.trial.launch`,
with a request on its standard input.
"""

import gc
import hashlib
import json
import math
import os
import resource
import sys
from array import array
from dataclasses import asdict, dataclass
from itertools import count, pairwise, repeat
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from suite.counters import read_counters
from suite.process import die_with_parent, limit_memory
from suite.trial.memory import arena_bytes, mapped_file, peak_rss_bytes, rss_bytes
from suite.trial.protocol import SAMPLE_BYTES, TrialAnswer, TrialRequest
from suite.warmup import SLOW_NS, window_size, windows_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from suite.runtimes.protocol import Executable, Tensor, Values

CLOCK_READINGS = 2000
CLOCK_RATIO = 1000
"""A sample lasts at least this many times the clock's overhead and resolution."""
MOST_LOOPED_NS = 100_000_000
"""No sample is stretched further by repeating invocations: a clock that needs more is coarse."""
LEAST_SAMPLES = 5
LEAST_SAMPLES_SLOW = 3
LEAST_WINDOWS = 4
"""Windows that the warm-up may take whatever its cap in time."""
PROBING_NS = 5_000_000


def main() -> None:
    """Measure what standard input asks for and answer on standard output."""

    def measured(request: TrialRequest) -> tuple[dict[str, Any], bytes]:
        answer, samples = measure(request)
        return asdict(answer), samples.tobytes()

    respond(measured)


def respond(work: "Callable[[TrialRequest], tuple[dict[str, Any], bytes]]") -> NoReturn:
    """Do what standard input asks for, answer on standard output, and end the process.

    Parameters
    ----------
    work
        Returns what goes into the answer's line, and what stands behind it.
    """
    die_with_parent()
    request = TrialRequest(**json.load(sys.stdin))
    if request.memory_bytes:
        limit_memory(request.memory_bytes)
    channel = private_stdout()
    try:
        line, data = work(request)
    except Exception as error:
        line, data = {"error": f"{type(error).__name__}: {error}"}, b""
    channel.write(json.dumps(line).encode() + b"\n" + data)
    channel.flush()
    # The interpreter's destructors have nothing to add, and may crash.
    os._exit(0)


def private_stdout() -> BinaryIO:
    """Return standard output for our answer alone; native libraries print to stderr from now on."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def measure(request: TrialRequest) -> "tuple[TrialAnswer, array[int]]":
    """Run the trial: pin, import, load, first invocation, warm-up, samples.

    Returns
    -------
    answer, samples
        The samples in ns, in order of execution, the warm-up's first.
    """
    loaded = Loaded.from_request(request)
    sampler = Sampler(loaded.model.invoke, loaded.shortest_sample_ns, request.max_samples)
    cut, steady = warm_up(sampler, request.warmup_cap_ns, request.energy_paths)
    while sampler.wants_more(cut.taken, perf_counter_ns() - cut.wall_ns, request.sampling_ns):
        sampler.take()
    end = Mark.here(sampler.taken, request.energy_paths)
    answer = loaded.account(cut, end, sampler.inner_loops, steady=steady)
    return answer, sampler.samples[: sampler.taken]


@dataclass(frozen=True)
class Loaded:
    """A model that is loaded and has run once, and what that took."""

    model: "Executable"
    artifact_path: str
    load_rss_bytes: int
    import_ns: int
    load_ns: int
    first_invocation_ns: int
    clock_resolution_ns: float
    clock_overhead_ns: float

    @classmethod
    def from_request(cls, request: TrialRequest) -> "Loaded":
        """Pin, import, load, run once; leave the collector frozen and off."""
        os.sched_setaffinity(0, request.cpus)
        clock_resolution_ns, clock_overhead_ns = clock_quality()

        begin = perf_counter_ns()
        from suite.runtimes.protocol import import_runtime

        runtime = import_runtime(request.runtime)
        imported = perf_counter_ns()
        empty_bytes = rss_bytes()
        begin_load = perf_counter_ns()
        model = runtime.load(request.artifact_path, request.threads, request.delegate)
        loaded = perf_counter_ns()
        load_rss_bytes = rss_bytes() - empty_bytes

        fill_inputs(model, request.seed)
        gc.collect()
        gc.freeze()
        gc.disable()
        return cls(
            model,
            request.artifact_path,
            load_rss_bytes,
            import_ns=imported - begin,
            load_ns=loaded - begin_load,
            first_invocation_ns=_timed(model.invoke),
            clock_resolution_ns=clock_resolution_ns,
            clock_overhead_ns=clock_overhead_ns,
        )

    @property
    def shortest_sample_ns(self) -> float:
        """The least that a sample must last for the clock to time it."""
        coarsest_ns = max(self.clock_overhead_ns, self.clock_resolution_ns)
        return min(CLOCK_RATIO * coarsest_ns, MOST_LOOPED_NS)

    def account(self, cut: "Mark", end: "Mark", inner_loops: int, *, steady: bool) -> TrialAnswer:
        """Return what is to be said of the samples between two marks."""
        steady_bytes = rss_bytes()
        output_digest, output_finite = read_outputs(self.model)
        peak_bytes = peak_rss_bytes()
        places, weights_bytes = mapped_file(self.artifact_path)
        operators, delegated = self.model.delegation()
        waits = waits_ns(cut.threads, end.threads)
        return TrialAnswer(
            import_ns=self.import_ns,
            load_ns=self.load_ns,
            first_invocation_ns=self.first_invocation_ns,
            warmup_count=cut.taken,
            steady=steady,
            inner_loops=inner_loops,
            sampling_wall_ns=end.wall_ns - cut.wall_ns,
            sampling_cpu_ns=end.cpu_ns - cut.cpu_ns,
            threads_seen=sum(
                ran > cut.threads.get(tid, (0, 0))[0] for tid, (ran, _) in end.threads.items()
            ),
            cpus=tuple(sorted(os.sched_getaffinity(0))),
            voluntary_switches=end.usage.ru_nvcsw - cut.usage.ru_nvcsw,
            involuntary_switches=end.usage.ru_nivcsw - cut.usage.ru_nivcsw,
            minor_faults=end.usage.ru_minflt - cut.usage.ru_minflt,
            major_faults=end.usage.ru_majflt - cut.usage.ru_majflt,
            run_delay_ns=max(waits, default=math.nan),
            waited_ns=sum(waits) if waits else math.nan,
            peak_rss_bytes=peak_bytes,
            steady_rss_bytes=steady_bytes,
            load_rss_bytes=self.load_rss_bytes,
            weights_rss_bytes=weights_bytes,
            arena_bytes=arena_bytes(self.model.tensors(), places),
            energy_begin_uj=cut.energy_uj,
            energy_end_uj=end.energy_uj,
            clock_resolution_ns=self.clock_resolution_ns,
            clock_overhead_ns=self.clock_overhead_ns,
            computes_in=self.model.computes_in(),
            output_digest=output_digest,
            output_finite=output_finite,
            operators_run=operators,
            operators_delegated=delegated,
            samples=end.taken,
        )


class Sampler:
    """Takes samples, a window at a time, into memory that is there beforehand."""

    def __init__(
        self,
        invoke: "Callable[[], object]",
        shortest_sample_ns: float,
        most: int,
        inner_loops: int = 0,
    ) -> None:
        self.invoke = invoke
        probes = [_timed(invoke), _timed(invoke)]
        while sum(probes) < PROBING_NS and len(probes) < most // 4:
            probes.append(_timed(invoke))  # a quick model is far quicker once it is warm
        latency_ns = max(1, min(probes) or sum(probes) // len(probes))  # 0: a coarse clock
        enough = max(1, min(1_000_000, math.ceil(shortest_sample_ns / latency_ns)))
        self.inner_loops = inner_loops or enough
        self.slow = latency_ns > SLOW_NS
        self.window = window_size(latency_ns * self.inner_loops)
        self.samples = array("Q", bytes(SAMPLE_BYTES * most))
        self.taken = 0
        if self.inner_loops == 1:  # else the probes are no samples: one invocation is too short
            self.taken = len(probes)
            self.samples[: self.taken] = array("Q", probes)

    def take(self) -> "array[int]":
        """Take one window of samples and return them; fewer where the memory ends."""
        begin = self.taken
        self.taken = min(begin + self.window, len(self.samples))
        fill = self._fill_single if self.inner_loops == 1 else self._fill_looped
        fill(range(begin, self.taken))
        return self.samples[begin : self.taken]

    def wants_more(self, kept_from: int, elapsed_ns: int, least_ns: int) -> bool:
        """Say whether the samples from `kept_from` on are too few or cover too little time."""
        if self.taken == len(self.samples):
            return False
        least = LEAST_SAMPLES_SLOW if self.slow else LEAST_SAMPLES
        return self.taken - kept_from < least or elapsed_ns < least_ns

    # The two loops that everything else is for. Nothing may be added to them.

    def _fill_single(self, places: range) -> None:
        invoke, samples = self.invoke, self.samples
        for place in places:
            begin = perf_counter_ns()
            invoke()
            samples[place] = perf_counter_ns() - begin

    def _fill_looped(self, places: range) -> None:
        invoke, samples, loops = self.invoke, self.samples, self.inner_loops
        for place in places:
            begin = perf_counter_ns()
            for _ in repeat(None, loops):
                invoke()
            samples[place] = round((perf_counter_ns() - begin) / loops)


@dataclass(frozen=True)
class Mark:
    """The process's accounts at a moment between two samples."""

    taken: int
    wall_ns: int
    cpu_ns: int
    usage: resource.struct_rusage
    threads: dict[str, tuple[int, int]]
    """Time that each thread has run, and has been ready and waited for a CPU, ns."""
    energy_uj: list[int]
    """What the node's energy counters say, as far as they are asked."""

    @classmethod
    def here(cls, taken: int, energy_paths: "Sequence[str]" = ()) -> "Mark":
        """Read the accounts now."""
        usage, threads = resource.getrusage(resource.RUSAGE_SELF), thread_times_ns()
        energy_uj = read_counters(energy_paths)
        return cls(taken, perf_counter_ns(), process_time_ns(), usage, threads, energy_uj)


def warm_up(sampler: Sampler, cap_ns: int, energy_paths: "Sequence[str]" = ()) -> tuple[Mark, bool]:
    """Take windows until two adjacent ones agree, or the cap is reached.

    Returns
    -------
    cut, steady
        Where the warm-up ends: before the later of two windows that agree.
    """
    begin = perf_counter_ns()
    # Of a slow model the probes are a window already: another would cost more than it tells.
    earlier = sampler.samples[: sampler.taken] if sampler.slow else sampler.take()
    for windows in count(2):
        cut = Mark.here(sampler.taken, energy_paths)
        later = sampler.take()
        if windows_agree(earlier, later):
            return cut, True
        spent = windows >= LEAST_WINDOWS and perf_counter_ns() - begin > cap_ns
        # Half of the memory is left to what comes after the warm-up.
        if spent or sampler.taken > len(sampler.samples) // 2:
            break
        earlier = later
    return Mark.here(sampler.taken, energy_paths), False


def clock_quality() -> tuple[float, float]:
    """Return the smallest step that the clock shows and the median cost of reading it, in ns."""
    readings = [perf_counter_ns() for _ in range(CLOCK_READINGS)]
    steps = sorted(b - a for a, b in pairwise(readings))
    return float(next((step for step in steps if step), 1)), float(steps[len(steps) // 2])


def fill_inputs(model: "Executable", seed: int) -> None:
    """Fill every input with seeded values."""
    model.set_inputs(seeded_inputs(model.inputs, seed))


def seeded_inputs(inputs: "Sequence[Tensor]", seed: int) -> "list[Values]":
    """Return seeded values for every input, such as any model of its type can take."""
    import numpy as np

    generator = np.random.default_rng(seed)
    filled: list[Values] = []
    for tensor in inputs:
        dtype, shape = tensor.dtype, tensor.shape
        if dtype.kind == "f":
            values = generator.random(shape, dtype=np.float32).astype(dtype)
        elif dtype in (np.int8, np.uint8, np.int16):
            limits = np.iinfo(dtype)
            values = generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        elif dtype.kind in "iub":
            # Wider integers are indices more often than not: 0 and 1 are within any table.
            values = generator.integers(0, 2, shape).astype(dtype)
        else:
            raise TypeError(f"input {tensor.name!r} is of type {dtype}, which cannot be filled")
        filled.append(values)
    return filled


def read_outputs(model: "Executable") -> tuple[str, bool]:
    """Return the SHA-256 of all outputs, and whether every number in them is finite."""
    import numpy as np

    sha256, finite = hashlib.sha256(), True
    for values in model.outputs():
        sha256.update(values.tobytes())
        if values.dtype.kind == "f":
            finite = finite and bool(np.isfinite(values).all())
    return sha256.hexdigest(), finite


def thread_times_ns() -> dict[str, tuple[int, int]]:
    """Return for how long each of this process's threads has run, and was ready and waited."""
    times = {}
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
        try:
            with open(f"/proc/self/task/{thread}/schedstat") as file:  # noqa: PTH123
                ran, waited, _ = map(int, file.read().split())
                times[thread] = ran, waited
        except OSError:
            # A kernel without schedstat, or a thread that has ended: alive is all that is known.
            times[thread] = 0, 0
    return times


def waits_ns(cut: dict[str, tuple[int, int]], end: dict[str, tuple[int, int]]) -> list[int]:
    """Return for how long each thread waited between; nothing where the kernel does not count."""
    return [waited - cut.get(thread, (0, 0))[1] for thread, (ran, waited) in end.items() if ran]


def _timed(invoke: "Callable[[], object]") -> int:
    begin = perf_counter_ns()
    invoke()
    return perf_counter_ns() - begin


if __name__ == "__main__":
    main()
