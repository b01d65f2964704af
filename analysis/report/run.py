"""The page of a run."""

import pandas as pd
import xarray as xr

from analysis.report.answers import answers, trust
from analysis.report.charts import charts
from analysis.report.facts import citation, facts, nodes, provenance, reasons, repeat
from analysis.report.pages import render
from analysis.report.profile import profiles
from analysis.report.reduction import MOST_MACHINES, of_first, of_planes
from analysis.report.tables import cells_table

SECTIONS = {
    "answers": "Answers",
    "charts": "Charts",
    "table": "Table",
    "operators": "Operators",
    "verdicts": "Verdicts",
    "machines": "Nodes",
    "provenance": "Provenance",
    "cite": "Cite, repeat",
}


def run_page(
    results: xr.Dataset,
    quantiles: xr.DataArray | None = None,
    states: pd.DataFrame | None = None,
    operators: pd.DataFrame | None = None,
) -> str:
    """Return the page as HTML; every text from the results is escaped."""
    drawn = charts(results, quantiles, states)
    cells = cells_table(results)
    profiled = [] if operators is None else profiles(operators)
    absent = {"charts": not drawn, "operators": not profiled}
    return render(
        "run.html",
        charts=drawn,
        tables=[cells],
        sections={key: title for key, title in SECTIONS.items() if not absent.get(key)},
        name=results.attrs.get("name", "") or "Results",
        created=results.attrs.get("created", ""),
        facts=facts(results),
        answers=answers(results),
        trust=trust(results),
        of_planes=of_planes(results),
        cells=cells,
        profiles=profiled[:MOST_MACHINES],
        unprofiled=[] if operators is None else operators.attrs.get("unprofiled", ()),
        reasons=reasons(results),
        nodes=nodes(results),
        of_nodes=of_first(results.sizes["node"], "nodes"),
        of_profiles=of_first(len(profiled), "profiles"),
        provenance=[{"what": key, "value": value} for key, value in provenance(results).items()],
        sweep=results.attrs.get("sweep", ""),
        citation=citation(results),
        repeat=repeat(results),
    )
