"""Reading a TOML file that a user has written, or a stranger."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from suite.errors import UserError

MOST_CHARACTERS = 1_000_000
MOST_DOTS = 1000
"""In a line. Python's reader takes time by the square, and more, of the parts of a dotted key."""


def read_toml(path: Path, what: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, verbatim but for a byte order mark, and what it holds.

    Parameters
    ----------
    what
        The kind of file, for messages: "sweep" or "site".

    Raises
    ------
    UserError
        If it cannot be read or is not TOML.
    """
    text = _text(path, what)
    try:
        return text, tables_in(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid TOML: {_said(error)}.") from error


def tables_in(text: str) -> dict[str, Any]:
    """Return what a text in TOML says.

    Raises
    ------
    ValueError
        If it is none, or is made to take for ever.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MOST_DOTS:
            raise ValueError(f"line {number} has more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)  # raises ValueError too where a number has too many digits
    except RecursionError:
        raise ValueError("its tables or lists are too deep") from None


def _text(path: Path, what: str) -> str:
    try:
        # newline="" keeps the text verbatim; tomllib itself accepts either line ending. Editors of
        # Windows put a byte order mark in front.
        with os.fdopen(_descriptor(path), encoding="utf-8-sig", newline="") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except FileNotFoundError:
        raise UserError(f"There is no {what} file {str(path)!r}.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"The {what} file {str(path)!r} is not text in UTF-8 (byte {error.start}).",
            "Save it as UTF-8.",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"The {what} file {str(path)!r} cannot be read: {why}.") from error
    if not text:
        raise UserError(f"The {what} file {str(path)!r} is empty.")
    if len(text) > MOST_CHARACTERS:
        raise UserError(
            f"The {what} file {str(path)!r} is longer than {MOST_CHARACTERS:,} characters."
        )
    return text


def _descriptor(path: Path) -> int:
    """Open a file, or a pipe as of a shell's <(...), but wait for nobody to open its other end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _said(error: ValueError) -> str:
    """Return what the reader says, with the place in front."""
    found = re.fullmatch(r"(.*) \(at (.*)\)", str(error), re.DOTALL)
    what, where = (found[1], f"{found[2]}: ") if found else (str(error), "")
    if "integer string conversion" in what:
        what = "a number has too many digits"
    return f"{where}{what[:1].lower()}{what[1:]}"
