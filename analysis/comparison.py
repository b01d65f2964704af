"""Which cells of B are slower or faster than those of A, which are the same, which are open."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.differences import ALPHA, check_threshold, holm, outcome
from analysis.noise import NOISE_VARIABLES
from analysis.replicates import Compared, Place, Side, compared
from analysis.runs import axes_of, check_cells, check_trials, on_axes
from suite.errors import UserError
from suite.intervals import LEAST_TRIALS

NUMBERS = (
    *("ratio", "ratio_low", "ratio_high", "confidence", "floor", "limit", "replicates", "more"),
)
WORDS = ("outcome", "replicate", "reason")


def compare(a: xr.Dataset, b: xr.Dataset, *, threshold: float = 0.01) -> xr.Dataset:
    """Compare the latency of each cell of `b`, the candidate, with the same cell of `a`.

    Parameters
    ----------
    a, b
        As `analysis.open_results` returns them, or a slice: `results.sel(threads=1)`. Axes that a
        slice fixes do not take part in the matching. A side without an axis that the other has, as
        `batch`, is at the axis's default on it.
    threshold
        Relative difference that matters.

    Returns
    -------
    xarray.Dataset
        Over the axes that are left, with the values of both:

        - `a_ns`, `b_ns`: medians; `a_verdict`, `b_verdict`: reasons not to trust them;
        - `ratio` (b over a, geometric mean over the replicates), `ratio_low`, `ratio_high`: its
          interval, at `confidence`: 95 %, and more for a difference where Holm's correction of the
          number of comparisons asks for it;
        - `limit`: the ratio beyond which a difference counts, the larger of 1 + threshold and the
          A/A floor `floor` (how far a cell seems to differ from itself here, in 95 of 100 cases,
          with so many trials; NaN where no cell has trials in rounds next to each other);
        - `outcome`: `slower`, `faster`, `same`, `undecided`, `only_a`, `only_b` (the other side
          has no latency), "" (no side has);
        - `replicate` (`pair` of trials, `trial`, `node`), `replicates` (their number, on the side
          that has fewer), `more`: how many more would decide it, 0 where it is decided, infinity
          for more than is sensible;
        - `reason`: why it cannot be decided: `single_node`, `few_trials`; else "".

    Raises
    ------
    UserError
        If the sides have different axes, or no cell in common; if the threshold is none.

    References
    ----------
    See `analysis.differences`; Holm, Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> compared = compare(results.sel(threads=1), results.sel(threads=2))  # doctest: +SKIP
    >>> compared["outcome"].sel(model="resnet50")  # doctest: +SKIP
    """
    check_threshold(threshold)
    for side in (a, b):
        check_trials(side)
        check_cells(side)
    every = axes_of([a, b])
    a, b = (on_axes(side, every) for side in (a, b))
    axes = tuple(a["status"].dims)
    if set(axes) != set(b["status"].dims):
        ours, theirs = (", ".join(map(str, side["status"].dims)) for side in (a, b))
        raise UserError(
            f"A and B have different axes: {ours or 'none'}, and {theirs or 'none'}.",
            "Fix the same axes on both sides.",
        )
    coords = {
        dim: [*dict.fromkeys([*a[dim].values.tolist(), *b[dim].values.tolist()])]
        for dim in (*axes, "node", "trial")
    }
    wide_a, wide_b = (_spread(side, axes, coords) for side in (a, b))
    measured = _measured(wide_a) & _measured(wide_b)
    if not measured.any():
        raise UserError("A and B have no measured cell in common.", _apart(a, b, axes))
    same_run = bool(a.attrs.get("run_id")) and a.attrs.get("run_id") == b.attrs.get("run_id")
    sides = Side.of(wide_a), Side.of(wide_b)
    found = {
        place: compared(*sides, place, same_run=same_run)
        for place in map(tuple, np.argwhere(measured).tolist())
    }
    return _dataset(wide_a, wide_b, found, threshold)


def _apart(a: xr.Dataset, b: xr.Dataset, axes: tuple[Hashable, ...]) -> str:
    """Say on which axes two sides have no value in common."""
    for axis in axes:
        of_a, of_b = (dict.fromkeys(map(str, side[axis].values)) for side in (a, b))
        if not of_a.keys() & of_b.keys():
            return (
                f"{axis} is {', '.join(of_a)} in A and {', '.join(of_b)} in B. "
                f"To compare these, fix it on both sides: A:{axis}=..., B:{axis}=..."
            )
    return "No cell was measured on both sides."


def _spread(
    side: xr.Dataset, axes: tuple[Hashable, ...], coords: Mapping[Hashable, list[Any]]
) -> xr.Dataset:
    """Return what a comparison needs of a side, over the values of both."""
    text = ("status", "verdict")
    names = [*text, "median_ns", "trial_median_ns", "start_unix_ns", *NOISE_VARIABLES]
    fill = {name: "" if name in text else np.nan for name in names}
    # `where` spreads what is of nodes over cells.
    noise = {n: side[n].max([*{*side[n].dims} - {"node"}]) for n in NOISE_VARIABLES if side[n].size}
    wide = side[names].assign(noise).reindex(coords, fill_value=fill)
    # What both fix is not to match; `cpu_type` alone bears on what is claimed.
    fixed = [name for name in wide.coords if name not in wide.dims and name != "cpu_type"]
    return wide.drop_vars(fixed).transpose(*axes, "node", "trial")


def _measured(side: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Say which cells have a trial: of a selection of nodes, perhaps not all that were measured."""
    trials = side["trial_median_ns"].notnull().any(("node", "trial"))
    measured: npt.NDArray[np.bool_] = ((side["status"] == "ok") & trials).values
    return measured


