"""The result format: rows in memory, HDF5 on disk.

The names below are loaded when they are asked for: who needs the rows alone does not pay for HDF5.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suite.results.read import read_results
    from suite.results.rows import ArtifactRow, CellRow, NodeRow, Results, TrialFlag, TrialRow
    from suite.results.write import write_results

__all__ = [
    "ArtifactRow",
    "CellRow",
    "NodeRow",
    "Results",
    "TrialFlag",
    "TrialRow",
    "read_results",
    "write_results",
]

_HOMES = {"read_results": "read", "write_results": "write"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'suite.results' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"suite.results.{_HOMES.get(name, 'rows')}"), name)
