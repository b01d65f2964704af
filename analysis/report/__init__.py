"""The report: one HTML file that needs no network, with answers, charts, table and provenance."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from analysis.extras import need


def write_report(
    results: xr.Dataset, out: Path | str, operators: pd.DataFrame | None = None
) -> Path:
    """Write a report on results, one HTML file that holds all that it needs.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    out
        The file to write.
    operators
        As `analysis.operators` returns them, for a section on where the time goes.

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
    need("report", "jinja2", "plotly", "itables")
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results, operators), encoding="utf-8")
    return path


def page(results: xr.Dataset, operators: pd.DataFrame | None = None) -> str:
    """Return the report as HTML; every text from the results is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from analysis.report.answers import answers, trust
    from analysis.report.charts import charts
    from analysis.report.facts import citation, facts, nodes, provenance, reasons
    from analysis.report.grid import columns, rows
    from analysis.report.profile import profiles

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        **_libraries(),
        name=results.attrs.get("name", "") or "Results",
        created=results.attrs.get("created", ""),
        facts=facts(results),
        answers=answers(results),
        trust=trust(results),
        charts=charts(results),
        columns=columns(results),
        rows=list(rows(results)),
        profiles=[] if operators is None else profiles(operators),
        unprofiled=[] if operators is None else operators.attrs.get("unprofiled", ()),
        reasons=reasons(results),
        nodes=nodes(results),
        provenance=provenance(results),
        sweep=results.attrs.get("sweep", ""),
        citation=citation(results),
    )


def _libraries() -> dict[str, Any]:
    """Return the page's style, and the libraries that stand in it, as they are to stand there."""
    import itables.options
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    bundle = Path(itables.options.dt_bundle)
    return {
        "plotly_js": Markup(get_plotlyjs()),
        "tables_js": b64encode(bundle.read_bytes()).decode(),
        "tables_css": Markup(bundle.with_suffix(".css").read_text(encoding="utf-8")),
        "style": Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8")),
    }