def _dataset(
    a: xr.Dataset, b: xr.Dataset, found: Mapping[Place, Compared], threshold: float
) -> xr.Dataset:
    """Judge all that was compared, as one family."""
    dims, shape = a["status"].dims, a["status"].shape
    of_a, of_b = map(_measured, (a, b))
    columns = {
        **{name: np.full(shape, np.nan) for name in NUMBERS},
        **{name: np.full(shape, "", object) for name in WORDS},
    }
    columns["outcome"][of_a & ~of_b] = "only_a"
    columns["outcome"][of_b & ~of_a] = "only_b"
    levels = holm([math.nan if of.reason else of.difference.p_value for of in found.values()])
    for (place, of), level in zip(found.items(), levels, strict=True):
        for name, value in _judged(of, ALPHA if math.isnan(level) else level, threshold).items():
            columns[name][place] = value
    taken = {
        f"{name}_{end}": side[variable].variable
        for end, variable in (("ns", "median_ns"), ("verdict", "verdict"))
        for name, side in (("a", a), ("b", b))
    }
    units = {name: {"units": "1"} for name in NUMBERS}
    judged = {name: (dims, values, units.get(name)) for name, values in columns.items()}
    coords = {axis: a[axis].variable for axis in dims}
    return xr.Dataset({**taken, **judged}, coords, {"threshold": threshold})


def _judged(of: Compared, alpha: float, threshold: float) -> dict[str, float | str]:
    difference, reason = of.difference, of.reason
    floor = float(of.noise.floor(of.trials))
    if reason:
        what, more = "undecided", math.nan
    elif math.isnan(difference.error):
        what, more, reason = "undecided", LEAST_TRIALS - difference.replicates, "few_trials"
    else:
        matters = math.log1p(threshold)
        what, more = outcome(difference, alpha, matters, lambda n: of.noise.floor(of.trials * n))
    alpha = ALPHA if what == "same" else alpha
    half = difference.half_width(alpha)
    return {
        "ratio": math.exp(difference.log_ratio),
        "ratio_low": math.exp(difference.log_ratio - half),
        "ratio_high": math.exp(difference.log_ratio + half),
        "confidence": 1 - alpha,
        "floor": math.exp(floor),
        "limit": math.exp(np.fmax(math.log1p(threshold), floor)),
        "outcome": what,
        "replicate": of.replicate,
        "replicates": difference.replicates,
        "more": more,
        "reason": reason,
    }
