"""How a page is put together: one HTML file that holds all that it needs, packed."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import itables.options
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.report.charts.chart import Chart
from analysis.report.tables import Table

FOLDER = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    template: str,
    *,
    charts: Sequence[Chart],
    tables: Iterable[Table],
    **content: Any,
) -> str:
    """Return a page; every text in `content` that is no markup is escaped.

    Parameters
    ----------
    template
        A file of this folder that extends `page.html`.
    charts, tables
        What the page's script is to draw, wherever `content` has them stand.
    """
    data = {
        "charts": {chart.name: chart.packed() for chart in charts},
        "rows": {table.name: table.packed for table in tables},
    }
    packed = pack(json.dumps(data, separators=(",", ":"), sort_keys=False))
    libraries, styles = _libraries()
    return TEMPLATES.get_template(template).render(
        charts=charts,
        packs={**libraries, "data": packed},
        tables_css=styles,
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup((FOLDER / "page.js").read_text(encoding="utf-8")),
        **content,
    )


def pack(text: str) -> str:
    """Return a text as a page can hold it in a third of the room or less: gzip in base64."""
    return b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def _libraries() -> tuple[dict[str, str], Markup]:
    """Return the libraries that draw, packed, and the style of one of them."""
    bundle = Path(itables.options.dt_bundle)
    packs = {
        "plotly": pack(get_plotlyjs()),
        "datatables": pack(bundle.read_text(encoding="utf-8")),
    }
    return packs, Markup(bundle.with_suffix(".css").read_text(encoding="utf-8"))
