"""Names that a package loads when they are asked for (PEP 562).

A process that imports one light module of a package must not pay for the heavy ones beside it.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`.

    Parameters
    ----------
    package
        The package's `__name__`.
    homes
        For each name that it offers, the module of the package that has it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
