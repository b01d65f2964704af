"""What results mean: one xarray Dataset, a table, figures, comparisons.

Works on a laptop: no TensorFlow, LiteRT, MPI or submitit is needed to read what they left.
"""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from analysis.comparison import compare
    from analysis.comparison_table import (
        comparison_to_json,
        comparison_to_markdown,
        comparison_to_rich_table,
        summary,
    )
    from analysis.dataset import open_results
    from analysis.figures import write_figures
    from analysis.raw import samples
    from analysis.slices import open_slice
    from analysis.speedups import speedup
    from analysis.table import to_csv, to_json, to_markdown, to_rich_table
    from analysis.tails import tail
    from analysis.variance import components

__all__ = [
    "compare",
    "comparison_to_json",
    "comparison_to_markdown",
    "comparison_to_rich_table",
    "components",
    "open_results",
    "open_slice",
    "samples",
    "speedup",
    "summary",
    "tail",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_rich_table",
    "write_figures",
]

COMPARISONS = ("json", "markdown", "rich_table")

__getattr__ = lazy(
    __name__,
    {
        "compare": "comparison",
        **{f"comparison_to_{form}": "comparison_table" for form in COMPARISONS},
        "components": "variance",
        "open_results": "dataset",
        "open_slice": "slices",
        "samples": "raw",
        "speedup": "speedups",
        "summary": "comparison_table",
        "tail": "tails",
        **dict.fromkeys(("to_csv", "to_json", "to_markdown", "to_rich_table"), "table"),
        "write_figures": "figures",
    },
)
