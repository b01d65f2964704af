"""A trial's process with a slowdown planted: of every 20 invocations, one is run twice.

`python -m tests.benchmarks.planted EXTRA`, EXTRA being 1 for that and 0 for nothing: both go
through the same code. A sample is of a multiple of 20 invocations, so that each has exactly 5 %
more work.
"""

import sys
from collections.abc import Callable
from itertools import cycle

from suite.trial import worker
from suite.warmup import window_size

EVERY = 20


def with_extra(invoke: Callable[[], None], extra: int) -> Callable[[], None]:
    """Return `invoke`, done twice every 20th time if `extra` is 1."""
    turns = cycle([*[0] * (EVERY - 1), extra])

    def invoke_and_perhaps_again() -> None:
        invoke()
        if next(turns):
            invoke()

    return invoke_and_perhaps_again


class LoopedSampler(worker.Sampler):
    """Takes samples of a multiple of 20 invocations."""

    extra = 0

    def __init__(self, invoke: Callable[[], None], shortest_sample_ns: float, most: int) -> None:
        super().__init__(with_extra(invoke, self.extra), shortest_sample_ns, most)
        self.taken = 0  # the probes were single invocations
        sample_ns = min(worker._timed(self.invoke) for _ in range(5))
        self.inner_loops = -(-self.inner_loops // EVERY) * EVERY
        self.window = window_size(sample_ns * self.inner_loops)


if __name__ == "__main__":
    LoopedSampler.extra = int(sys.argv[1])
    worker.Sampler = LoopedSampler  # type: ignore[misc]
    worker.main()
