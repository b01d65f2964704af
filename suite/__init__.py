"""What is measured, and how.

The names below are loaded when they are asked for: the process that is timed imports a module of
this package, and must not pay for the rest of it.
"""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from suite.cells import Cell
    from suite.errors import UserError
    from suite.models.spec import ModelSpec
    from suite.sweep import Axes, Measure, Points, Sweep

__all__ = ["Axes", "Cell", "Measure", "ModelSpec", "Points", "Sweep", "UserError"]

__getattr__ = lazy(
    __name__,
    {
        **dict.fromkeys(__all__, "sweep"),
        "Cell": "cells",
        "ModelSpec": "models.spec",
        "UserError": "errors",
    },
)
