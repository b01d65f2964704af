"""What the user sees while a run goes on: cells done, what runs now, time left."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from suite.artifacts.build import BuildEvent

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

    It is drawn when there is something new and never by a timer of its own: what is drawn while a
    trial runs takes CPUs from it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
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
    def watching(self, progress_file: Path) -> Iterator[None]:
        """Draw what a job writes to `progress_file`, looking once a second."""
        progress_file.unlink(missing_ok=True)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(progress_file, ended), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def _watch(self, progress_file: Path, ended: threading.Event) -> None:
        began, last = time.monotonic(), ""
        while not ended.wait(LOOK_EVERY_S):
            try:
                text = progress_file.read_text()
            except FileNotFoundError:
                continue
            if text != last:
                last = text
                self._show(json.loads(text), time.monotonic() - began)

    def _show(self, said: dict[str, Any], elapsed_s: float) -> None:
        left_s = said["seconds_left"]
        self.draw(
            elapsed_s / max(1e-9, elapsed_s + left_s),
            f"{said['cells_done']} of {said['cells']} cells done, trial {said['trials'] + 1}, "
            f"now {said['now']}, about {duration(left_s)} left",
        )


class Building:
    """Tells of artifacts as they are built: a line for each that stays, and what is under way."""

    def __init__(self, display: Display, phase: Phase) -> None:
        self._display = display
        self._phase = phase
        self._under_way: list[str] = []

    def tell(self, event: BuildEvent) -> None:
        """Show what has just happened."""
        name = f"{event.request.model} {event.request.quantization}"
        if event.what == "started":
            self._under_way.append(name)
        elif name in self._under_way:
            self._under_way.remove(name)
        if event.what == "built":
            self._display.say(f"built {name} ({duration(event.seconds)})")
        elif event.what == "failed":
            self._display.say(f"cannot build {name}")
        there = f"{event.done} of {event.total} artifacts are there"
        now = f", building {', '.join(self._under_way)}" if self._under_way else ""
        self._phase.draw(event.done / event.total, there + now)
