"""What goes to the terminal, whatever signs it has."""

import codecs
import io
import sys
from typing import NoReturn

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


def fail(message: str, code: int) -> NoReturn:
    """Print an error and end the process."""
    print(f"litesweep: {message}", file=sys.stderr)
    raise SystemExit(code)
