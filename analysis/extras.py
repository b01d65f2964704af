"""Packages that only some of the analysis needs: named where they are missing."""

from importlib.util import find_spec

from suite.errors import UserError


def need(extra: str, *packages: str) -> None:
    """Check that `packages` are installed.

    Raises
    ------
    UserError
        If one is not; names the extra of litesweep that brings it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise UserError(
                f"The package {package!r} is missing.", f"pip install 'litesweep[{extra}]'"
            )
