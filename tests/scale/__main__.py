"""Measure how the work grows, for docs/scale.md: `python -m tests.scale [part ...]`."""

import sys
from collections.abc import Callable, Iterator

from tests.scale.files import asked
from tests.scale.merging import merging
from tests.scale.opening import opening
from tests.scale.planning import planning
from tests.scale.simulation import growing
from tests.scale.submitting import asking, submitting

PARTS: dict[str, Callable[[], Iterator[list[str]]]] = {
    "plan": planning,
    "submit": submitting,
    "status": asking,
    "machine": growing,
    "files": asked,
    "merge": merging,
    "open": opening,
}
"""By name, what yields tables line by line."""


def main() -> None:
    """Print the tables of the parts that are asked for, or of all."""
    for part in sys.argv[1:] or PARTS:
        for table in PARTS[part]():
            print("\n".join(table), flush=True)
            print()


if __name__ == "__main__":
    main()
