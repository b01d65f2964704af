"""A fault, what is promised of it, and how often that was tried and held."""

import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class Impossible(Exception):  # noqa: N818  (it is no error, but a reason)
    """The fault cannot be brought about on this machine; the message says why."""


@dataclass
class Bench:
    """Where a fault is tried."""

    root: Path
    short: bool
    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def times(self, long: int, short: int) -> range:
        """Return how often to try, in either form."""
        return range(short if self.short else long)

    def folder(self) -> Path:
        """Make an empty folder."""
        return Path(tempfile.mkdtemp(dir=self.root))

    @contextmanager
    def trying(self, what: object) -> Iterator[None]:
        """Try the fault once; the promise is broken if the block raises."""
        self.tried += 1
        try:
            yield
        except Impossible:
            raise
        except Exception as error:
            self.broken.append(f"{what}: {_told(error)}")


def _told(error: Exception) -> str:
    """Return what an error is, with what hypothesis has noted of it, and where it was raised."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    said = "\n".join([f"{type(error).__name__} {error}".strip(), *getattr(error, "__notes__", ())])
    return f"{said} ({Path(at.filename).name}:{at.lineno}: {at.line})"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and what is promised of it."""

    what: str
    promise: str
    bring_about: Callable[[Bench], None]

    def run(self, short: bool) -> "Finding":
        """Bring it about, in a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory() as root:
            bench = Bench(Path(root), short)
            try:
                self.bring_about(bench)
            except Impossible as reason:
                return Finding(self, bench.tried, bench.broken, str(reason))
            except Exception as error:  # between two tries: the other faults are still tried
                bench.broken.append(_told(error))
            return Finding(self, bench.tried, bench.broken)


@dataclass(frozen=True)
class Finding:
    """What became of a promise."""

    fault: Fault
    tried: int
    broken: list[str]
    impossible: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was kept each time."""
        return not self.broken and (self.tried > 0 or bool(self.impossible))

    def line(self) -> str:
        """Return its line of the table."""
        held = f"{self.tried - len(self.broken):,}"
        if self.impossible:
            held += f" (not here: {self.impossible})"
        return f"| {self.fault.what} | {self.fault.promise} | {self.tried:,} | {held} |"


FAULTS: list[Fault] = []
"""All of them, as the modules define them."""


def fault(what: str, promise: str) -> Callable[[Callable[[Bench], None]], Fault]:
    """Make a fault of the function that brings it about."""

    def made(bring_about: Callable[[Bench], None]) -> Fault:
        FAULTS.append(Fault(what, promise, bring_about))
        return FAULTS[-1]

    return made
