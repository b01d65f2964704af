"""What a step takes at several sizes, and with which power of the size it grows."""

import math
import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Table = list[str]


def cpu_s_of_all() -> float:
    """Return the CPU time that this process and those that it has waited for have used."""
    spent = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(each.ru_utime + each.ru_stime for each in spent)


@dataclass
class Times:
    """Seconds by step, of the CPU: others on the machine do not lengthen them."""

    clock: Callable[[], float] = time.process_time
    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Count the block as part of `step`."""
        begin = self.clock()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + self.clock() - begin
            self.calls[step] = self.calls.get(step, 0) + 1

    def around(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, each call of which is counted."""

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.of(step):
                return function(*arguments, **options)

        return timed


def bytes_kept(make: Callable[[], Any]) -> tuple[int, int]:
    """Return the bytes of Python's that the result of `make` holds, and the most meanwhile."""
    tracemalloc.start()
    try:
        kept = make()
        now, most = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return now, most


def power(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the power of the size with which the last value has grown from the one before."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return the lines of a table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def by_size(
    what: str, sizes: Sequence[int], found: Sequence[Mapping[str, float]], unit: str = "{:.3g}"
) -> Table:
    """Return the table of steps over sizes, with the power that each grows with."""
    rows = []
    for step in found[-1]:
        values = [each.get(step, math.nan) for each in found]
        grows = f"{power(sizes, values):.2f}" if len(sizes) > 1 and min(values[-2:]) > 0 else "-"
        shown = ("-" if math.isnan(value) else unit.format(value) for value in values)
        rows.append([step, *shown, grows])
    return markdown([what, *(f"{size:,}" for size in sizes), "power"], rows)
