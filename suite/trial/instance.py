"""One of several processes that run a model at the same time: it does what its parent says.

Like `suite.trial.worker` it pins itself, loads the model and runs it once; then it obeys commands,
a line of JSON each, and answers each with a frame. Started by `suite.trial.group`.
"""

import json
import os
import struct
import sys
from array import array
from dataclasses import asdict
from itertools import repeat
from time import perf_counter_ns, sleep
from typing import TYPE_CHECKING, Any, BinaryIO

from suite.process import die_with_parent, limit_memory, wake_in_time
from suite.trial.board import END, Board
from suite.trial.protocol import SAMPLE_BYTES, InstanceRequest
from suite.trial.worker import (
    LEAST_SAMPLES,
    LEAST_SAMPLES_SLOW,
    Loaded,
    Mark,
    Sampler,
    private_stdout,
    warm_up,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Reply = tuple[dict[str, Any], list[array[int]]]

FRAME = struct.Struct("<II")
"""Before each answer: the bytes of its JSON, and of the arrays of 64-bit integers behind it."""
TOKEN = struct.Struct("<I")
SPIN_NS = 200_000
"""A process that sleeps until a moment wakes up late by less than this, as a rule."""
PROBES = 1000
SURELY_LONG = 100
"""A first invocation of so many times the shortest sample: one invocation makes a sample."""


def main() -> None:
    """Obey until standard input ends."""
    die_with_parent()
    wake_in_time()
    channel = private_stdout()
    try:
        request = InstanceRequest.from_json(sys.stdin.buffer.readline())
        if request.trial.memory_bytes:
            limit_memory(request.trial.memory_bytes)
        instance = Instance(request)
        _send(channel, instance.introduce(), [])
        for line in sys.stdin.buffer:
            command = json.loads(line)
            _send(channel, *getattr(instance, command.pop("do"))(**command))
    except Exception as error:
        _send(channel, {"error": f"{type(error).__name__}: {error}"}, [])
    os._exit(0)


def _send(channel: BinaryIO, words: dict[str, Any], arrays: "list[array[int]]") -> None:
    text = json.dumps({**words, "lengths": [*map(len, arrays)]}).encode()
    data = b"".join(values.tobytes() for values in arrays)
    channel.write(FRAME.pack(len(text), len(data)) + text + data)
    channel.flush()


class Instance:
    """A loaded model, what it has done so far, and the memory that it shares with the others."""

    def __init__(self, request: InstanceRequest) -> None:
        self._request = request.trial
        self._number = request.number
        self._queue = request.queue_fd
        self._board = Board(request.board_fd, request.instances)
        self._loaded = Loaded.from_request(request.trial)
        self._invoke = self._loaded.model.invoke
        self._steady = False
        self._inner_loops = 1
        self._warmup = 0
        self._stretches: list[tuple[Mark, Mark]] = []

    def introduce(self) -> dict[str, Any]:
        """Say how many invocations make a sample that the clock can time."""
        shortest_ns = self._loaded.shortest_sample_ns
        if self._loaded.first_invocation_ns > SURELY_LONG * shortest_ns:
            return {"inner_loops": 1}
        probed = Sampler(self._invoke, shortest_ns, PROBES)
        return {"inner_loops": probed.inner_loops}

    def stream(self, start_ns: int, inner_loops: int, sampling_ns: int) -> "Reply":
        """Warm up and sample back to back, until all instances have what they need.

        Returns
        -------
        words, arrays
            The length of the warm-up; its samples, then the ends and the durations of what was
            taken after it.
        """
        board, request = self._board, self._request
        wait_until(start_ns)
        timeline = Timeline(
            self._invoke, self._loaded.shortest_sample_ns, request.max_samples, inner_loops
        )
        cut, self._steady = warm_up(timeline, request.warmup_cap_ns)
        self._inner_loops, self._warmup = inner_loops, cut.taken
        board.steady[self._number] = perf_counter_ns()
        kept = timeline.taken
        while not all(board.steady):
            timeline.taken = kept  # nobody asks for what is taken while the others warm up
            timeline.take()
        begin = Mark.here(timeline.taken, request.energy_paths)
        if sampling_ns:
            self._share_window(timeline, kept, sampling_ns)
        self._stretches.append((begin, Mark.here(timeline.taken, request.energy_paths)))
        warm = timeline.samples[: cut.taken]
        after = slice(kept, timeline.taken)
        return {"warmup": cut.taken}, [warm, timeline.ends[after], timeline.samples[after]]

    def _share_window(self, timeline: "Timeline", kept: int, sampling_ns: int) -> None:
        """Sample until all instances have enough, and the window that they share is over."""
        board, number = self._board, self._number
        window_begin = max(board.steady)
        least = LEAST_SAMPLES_SLOW if timeline.slow else LEAST_SAMPLES
        most = len(timeline.samples) - timeline.window
        first = timeline.first_begun(window_begin, kept)
        while True:
            timeline.taken = min(timeline.taken, most)  # what is full goes on, and keeps no more
            timeline.take()
            now = perf_counter_ns()
            if not board.enough[number]:
                full = timeline.taken >= most
                if full:
                    board.full[number] = timeline.ends[most - 1]
                if full or (now - window_begin >= sampling_ns and timeline.taken - first >= least):
                    board.enough[number] = now
            if all(board.enough) and timeline.ends[timeline.taken - 1] >= board.window[1]:
                break
        timeline.taken = min(timeline.taken, most)

    def serve(self, start_ns: int, inner_loops: int) -> "Reply":
        """Serve queries, the next one whenever free, until there are no more.

        Returns
        -------
        words, arrays
            The numbers of the queries, and when each began and ended.
        """
        invoke, arrivals, queue = self._invoke, self._board.arrivals, self._queue
        numbers, begins, ends = array("Q"), array("Q"), array("Q")
        self._inner_loops = inner_loops
        wait_until(start_ns)
        cut = Mark.here(0, self._request.energy_paths)
        while (query := _draw(queue)) != END:
            wait_until(start_ns + arrivals[query])
            begin = perf_counter_ns()
            for _ in repeat(None, inner_loops):
                invoke()
            end = perf_counter_ns()
            numbers.append(query)
            begins.append(begin)
            ends.append(end)
        self._stretches.append((cut, Mark.here(len(numbers), self._request.energy_paths)))
        return {}, [numbers, begins, ends]

    def account(self, stretch: int) -> "Reply":
        """Say what a stretch of work took: the warm-up's sampling is the first, 0."""
        answer = self._loaded.account(
            *self._stretches[stretch], self._inner_loops, steady=self._steady
        )
        return {**asdict(answer), "warmup_count": self._warmup}, []


class Timeline(Sampler):
    """Takes samples as a trial's only process does, and notes when each ended."""

    def __init__(
        self, invoke: "Callable[[], object]", shortest_sample_ns: float, most: int, inner_loops: int
    ) -> None:
        self.ends = array("Q", bytes(SAMPLE_BYTES * most))
        super().__init__(invoke, shortest_sample_ns, most, inner_loops)

    def first_begun(self, time_ns: int, place: int) -> int:
        """Return the first place from `place` on whose sample began at a time or after it."""
        while place < self.taken:
            if self.ends[place] - self.samples[place] * self.inner_loops >= time_ns:
                break
            place += 1
        return place

    def _fill_single(self, places: range) -> None:
        invoke, samples, ends = self.invoke, self.samples, self.ends
        for place in places:
            begin = perf_counter_ns()
            invoke()
            ends[place] = end = perf_counter_ns()
            samples[place] = end - begin

    def _fill_looped(self, places: range) -> None:
        invoke, samples, ends, loops = self.invoke, self.samples, self.ends, self.inner_loops
        for place in places:
            begin = perf_counter_ns()
            for _ in repeat(None, loops):
                invoke()
            ends[place] = end = perf_counter_ns()
            samples[place] = round((end - begin) / loops)


def wait_until(time_ns: int) -> None:
    """Sleep until shortly before a moment, then spin to it."""
    while (left_ns := time_ns - perf_counter_ns()) > SPIN_NS:
        sleep((left_ns - SPIN_NS) / 1e9)
    while perf_counter_ns() < time_ns:
        pass


def _draw(queue: int) -> int:
    """Take the next query off the pipe: reads of 4 bytes are atomic, each goes to one instance."""
    (query,) = TOKEN.unpack(os.read(queue, TOKEN.size))
    return int(query)


if __name__ == "__main__":
    main()
