"""placeholder"""

import hashlib
from pathlib import Path

from suite.errors import UserError


def image_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"The image {str(path)!r} cannot be read: {error.strerror}.") from error
