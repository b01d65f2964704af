"""What results mean: one xarray Dataset, a table, figures.

Works on a laptop: no TensorFlow, LiteRT, MPI or submitit is needed to read what they left.
"""

from analysis.dataset import open_results, samples
from analysis.figures import write_figures
from analysis.speedup import speedup
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
