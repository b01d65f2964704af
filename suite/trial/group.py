"""Several processes that run one model at the same time, each on CPUs of its own."""

import json
import os
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from subprocess import Popen, TimeoutExpired
from tempfile import TemporaryFile
from typing import IO, Any, Self

import numpy as np

from suite.load.arrivals import Times
from suite.trial.board import END, Board
from suite.trial.instance import FRAME
from suite.trial.launch import NO_SENSE, ended, kill, refused, start, timed_out
from suite.trial.protocol import SAMPLE_BYTES, InstanceRequest, TrialRequest

MARGIN_NS = 10_000_000
"""To the moment at which all start, for the command to reach each; per instance a tenth of it."""

Reply = tuple[dict[str, Any], list[Times]]
"""What an instance says: words, and arrays."""


class GroupError(Exception):
    """The fault of one instance, which ends the trial; `fields` are those of its row."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields["error"])
        self.fields = fields


class Group:
    """Processes that have loaded the model and wait for commands; all end with the `with` block.

    Parameters
    ----------
    requests
        One for each instance.
    timeout_s
        For all that they do.
    command
        The process to start.

    Raises
    ------
    GroupError
        Also by every method: if an instance ends, says that it cannot, or takes too long.
    """

    def __init__(
        self, requests: Sequence[TrialRequest], timeout_s: float, command: Sequence[str]
    ) -> None:
        self._requests = requests
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._command = command
        self._open = ExitStack()
        self._processes: list[Popen[bytes]] = []
        self._stderr: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _start(self) -> None:
        count = len(self._requests)
        self.board = Board.make(count)
        self._open.callback(os.close, self.board.fd)
        queue, self._queue = os.pipe()
        os.set_blocking(self._queue, False)
        self._open.callback(os.close, self._queue)
        try:
            for number, request in enumerate(self._requests):
                stderr = self._open.enter_context(TemporaryFile())  # noqa: SIM115
                process = start(self._command, stderr, (self.board.fd, queue))
                self._open.callback(kill, process)
                self._stderr.append(stderr)
                self._processes.append(process)
                first = InstanceRequest(request, number, count, self.board.fd, queue)
                self._write(process, first.to_json())
        finally:
            os.close(queue)
        self.introductions = [words for words, _ in self._replies()]

    def together(self, do: str, **command: Any) -> tuple[int, list[Reply]]:
        """Have all instances begin a command at one moment, and wait until all are done.

        Parameters
        ----------
        do
            A method of `suite.trial.instance.Instance`.

        Returns
        -------
        start_ns, replies
            The moment, on the clock of `perf_counter_ns`.
        """
        start_ns = time.perf_counter_ns() + MARGIN_NS + MARGIN_NS // 10 * len(self._processes)
        return start_ns, self.each(do, start_ns=start_ns, **command)

    def each(self, do: str, **command: Any) -> list[Reply]:
        """Give all instances a command, and wait until all are done."""
        for process in self._processes:
            self._write(process, json.dumps({"do": do, **command}).encode() + b"\n")
        return self._replies()

    def put(self, queries: int) -> None:
        """Lay queries out to be drawn, and behind them a sign for each instance that it is over."""
        ends = END.to_bytes(4, "little") * len(self._processes)
        data = np.arange(queries, dtype="<u4").tobytes() + ends
        if os.write(self._queue, data) < len(data):
            raise GroupError(refused(f"a pipe of this machine's holds less than {len(data)} bytes"))

    def _write(self, process: "Popen[bytes]", line: bytes) -> None:
        assert process.stdin
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._end_of(process) from None

    def _replies(self) -> list[Reply]:
        """Sleep until each instance has answered."""
        waiting = {
            p.stdout.fileno(): number for number, p in enumerate(self._processes) if p.stdout
        }
        heard = dict.fromkeys(waiting.values(), b"")
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        replies: dict[int, Reply] = {}
        while len(replies) < len(self._processes):
            left_s = self._deadline - time.monotonic()
            ready = poll.poll(max(0.0, left_s) * 1e3)
            if not ready and left_s <= 0:
                raise GroupError(timed_out(self._timeout_s))
            for fd, _ in ready:
                number = waiting[fd]
                data = os.read(fd, 2**20)
                if not data:
                    raise self._end_of(self._processes[number])
                heard[number] += data
                try:
                    reply = _parsed(heard[number])
                except (ValueError, LookupError, TypeError):
                    raise GroupError(self._named(number, refused(NO_SENSE))) from None
                if reply is not None:
                    poll.unregister(fd)
                    if "error" in reply[0]:
                        raise GroupError(self._named(number, refused(reply[0]["error"])))
                    replies[number] = reply
        return [replies[number] for number in sorted(replies)]

    def _end_of(self, process: "Popen[bytes]") -> GroupError:
        number = self._processes.index(process)
        try:
            returncode = process.wait(max(0.0, self._deadline - time.monotonic()))
        except TimeoutExpired:
            return GroupError(timed_out(self._timeout_s))
        return GroupError(self._named(number, ended(returncode, self._stderr[number])))

    def _named(self, number: int, fields: dict[str, Any]) -> dict[str, Any]:
        if len(self._processes) == 1:
            return fields
        return {**fields, "error": f"instance {number}: {fields['error']}"}


def _parsed(data: bytes) -> Reply | None:
    """Read a frame, if all of it is there."""
    if len(data) < FRAME.size:
        return None
    text_size, data_size = FRAME.unpack_from(data)
    if len(data) < FRAME.size + text_size + data_size:
        return None
    words = json.loads(data[FRAME.size : FRAME.size + text_size])
    values = np.frombuffer(data, "<i8", data_size // SAMPLE_BYTES, FRAME.size + text_size)
    return words, np.split(values, np.cumsum(words.pop("lengths"))[:-1])
