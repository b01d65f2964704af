"""The interactive charts of the pages, drawn by plotly."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from analysis.report.charts.cells import cells
from analysis.report.charts.chart import Chart
from analysis.report.charts.distribution import distribution
from analysis.report.charts.nodes import nodes
from analysis.report.charts.over_time import drift, node_states
from analysis.report.charts.speedups import speedups

__all__ = ["Chart", "charts"]


def charts(
    results: xr.Dataset,
    quantiles: xr.DataArray | None = None,
    states: pd.DataFrame | None = None,
) -> list[Chart]:
    """Return the charts of a run that the results have the data for."""
    return list(filter(None, _charts(results, quantiles, states)))


def _charts(
    results: xr.Dataset, quantiles: xr.DataArray | None, states: pd.DataFrame | None
) -> Iterator[Chart | None]:
    if np.isfinite(results["median_ns"]).any() and results["trial_median_ns"].size:
        yield cells(results)
        yield speedups(results)
        if quantiles is not None:
            yield distribution(results, quantiles)
        yield drift(results)
        yield nodes(results)
    if states is not None:
        yield node_states(states)
