"""What results mean: one xarray Dataset, a table, figures.

Works on a laptop: no TensorFlow, LiteRT, MPI or submitit is needed to read what they left.
"""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from analysis.dataset import open_results, samples
    from analysis.figures import write_figures
    from analysis.speedups import speedup
    from analysis.table import to_csv, to_json, to_markdown, to_rich_table

__all__ = [
    "open_results",
    "samples",
    "speedup",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_rich_table",
    "write_figures",
]

__getattr__ = lazy(
    __name__,
    {
        "open_results": "dataset",
        "samples": "dataset",
        "speedup": "speedups",
        **dict.fromkeys(("to_csv", "to_json", "to_markdown", "to_rich_table"), "table"),
        "write_figures": "figures",
    },
)
