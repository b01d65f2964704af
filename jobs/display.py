"""What the user sees while a run goes on: cells done, what runs now, time left."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from suite.artifacts.build import BuildEvent

Seen = tuple[float, str]
"""The share that is done, and what to say of it."""

LOOK_EVERY_S = 1.0
PLAIN_LINE_EVERY_S = 10.0


def duration(seconds: float) -> str:
    """Write a duration for people: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Display:
    """A bar on a terminal; elsewhere a line now and then.

    It is drawn when there is something new and not by a timer: what is drawn while a trial runs
    takes CPUs from it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            auto_refresh=False,
            transient=True,
        )

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def phase(self, title: str) -> Iterator["Phase"]:
        """Show how far one part of the work has come."""
        phase = Phase(self, title)
        if not self.console.is_terminal:
            yield phase
            return
        task = self._bar.add_task(title, total=1.0, text="")
        phase.draw = lambda share, text: self._draw(task, share, text)
        with self._bar:
            yield phase
            self._bar.remove_task(task)

    def _draw(self, task: Any, share: float, text: str) -> None:
        self._bar.update(task, completed=share, text=text)
        self._bar.refresh()


class Phase:
    """One part of the work, with a share done and a text."""

    def __init__(self, display: Display, title: str) -> None:
        self.display = display
        self.title = title
        self.draw = self._print
        self._printed_at = float("-inf")

    def _print(self, share: float, text: str) -> None:
        if time.monotonic() - self._printed_at >= PLAIN_LINE_EVERY_S:
            self._printed_at = time.monotonic()
            self.display.say(f"{self.title}: {share:.0%}, {text}")

    @contextmanager
    def following(self, look: Callable[[], Seen | None]) -> Iterator[None]:
        """Draw what `look` returns, if anything, once a second."""
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(LOOK_EVERY_S):
                if seen := look():
                    self.draw(*seen)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class Measuring:
    """What a job that measures writes to its progress file."""

    def __init__(self, progress_file: Path) -> None:
        progress_file.unlink(missing_ok=True)
        self._file = progress_file
        self._began = time.monotonic()
        self._last = ""

    def look(self) -> Seen | None:
        """Return what is new; nothing while a trial runs, which a drawing would disturb."""
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return None
        if text == self._last:
            return None
        self._last = text
        said = json.loads(text)
        elapsed_s, left_s = time.monotonic() - self._began, said["seconds_left"]
        return (
            elapsed_s / (elapsed_s + left_s),
            f"{said['cells_done']} of {said['cells']} cells done, trial {said['trials'] + 1}, "
            f"now {said['now']}, about {duration(left_s)} left",
        )


class Building:
    """Artifacts as they are built: a line for each that stays, and what is under way."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._share = 0.0
        self._there = ""
        self._since: dict[str, float] = {}

    def tell(self, event: BuildEvent) -> None:
        """Take note of what has happened."""
        name = event.request.name
        if event.what == "started":
            self._since[name] = time.monotonic()
        else:
            self._since.pop(name, None)
        if event.what == "built":
            self._display.say(f"built {name} ({duration(event.seconds)})")
        elif event.what == "failed":
            self._display.say(f"cannot build {name}")
        self._share = event.done / event.total
        self._there = f"{event.done} of {event.total} artifacts there"

    def look(self) -> Seen | None:
        """Return how far the builds are, and how long those under way have taken."""
        now = time.monotonic()
        under_way = [f"{name} ({duration(now - t)})" for name, t in list(self._since.items())]
        return (
            (self._share, f"{self._there}, building {', '.join(under_way)}") if under_way else None
        )
