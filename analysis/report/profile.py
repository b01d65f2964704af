"""Where the time goes, as the report says it."""

from dataclasses import dataclass

import pandas as pd

from analysis.profiles import by_type, cells_of
from analysis.table import latency

MOST = 5
"""Types of operators that are told of a cell."""


@dataclass(frozen=True)
class Profile:
    """The types of operators of a cell that take the most."""

    cell: str
    lines: tuple[tuple[str, ...], ...]
    """Type, what has run it, how many, their time and their share."""


def profiles(operators: pd.DataFrame) -> list[Profile]:
    """Return what takes the most in each cell."""
    return [
        Profile(
            cell,
            tuple(
                (
                    str(line["type"]),
                    str(line["run_by"]),
                    str(line["count"]),
                    latency(line["ns"]),
                    f"{100 * line['share']:.1f}\u00a0%",
                )
                for line in types.head(MOST).to_dict("records")
            ),
        )
        for cell, types in cells_of(by_type(operators))
    ]
