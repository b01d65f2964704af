"""A file that must stay the one that was built, watched at the cost of a stat."""

import hashlib
from pathlib import Path


class Watched:
    """A file of known content.

    Its bytes are read again only where the file system says that they may have changed: the time of
    change of an inode cannot be set back by a user.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256
        self._seen: tuple[int, ...] = ()

    def is_intact(self) -> bool:
        """Say whether the file is there and has the content that it must have.

        Raises
        ------
        OSError
            If it is there and cannot be read: that tells nothing of its content.
        """
        try:
            stat = self._path.stat()
            seen = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
            if seen != self._seen:
                with self._path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != self._sha256:
                        return False
                self._seen = seen
        except FileNotFoundError:
            return False
        return True
