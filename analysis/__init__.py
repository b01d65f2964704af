"""What results mean: one xarray Dataset, questions to it, comparisons, a table, figures, a report.

Works on a laptop: no TensorFlow, LiteRT, MPI or submitit is needed to read what they left.
"""

from typing import TYPE_CHECKING

from suite.lazy import lazy

if TYPE_CHECKING:
    from analysis.accuracy import accuracy_loss
    from analysis.ceilings import roofline
    from analysis.comparison import compare
    from analysis.comparison_table import (
        comparison_to_json,
        comparison_to_markdown,
        comparison_to_rich_table,
        summary,
    )
    from analysis.concurrency import instance_scaling, instances
    from analysis.costs import cost
    from analysis.dataset import open_results
    from analysis.figures import write_comparison_figure, write_figures
    from analysis.gains import quantization_gain
    from analysis.histories import history, open_history, steps
    from analysis.history_table import (
        history_summary,
        history_to_json,
        history_to_rich_table,
    )
    from analysis.node_states import states
    from analysis.nodes import node_variability
    from analysis.operator_table import operators_to_rich_table
    from analysis.others import beside, beside_to_rich_table, read_others
    from analysis.profiles import operators
    from analysis.raw import quantiles, samples
    from analysis.report import write_comparison, write_history, write_report
    from analysis.scalability import scaling
    from analysis.slices import open_slice
    from analysis.speedups import speedup
    from analysis.table import to_csv, to_dataframe, to_json, to_markdown, to_parquet, to_rich_table
    from analysis.tails import tail
    from analysis.trade_offs import best, pareto
    from analysis.variance import components

__all__ = [
    "accuracy_loss",
    "beside",
    "beside_to_rich_table",
    "best",
    "compare",
    "comparison_to_json",
    "comparison_to_markdown",
    "comparison_to_rich_table",
    "components",
    "cost",
    "history",
    "history_summary",
    "history_to_json",
    "history_to_rich_table",
    "instance_scaling",
    "instances",
    "node_variability",
    "open_history",
    "open_results",
    "open_slice",
    "operators",
    "operators_to_rich_table",
    "pareto",
    "quantiles",
    "quantization_gain",
    "read_others",
    "roofline",
    "samples",
    "scaling",
    "speedup",
    "states",
    "steps",
    "summary",
    "tail",
    "to_csv",
    "to_dataframe",
    "to_json",
    "to_markdown",
    "to_parquet",
    "to_rich_table",
    "write_comparison",
    "write_comparison_figure",
    "write_figures",
    "write_history",
    "write_report",
]

__getattr__ = lazy(
    __name__,
    {
        "accuracy_loss": "accuracy",
        "beside": "others",
        "beside_to_rich_table": "others",
        "best": "trade_offs",
        "compare": "comparison",
        "comparison_to_json": "comparison_table",
        "comparison_to_markdown": "comparison_table",
        "comparison_to_rich_table": "comparison_table",
        "components": "variance",
        "cost": "costs",
        "history": "histories",
        "history_summary": "history_table",
        "history_to_json": "history_table",
        "history_to_rich_table": "history_table",
        "instance_scaling": "concurrency",
        "instances": "concurrency",
        "node_variability": "nodes",
        "open_history": "histories",
        "open_results": "dataset",
        "open_slice": "slices",
        "operators": "profiles",
        "operators_to_rich_table": "operator_table",
        "pareto": "trade_offs",
        "quantiles": "raw",
        "quantization_gain": "gains",
        "read_others": "others",
        "roofline": "ceilings",
        "samples": "raw",
        "scaling": "scalability",
        "speedup": "speedups",
        "states": "node_states",
        "steps": "histories",
        "summary": "comparison_table",
        "tail": "tails",
        "to_csv": "table",
        "to_dataframe": "table",
        "to_json": "table",
        "to_markdown": "table",
        "to_parquet": "table",
        "to_rich_table": "table",
        "write_comparison": "report",
        "write_comparison_figure": "figures",
        "write_figures": "figures",
        "write_history": "report",
        "write_report": "report",
    },
)
