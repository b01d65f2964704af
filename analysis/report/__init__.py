"""Pages: one HTML file each that needs no network, with answers, charts, tables, provenance."""

from pathlib import Path

import pandas as pd
import xarray as xr

from analysis.extras import need
from analysis.runs import to_look_at

PACKAGES = ("report", "jinja2", "plotly", "itables")


def write_report(
    results: xr.Dataset,
    out: Path | str,
    quantiles: xr.DataArray | None = None,
    states: pd.DataFrame | None = None,
    operators: pd.DataFrame | None = None,
) -> Path:
    """Write a report on results, one HTML file that holds all that it needs.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    out
        The file to write.
    quantiles, states, operators
        As `analysis.quantiles`, `analysis.states` and `analysis.operators` return them, for the
        distribution of samples, the states of nodes, and where the time goes; None leaves these
        out.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    UserError
        If a package of the extra `report` is not installed.

    Examples
    --------
    >>> write_report(open_results("runs/demo"), "report.html")  # doctest: +SKIP
    """
    need(*PACKAGES)
    from analysis.report.run import run_page

    return _write(out, run_page(to_look_at(results), quantiles, states, operators))


def write_comparison(
    comparison: xr.Dataset,
    a: xr.Dataset,
    b: xr.Dataset,
    out: Path | str,
    names: tuple[str, str] = ("A", "B"),
) -> Path:
    """Write the page of a comparison, one HTML file that holds all that it needs.

    Parameters
    ----------
    comparison
        As `analysis.compare(a, b)` returns it.
    a, b
        What was compared, for where it comes from.
    out
        The file to write.
    names
        What the two are called.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    UserError
        If a package of the extra `report` is not installed.
    """
    need(*PACKAGES)
    from analysis.report.compared import comparison_page

    return _write(out, comparison_page(comparison, a, b, names))


def write_history(judged: xr.Dataset, out: Path | str) -> Path:
    """Write the page of a history, one HTML file that holds all that it needs.

    Parameters
    ----------
    judged
        As `analysis.history` returns it.
    out
        The file to write.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    UserError
        If a package of the extra `report` is not installed.
    """
    need(*PACKAGES)
    from analysis.report.over_runs import history_page

    return _write(out, history_page(judged))


def _write(out: Path | str, page: str) -> Path:
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
