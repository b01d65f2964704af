"""One spelling for one thing: the canonical form that every hash is taken of."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of `value`: sorted keys, no blanks, no NaN, ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 64) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of `value`'s canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]
