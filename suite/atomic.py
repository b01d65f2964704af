"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file beside `path`; when the block ends well it becomes `path`.

    The content is flushed to the disk before it takes its name, so that a crash at any moment
    leaves the old file or the new one. If the block raises, the temporary file is removed.
    """
    # Not by our process id: on a shared disk another host has one of the same number.
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk tells no name when written to
        raise
    finally:
        with suppress(OSError):  # of a disk that is broken, the first word is the cause
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` by way of `whole_file`."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
