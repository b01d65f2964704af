"""What is measured, and how.

The names below are loaded when they are asked for: the process that is timed imports a module of
this package, and must not pay for the rest of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suite.cells import Cell
    from suite.errors import UserError
    from suite.sweep import Axes, Measure, ModelSpec, Points, Sweep

__all__ = ["Axes", "Cell", "Measure", "ModelSpec", "Points", "Sweep", "UserError"]

_HOMES = {"Cell": "suite.cells", "UserError": "suite.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'suite' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "suite.sweep")), name)
