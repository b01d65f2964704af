"""The chart of nodes: whether they are alike."""

import numpy as np
import xarray as xr

from analysis.nodes import node_variability
from analysis.report.charts.chart import COLOURS, Chart, bars, blank, listed, plain
from analysis.report.reduction import MOST_MACHINES


def nodes(results: xr.Dataset) -> Chart | None:
    """Draw how each node differs from what is usual for its CPU type."""
    frame = node_variability(results).to_dataframe().reset_index().dropna(subset=["effect"])
    count = len(frame)
    if count < 2:
        return None
    furthest = np.argsort(-abs(np.log(frame["effect"].to_numpy())), kind="stable")[:MOST_MACHINES]
    frame = frame.iloc[furthest].sort_values("node")
    figure = blank()
    for number, (cpu_type, of_type) in enumerate(frame.groupby("cpu_type", sort=False)):
        percent = {end: 100 * (of_type[f"effect{end}"] - 1) for end in ("", "_low", "_high")}
        figure.add_scatter(
            x=[plain(str(node)) for node in of_type["node"]],
            y=listed(percent[""]),
            error_y=bars(*percent.values()),
            mode="markers",
            marker={
                "size": 9,
                "color": COLOURS[number % len(COLOURS)],
                "symbol": ["x" if outlier else "circle" for outlier in of_type["outlier"]],
            },
            name=plain(str(cpu_type)),
            text=[
                plain(f"{row['node']}: {100 * (row['effect'] - 1):+.1f} %")
                for row in of_type.to_dict("records")
            ],
        )
    figure.update_layout(yaxis_title_text="slower than is usual, %", xaxis_type="category")
    caption = "Each node against the median of its CPU type, with the 95 % interval; ×: an outlier."
    if len(frame) < count:
        caption += f" Shown are the {len(frame)} of {count} that are furthest from what is usual."
    return Chart("nodes", "Nodes", caption, figure)
