"""Figures: each shows its uncertainty, and marks what is not valid."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from analysis.concurrency import instance_scaling
from analysis.figures.comparison import comparison_figure
from analysis.figures.distribution import distribution_figure
from analysis.figures.drift import drift_figure
from analysis.figures.heat_map import heat_map_figure
from analysis.figures.latency import latency_figure
from analysis.figures.load import at_rate, instances_figure, load_figure, without_rate
from analysis.figures.nodes import nodes_figure
from analysis.figures.operators import operators_figure
from analysis.figures.pareto import pareto_figure
from analysis.figures.scaling import speedup_figure
from analysis.figures.style import STYLE
from analysis.nodes import node_variability
from analysis.runs import to_look_at
from analysis.speedups import speedup
from suite.errors import UserError, nearest

FORMATS = ("svg", "png")
ALL_FORMATS = ("svg", "png", "pdf")
NO_DATE: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The same results give the same bytes."""


def write_figures(
    results: xr.Dataset,
    folder: Path | str,
    formats: Sequence[str] = FORMATS,
    quantiles: xr.DataArray | None = None,
    operators: pd.DataFrame | None = None,
) -> list[Path]:
    """Draw every figure that the results have the data for.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    folder
        Where to.
    formats
        Of the files: "svg", "png", "pdf".
    quantiles
        As `analysis.quantiles` returns them, for the figure of distributions; of a large run give
        it a bound, as `most=2_000_000`.
    operators
        As `analysis.operators` returns them, for the figure of where the time goes.

    Returns
    -------
    list of pathlib.Path
        The files written, in `folder`; none where nothing was measured.

    Raises
    ------
    UserError
        If there is no such format.
    """
    if unknown := [kind for kind in formats if kind not in ALL_FORMATS]:
        raise UserError(f"There is no format {unknown[0]!r} of figures.", nearest("", ALL_FORMATS))
    results, folder = to_look_at(results), Path(folder)
    written = []
    for name, figure in _figures(results, quantiles, operators):
        folder.mkdir(parents=True, exist_ok=True)
        written += [_save(figure, folder / f"{name}.{kind}") for kind in formats]
    return written


def write_comparison_figure(comparison: xr.Dataset, path: Path | str) -> Path:
    """Draw the forest plot of a comparison: each cell's ratio with its interval.

    Parameters
    ----------
    comparison
        As `analysis.compare` returns it.
    path
        The file to write, whose name ends in svg, png or pdf.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    UserError
        If its name ends otherwise.

    Examples
    --------
    >>> write_comparison_figure(compare(before, after), "forest.svg")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix.lstrip(".") not in ALL_FORMATS:
        raise UserError(
            f"A figure cannot be written to {str(path)!r}.",
            f"Let its name end in .{', .'.join(ALL_FORMATS)}.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return _save(comparison_figure(comparison), path)


def _save(figure: Figure, path: Path) -> Path:
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A box stands for what the font has not; SVG has it as text in any case.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure.savefig(path, metadata=NO_DATE.get(path.suffix.lstrip(".")))
    return path


def _figures(
    results: xr.Dataset, quantiles: xr.DataArray | None, operators: pd.DataFrame | None
) -> Iterator[tuple[str, Figure]]:
    medians = results["median_ns"]
    if not (np.isfinite(medians).any() and results["trial_median_ns"].size):
        return
    yield "latency", latency_figure(results)
    if np.isfinite(speedup(results, threads=1)["ratio"].sel(threads=results["threads"] > 1)).any():
        yield "speedup", speedup_figure(results)
    if _has_ratios(results):
        yield "instances", instances_figure(results)
    if "scenario" in results.dims and at_rate(results).sizes["scenario"] > 1:
        yield "load", load_figure(results)
    if results.sizes["quantization"] > 1 and results.sizes["threads"] > 1:
        yield "heat_map", heat_map_figure(results)
    if len(np.unique(results["artifact_bytes"].values[np.isfinite(medians.values)])) > 1:
        yield "pareto", pareto_figure(results)
    if quantiles is not None:
        yield "distribution", distribution_figure(results, quantiles)
    if results["trial_median_ns"].count("trial").max() > 1:
        yield "drift", drift_figure(results)
    if node_variability(results)["effect"].count() > 1:
        yield "nodes", nodes_figure(results)
    if operators is not None:
        yield "operators", operators_figure(operators)


def _has_ratios(results: xr.Dataset) -> bool:
    """Say whether there is throughput of several instances and of one."""
    if "instances" not in results.dims or 1 not in results["instances"]:
        return False
    alone = without_rate(results)
    if not alone["status"].size:
        return False
    ratio = instance_scaling(alone)["throughput_ratio"]
    return bool(np.isfinite(ratio.sel(instances=results["instances"] > 1)).any())
