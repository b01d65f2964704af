"""What goes to the terminal, whatever signs it has."""

import codecs
import io
import logging
import sys
import traceback
from typing import NoReturn

from suite.text import harmless

PLAIN = {"×": "x", "µ": "u", "±": "~", "…": "~"}


def plain(error: UnicodeError) -> tuple[str, int]:
    """Stand in for what a stream's encoding does not have, in as many columns."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lost), error.end


codecs.register_error("plain", plain)


def reconfigure() -> None:
    """Let signs that a terminal does not have be stood in for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


class Told(logging.Handler):
    """Tells of what happens on standard error as it is now: a bar may have taken its place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        print(harmless(self.format(record)), file=sys.stderr)


def tell_all(verbose: bool) -> None:
    """Tell of what our modules log: of all of it, or of errors alone."""
    for package in ("suite", "jobs", "analysis"):  # the root's is submitit's to set up
        logger = logging.getLogger(package)
        logger.handlers = [Told()]
        logger.setLevel(logging.INFO if verbose else logging.ERROR)


def fail(message: str, code: int) -> NoReturn:
    """Print an error and end the process; with `--verbose` first where it came from."""
    if logging.getLogger("jobs").isEnabledFor(logging.INFO) and sys.exc_info()[0]:
        traceback.print_exc()
    print(f"litesweep: {harmless(message)}", file=sys.stderr)
    raise SystemExit(code)
