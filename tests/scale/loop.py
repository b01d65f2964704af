"""A clock that nobody waits for: events in their order, and tasks that sleep between them.

A task is a thread, so that code that knows nothing of simulations can run in it; but only one of
them runs at a time, and the loop waits meanwhile: what happens follows from the seeds alone.
"""

import heapq
import threading
from collections.abc import Callable
from itertools import count

STACK_BYTES = 4 << 20


class Killed(BaseException):
    """What a task that is killed meets where it sleeps. No `except Exception` takes it."""


class Loop:
    """Events by their time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.current: Task | None = None
        """The task that runs, if one does."""
        self._turns = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        heapq.heappush(self._events, (self.now_s + seconds, next(self._turns), action))

    def run(self) -> None:
        """Let everything happen, until nothing is left."""
        while self._events:
            self.now_s, _, action = heapq.heappop(self._events)
            action()

    def sleep(self, seconds: float) -> None:
        """Let the running task sleep."""
        assert self.current
        self.current.sleep(seconds)


class Task:
    """Something that takes time.

    Parameters
    ----------
    body
        What it does, with `Loop.sleep` in between.
    ends
        Called once it has ended, with what it has died of: nothing if it returned.
    owner
        Whose it is.
    """

    def __init__(
        self,
        loop: Loop,
        body: Callable[[], None],
        ends: Callable[[BaseException | None], None],
        owner: object = None,
    ) -> None:
        self.owner = owner
        self._loop = loop
        self._body = body
        self._ends = ends
        self._error: BaseException | None = None
        self._over = False
        self._killed = False
        self._sleeps = 0
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        threading.stack_size(STACK_BYTES)
        self._thread = threading.Thread(target=self._run, daemon=True)
        loop.after(0, self._start)

    def sleep(self, seconds: float | None) -> None:
        """Hand over to the loop for so long; None until `wake` is called."""
        self._sleeps += 1
        sleep = self._sleeps
        if seconds is not None:
            self._loop.after(seconds, lambda: self._resume(sleep))
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def wake(self) -> None:
        """End its sleep."""
        sleep = self._sleeps
        self._loop.after(0, lambda: self._resume(sleep))

    def kill(self) -> None:
        """End it where it sleeps, or before it has begun."""
        self._killed = True
        self.wake()

    def _start(self) -> None:
        self._switch(self._thread.start)

    def _resume(self, sleep: int) -> None:
        if not self._over and sleep == self._sleeps:
            self._switch(self._go.release)

    def _switch(self, go: Callable[[], object]) -> None:
        self._loop.current = self
        go()
        self._back.acquire()
        self._loop.current = None
        if self._over:
            self._thread.join()
            self._ends(self._error)

    def _run(self) -> None:
        try:
            if self._killed:
                raise Killed
            self._body()
        except BaseException as error:
            self._error = error
        self._over = True
        self._back.release()
