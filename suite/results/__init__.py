"""The result format: rows in memory, HDF5 on disk.

The names below are loaded when they are asked for: who needs the rows alone does not pay for HDF5.
"""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from suite.results.read import read_results
    from suite.results.rows import (
        ArtifactRow,
        CellRow,
        NodeRow,
        Results,
        StateRow,
        TrialFlag,
        TrialRow,
    )
    from suite.results.write import write_results

__all__ = [
    "ArtifactRow",
    "CellRow",
    "NodeRow",
    "Results",
    "StateRow",
    "TrialFlag",
    "TrialRow",
    "read_results",
    "write_results",
]

__getattr__ = lazy(
    __name__, {**dict.fromkeys(__all__, "rows"), "read_results": "read", "write_results": "write"}
)
