"""The exceptions that a user is meant to read."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

SHOWN_NAMES = 12
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
BROKEN = (
    *(errno.EIO, errno.EREMOTEIO, errno.EFBIG),
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN),
)
"""What a disk says that fails, or a file server that is gone."""


class UserError(Exception):
    """A mistake that the user can mend.

    The command line prints the message without a traceback and ends with exit code 2.

    Parameters
    ----------
    what
        What is wrong, and where: one sentence that names the file, key or value.
    mend
        What to do about it; empty where the first sentence says it.
    """

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(f"{what}\n{mend}" if mend else what)
        self.what = what
        self.mend = mend


class InternalError(RuntimeError):
    """An error of ours; the message says where to read about it. Exit code 1."""


def no_locks(path: Path, error: OSError) -> UserError:
    """Return what is to be said of a file that cannot be locked, by anyone."""
    return UserError(
        f"{str(path)!r} cannot be locked: {error.strerror}.",
        "Two at once would not know of each other. Choose a file system with locks (Lustre has "
        "them where it is mounted with flock or localflock).",
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the `known` names the user may have meant, and otherwise list them all."""
    folded = {k.lower(): k for k in known}
    close = get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {folded[close[0]]!r}?"
    names = [*folded.values()]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return "Known: " + ", ".join(names[:SHOWN_NAMES]) + f"{more}."
